"""``emf-manager user``: who may use the API, and their first tokens."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TextIO

import anyio.to_thread
import click
from pydantic import TypeAdapter, ValidationError

from emf_agent.errors import RefusedError, UsageError
from emf_agent.wire import explain
from emf_manager.admin.workbench import AdminGroup, Workbench, moment_text, works
from emf_manager.api import models as m
from emf_manager.api.account_book import new_api_token
from emf_manager.authorization import ROLES, Mandate, Role
from emf_manager.client.output import hint, say_json, table
from emf_manager.client.program import as_json
from emf_manager.logins.book import new_login_code
from emf_manager.logins.passwords import PASSWORD_MAX, check_new_password, hash_password
from emf_manager.logins.rules import LINK_S
from emf_manager.mandates import nodes_of
from emf_manager.records import User
from emf_manager.settings import parse_seconds
from emf_manager.views import ConflictError, NotFoundError

__all__ = ["user"]

MAX_FILE = 1024 * 1024
MANDATES: TypeAdapter[tuple[m.Mandate, ...]] = TypeAdapter(m.Mandates)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@click.group(cls=AdminGroup)
def user() -> None:
    """Create and disable users of the API."""


@user.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they may do.")
@click.option(
    "--mandates",
    type=click.File(),
    help="JSON file (`-` for standard input) with what alone they may order.",
)
@as_json
@works
async def create(
    bench: Workbench, name: str, role: Role, mandates: TextIO | None, *, json_out: bool
) -> None:
    """Create a user with an API token. The token is printed once and kept nowhere.

    \b
    Mandates are a list: [{"nodes": "oss*", "actions": ["start_*"], "args": {"unit": ["lnet*"]}}]
    """
    kept = () if mandates is None else read_mandates(mandates, role)
    if NAME.fullmatch(name) is None:
        raise UsageError(f"{name[:80]!r} is not a user's name: letters, digits and . _ @ - only")
    line = bench.line("create user", name, role=role)
    made = User(name, role, bench.now, mandates=kept)
    if not await bench.store.add_user(made, audit=line):
        raise ConflictError(
            f"there is a user {name} already; `emf-manager user token {name}` makes another token"
        )
    await hand_out(bench, name, role, ttl=None, label="first", json_out=json_out)


@user.command()
@click.argument("name")
@click.option("--ttl", help="How long it is valid: 15m, 1h, 90d; for ever where not said.")
@click.option("--label", default="", help="What it is for.")
@as_json
@works
async def token(
    bench: Workbench, name: str, ttl: str | None, label: str, *, json_out: bool
) -> None:
    """Make another API token for a user."""
    known = {one.name: one for one in await bench.store.users()}
    if name not in known:
        raise NotFoundError("user", name)
    await hand_out(bench, name, known[name].role, ttl=ttl, label=label, json_out=json_out)


@user.command()
@click.argument("name")
@click.argument("mandates", type=click.File(), metavar="FILE")
@works
async def bind(bench: Workbench, name: str, mandates: TextIO) -> None:
    """Say what alone a user may order: mandates in a JSON file, `-` for standard input.

    An empty list leaves what the role allows.
    """
    known = {one.name: one for one in await bench.store.users()}
    if name not in known:
        raise NotFoundError("user", name)
    kept = read_mandates(mandates, known[name].role)
    line = bench.line("bind user", name, mandates=len(kept))
    if not await bench.store.bind_user(name, kept, audit=line):
        raise NotFoundError("user", name)
    hint(f"{name} has {len(kept)} mandate(s)")


@user.command("list")
@as_json
@works
async def list_users(bench: Workbench, *, json_out: bool) -> None:
    """List users."""
    users = await bench.store.users()
    if json_out:
        say_json(
            [
                {
                    "name": u.name,
                    "role": u.role,
                    "created": u.created,
                    "disabled": u.disabled,
                    "mandates": [asdict(one) for one in u.mandates],
                }
                for u in users
            ]
        )
        return
    rows = [
        [u.name, u.role, "disabled" if u.disabled else "enabled", moment_text(u.created)]
        for u in users
    ]
    table(["name", "role", "state", "created"], rows)


@user.command()
@click.argument("name")
@works
async def disable(bench: Workbench, name: str) -> None:
    """Disable a user: every token of theirs is refused from now on."""
    line = bench.line("disable user", name)
    if not await bench.store.disable_user(name, at=bench.now, audit=line):
        raise NotFoundError("user", name)


@user.command()
@click.argument("name")
@works
async def password(bench: Workbench, name: str) -> None:
    """Set a user's password for the web page: asked for on a terminal, else read from stdin.

    Every login of the user ends.
    """
    check_known(await bench.store.users(), name)
    typed = await anyio.to_thread.run_sync(ask_password)
    check_new_password(typed, name)
    hashed = await anyio.to_thread.run_sync(hash_password, typed)
    line = bench.line("set password", name)
    if not await bench.store.logins.set_password(name, hashed, at=bench.now, audit=line):
        raise NotFoundError("user", name)
    hint(f"{name} signs in with it at {bench.url or 'https://MANAGER:8443'}/ui/")


@user.command("login-link")
@click.argument("name")
@click.option("--ttl", default="10m", show_default=True, help="How long it is good, 10m at most.")
@as_json
@works
async def login_link(bench: Workbench, name: str, ttl: str, *, json_out: bool) -> None:
    """Print a link that signs a user in to the web page, once.

    The code stands behind the link's #, which browsers send to nobody.
    """
    check_known(await bench.store.users(), name)
    ttl_s = parse_seconds(ttl)
    if ttl_s > LINK_S:
        raise UsageError(f"a login link is good for {LINK_S / 60:.0f} minutes at most")
    if bench.url is None and not json_out:
        hint("no server runs on this data directory: put your manager's address in the link")
    line = bench.line("create login link", name)
    code, kept = new_login_code(name, now=bench.now, created_by=line.actor, ttl_s=ttl_s)
    if not await bench.store.logins.add_code(kept, audit=line):
        raise RefusedError(f"{name} is disabled")
    link = f"{bench.url or 'https://MANAGER:8443'}/ui/login#{code}"
    if json_out:
        say_json({"name": name, "link": link, "expires": kept.expires})
        return
    click.echo(link)
    hint(f"signs {name} in once, until {moment_text(kept.expires)}")


def check_known(users: Sequence[User], name: str) -> None:
    """Refuse a name that no user has."""
    if name not in {one.name for one in users}:
        raise NotFoundError("user", name)


def ask_password() -> str:
    """Return a password: asked for twice on a terminal, else the first line of stdin."""
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    return sys.stdin.readline(PASSWORD_MAX + 2).rstrip("\r\n")


def read_mandates(file: TextIO, role: Role) -> tuple[Mandate, ...]:
    """Read mandates as the API takes them.

    Raises:
        UsageError: they cannot be read. ConflictError: an admin could lift them.

    """
    try:
        asked = MANDATES.validate_json(file.read(MAX_FILE))
    except (ValidationError, UnicodeDecodeError) as error:
        why = explain(error) if isinstance(error, ValidationError) else "not UTF-8"
        raise UsageError(f"{file.name}: {why}") from error
    if asked and role == "admin":
        raise ConflictError("mandates bind no admin, who could lift them; make an operator")
    kept = tuple(Mandate(one.nodes, one.actions, dict(one.args)) for one in asked)
    for one in kept:
        nodes_of(one, ("node",))
    return kept


async def hand_out(
    bench: Workbench, name: str, role: Role, *, ttl: str | None, label: str, json_out: bool
) -> None:
    """Make an API token, keep its hash, and print it."""
    ttl_s = None if ttl is None else parse_seconds(ttl)
    secret, record = new_api_token(name, now=bench.now, label=label, ttl_s=ttl_s)
    line = bench.line("create token", name, token=record.id)
    if not await bench.store.add_token(record, audit=line):
        raise NotFoundError("user", name)
    if json_out:
        told = {"name": name, "role": role, "token": secret, "token_id": record.id}
        say_json({**told, "expires": record.expires, "manager": bench.url})
        return
    click.echo(secret)
    hint(f"the API token of {name} ({role}), shown this once; for `emf`:")
    hint(f"  emf config set manager {bench.url or 'https://MANAGER:8443'}")
    hint("  emf-manager ca show --pem > ca.crt && emf config set ca ca.crt")
    hint("  emf config set token -")
