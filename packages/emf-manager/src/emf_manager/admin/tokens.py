"""``emf-manager token``: what a new node shows to be let in."""

from __future__ import annotations

import click

from emf_agent.errors import UsageError
from emf_manager.admin.workbench import AdminGroup, Workbench, moment_text, works
from emf_manager.client.output import hint, say_json, table
from emf_manager.client.program import as_json
from emf_manager.identity.grants import new_grant
from emf_manager.records import EnrolmentGrant
from emf_manager.settings import parse_seconds
from emf_manager.views import NotFoundError

__all__ = ["token"]


@click.group(cls=AdminGroup)
def token() -> None:
    """Make and revoke enrolment tokens."""


@token.command()
@click.option("--uses", type=int, default=1, show_default=True, help="Nodes it is good for.")
@click.option("--ttl", default="1h", show_default=True, help="How long: 30s, 15m, 1h, 2d.")
@click.option(
    "--node",
    "pattern",
    metavar="NODESET",
    default="*",
    show_default=True,
    help="Names that may enrol with it; wildcards too.",
)
@click.option("--role", help="Role of the nodes: oss, mds, mgs, client, …")
@click.option(
    "--replace", is_flag=True, help="It may take over a name that has a live certificate."
)
@click.option("--approval", is_flag=True, help="Its nodes wait until an admin approves them.")
@as_json
@works
async def create(
    bench: Workbench,
    uses: int,
    ttl: str,
    pattern: str,
    role: str | None,
    *,
    replace: bool,
    approval: bool,
    json_out: bool,
) -> None:
    """Make an enrolment token. It is printed once and kept nowhere."""
    made, grant = new_grant(
        bench.authority.fingerprint,
        now=bench.now,
        created_by="admin",
        pattern=pattern,
        role=role,
        uses=uses,
        ttl_s=parse_seconds(ttl),
        replace=replace,
        approval=approval,
    )
    line = bench.line("create enrolment token", grant.id, nodes=pattern, uses=uses, role=role)
    await bench.store.add_grant(grant, audit=line)
    if json_out:
        members = {**described(grant), "authority_sha256": made.authority_sha256}
        say_json({"token": made.text(), **members, "manager": bench.url})
        return
    click.echo(made.text())
    hint(f"good until {moment_text(grant.expires)} for {uses} node(s) in {pattern}; on the node:")
    hint(f"  emf-agent enroll --manager {bench.url or 'https://MANAGER:8443'} --token TOKEN")


@token.command("list")
@as_json
@works
async def list_tokens(bench: Workbench, *, json_out: bool) -> None:
    """List enrolment tokens, newest first; never their secrets."""
    grants = await bench.store.grants()
    if json_out:
        say_json([{**described(grant), "state": state(grant, bench.now)} for grant in grants])
        return
    rows = [
        [g.id, state(g, bench.now), f"{g.uses_left}/{g.uses}", g.pattern, g.role or "-",
         moment_text(g.expires)]
        for g in grants
    ]  # fmt: skip
    table(["id", "state", "left", "nodes", "role", "expires"], rows)


@token.command()
@click.argument("token_id", metavar="ID")
@works
async def revoke(bench: Workbench, token_id: str) -> None:
    """Revoke an enrolment token by its id. Nodes enrolled with it stay."""
    if token_id.startswith("emf1-"):
        raise UsageError("name the token by its id, which `emf-manager token list` shows")
    line = bench.line("revoke enrolment token", token_id)
    if not await bench.store.revoke_grant(token_id, at=bench.now, audit=line):
        raise NotFoundError("enrolment token", token_id)


def described(grant: EnrolmentGrant) -> dict[str, object]:
    return {
        "id": grant.id,
        "nodes": grant.pattern,
        "role": grant.role,
        "uses": grant.uses,
        "uses_left": grant.uses_left,
        "created": grant.created,
        "expires": grant.expires,
        "replace": grant.replace,
        "approval": grant.approval,
    }


def state(grant: EnrolmentGrant, now: float) -> str:
    if grant.revoked is not None:
        return "revoked"
    if grant.expires <= now:
        return "expired"
    return "good" if grant.uses_left else "used up"
