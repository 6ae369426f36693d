"""``emf-manager ca``: show the certificate authority, and replace it without losing a node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from emf_agent.errors import RefusedError
from emf_manager.admin.workbench import AdminGroup, Workbench, moment_text, works
from emf_manager.client.output import hint, say_json, table
from emf_manager.client.program import as_json

if TYPE_CHECKING:
    from emf_manager.identity.authorities import Authorities
    from emf_manager.identity.rotation import Standing

__all__ = ["ca"]

NAMES_SHOWN = 20
force = click.option("--force", is_flag=True, help="Leave behind whom it would lose.")


@click.group(cls=AdminGroup)
def ca() -> None:
    """Show the manager's certificate authority, and replace it."""


@ca.command()
@click.option("--pem", is_flag=True, help="Only the certificates, to trust them.")
@as_json
@works
async def show(bench: Workbench, *, pem: bool, json_out: bool) -> None:
    """Show the certificates that nodes and operators are to trust, and how far a rotation is."""
    from emf_manager.identity.authorities import place_of

    authorities = bench.authorities
    if pem:
        click.echo(authorities.pem, nl=False)
        return
    standings = await standings_now(bench)
    listed = [
        {
            "state": state,
            "subject": one.certificate.subject.rfc4514_string(),
            "sha256": one.fingerprint,
            "not_after": moment_text(one.certificate.not_valid_after_utc.timestamp()),
            "trusted_by": sum(one.fingerprint in node.trusts for node in standings),
            "used_by": sum(one.fingerprint == node.issuer for node in standings),
        }
        for state, one in (
            ("issuing", authorities.issuing),
            ("next", authorities.next),
            ("previous", authorities.previous),
        )
        if one is not None
    ]
    file = str(place_of(bench.settings.authority_dir, authorities.rotation) / "ca.crt")
    if json_out:
        first = {key: listed[0][key] for key in ("subject", "sha256", "not_after")}
        rotation = {"phase": authorities.rotation.phase, "nodes": len(standings)}
        say_json({**first, "file": file, "pem": authorities.pem, **rotation, "authorities": listed})
        return
    columns = ["state", "subject", "sha256", "not_after", "trusted_by", "used_by"]
    table(
        [column.replace("_", " ") for column in columns],
        [[str(one[column]) for column in columns] for one in listed],
    )
    hint(f"{len(standings)} node(s) have a certificate; {file} is the one that issues")
    tell_what_now(authorities)


@ca.group(cls=AdminGroup)
def rotate() -> None:
    """Replace the authority: begin, switch, finish; or abort.

    \b
    begin   makes the next authority; nodes learn to trust it within a minute
    switch  has it issue; nodes change their certificate within a minute
    finish  drops the one before: what it issued is refused from then on
    abort   goes back
    """


@rotate.command()
@works
async def begin(bench: Workbench) -> None:
    """Make the next authority and have nodes trust it. Nothing is issued by it yet."""
    from emf_manager.identity.authorities import begin_rotation

    authorities = begin_rotation(bench.settings.authority_dir, now=bench.now)
    await told(bench, "begin", authorities)
    hint("operators need both certificates before `switch`: emf-manager ca show --pem > ca.crt")


@rotate.command()
@force
@works
async def switch(bench: Workbench, *, force: bool) -> None:
    """Have the next authority issue. Refused while a node does not trust it yet.

    A node that does not would refuse the server, and have to be enrolled again. Enrolment tokens
    made before this are of no use afterwards.
    """
    from emf_manager.identity.authorities import step_rotation
    from emf_manager.identity.rotation import Rotation, behind_switch

    following = bench.authorities.next
    if following is not None and not force:
        behind = behind_switch(await standings_now(bench), following.fingerprint)
        refuse(behind, "does not trust the next authority yet", "would have to be enrolled again")
        tokens = [
            grant.id
            for grant in await bench.store.grants()
            if grant.revoked is None and grant.expires > bench.now and grant.uses_left > 0
        ]
        refuse(tokens, "is a token made before", "would be of no use: wait, or revoke it")
    authorities = step_rotation(bench.settings.authority_dir, Rotation.switch, now=bench.now)
    await told(bench, "switch", authorities, forced=force)


@rotate.command()
@force
@works
async def finish(bench: Workbench, *, force: bool) -> None:
    """Drop the previous authority. Refused while a node still uses it."""
    from emf_manager.identity.authorities import step_rotation
    from emf_manager.identity.rotation import Rotation, behind_finish

    if bench.authorities.previous is not None and not force:
        behind = behind_finish(await standings_now(bench), bench.authority.fingerprint)
        refuse(behind, "uses the previous authority still", "would be refused, and need enrolling")
    authorities = step_rotation(bench.settings.authority_dir, Rotation.finish, now=bench.now)
    await told(bench, "finish", authorities, forced=force)


@rotate.command()
@works
async def abort(bench: Workbench) -> None:
    """Go back: drop the next authority, or have the previous one issue again."""
    from emf_manager.identity.authorities import step_rotation
    from emf_manager.identity.rotation import Rotation

    authorities = step_rotation(bench.settings.authority_dir, Rotation.abort, now=bench.now)
    await told(bench, "abort", authorities)


async def standings_now(bench: Workbench) -> tuple[Standing, ...]:
    """Return how every node with a live certificate stands, as it said itself last."""
    from emf_manager.identity.rotation import standings_of

    alive = {
        one.fqdn
        for one in await bench.store.certificates()
        if one.revoked is None and one.not_after > bench.now
    }
    reports = {value.node: value.body for value in await bench.store.values(daemon="agent")}
    return standings_of(reports, alive)


def refuse(names: Iterable[str], what: str, then: str) -> None:
    """Refuse a step that would lose somebody.

    Raises:
        RefusedError: with their names.

    """
    found = list(names)
    if found:
        more = f" and {len(found) - NAMES_SHOWN} more" if len(found) > NAMES_SHOWN else ""
        shown = ", ".join(found[:NAMES_SHOWN])
        raise RefusedError(f"{shown}{more} {what} and {then}; --force does it nevertheless")


async def told(
    bench: Workbench, step: str, authorities: Authorities, *, forced: bool = False
) -> None:
    """Leave an audit line, and say what comes next."""
    line = bench.line(
        f"ca rotate {step}",
        authorities.issuing.fingerprint,
        trusted=list(authorities.fingerprints),
        forced=forced,
    )
    await bench.store.audit(line)
    click.echo(f"{authorities.rotation.phase}: {authorities.issuing.fingerprint} issues")
    tell_what_now(authorities)


def tell_what_now(authorities: Authorities) -> None:
    from emf_manager.identity.rotation import WHAT_NOW

    phase = authorities.rotation.phase
    if phase != "settled":
        hint(f"`emf-manager ca show` says how many nodes are there; then {WHAT_NOW[phase]}")
