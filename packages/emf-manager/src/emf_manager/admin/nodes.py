"""``emf-manager node`` and ``audit``: the fleet's names, and who did what."""

from __future__ import annotations

import click

from emf_agent.errors import EmfError
from emf_manager.admin.workbench import AdminGroup, Workbench, moment_text, works
from emf_manager.audit_chain import broken_links
from emf_manager.client.output import hint, say_json, table
from emf_manager.client.program import as_json
from emf_manager.records import AuditEntry
from emf_manager.views import NotFoundError

__all__ = ["audit", "node"]

PAGE = 5000


@click.group(cls=AdminGroup)
def node() -> None:
    """List, approve, revoke and remove nodes."""


@node.command("list")
@as_json
@works
async def list_nodes(bench: Workbench, *, json_out: bool) -> None:
    """List enrolled nodes with the end of their newest certificate."""
    newest: dict[str, float] = {}
    for certificate in await bench.store.certificates():
        if certificate.revoked is None:
            newest.setdefault(certificate.fqdn, certificate.not_after)
    nodes = await bench.store.nodes()
    if json_out:
        say_json(
            [
                {
                    "fqdn": one.fqdn,
                    "state": one.state,
                    "role": one.role,
                    "enrolled": one.enrolled,
                    "last_contact": one.last_contact,
                    "certificate_until": newest.get(one.fqdn),
                    "waiting": one.waiting,
                }
                for one in nodes
            ]
        )
        return
    rows = [
        [
            one.fqdn,
            "waiting" if one.waiting else one.state,
            one.role or "-",
            moment_text(newest.get(one.fqdn)),
        ]
        for one in nodes
    ]
    table(["node", "state", "role", "certificate until"], rows)


@node.command()
@click.argument("fqdn")
@click.option("--reason", default="removed by an admin", show_default=True)
@works
async def remove(bench: Workbench, fqdn: str, reason: str) -> None:
    """Remove a node: its certificates are revoked at once, its data is gone."""
    line = bench.line("remove node", fqdn, reason=reason)
    removed = await bench.store.remove_node(fqdn, at=bench.now, reason=reason, audit=line)
    if removed is None:
        raise NotFoundError("node", fqdn)
    hint(f"{fqdn} is removed; {len(removed[1])} certificate(s) revoked")


@node.command()
@click.argument("fqdn")
@click.option("--reason", default="revoked by an admin", show_default=True)
@works
async def revoke(bench: Workbench, fqdn: str, reason: str) -> None:
    """Revoke a node's certificates: it is refused at once, what is known of it stays."""
    line = bench.line("revoke node", fqdn, reason=reason)
    revoked = await bench.store.revoke_node(fqdn, at=bench.now, reason=reason, audit=line)
    if revoked is None:
        raise NotFoundError("node", fqdn)
    hint(f"{fqdn}: {len(revoked[1])} certificate(s) revoked; enrol it again to have it back")


@node.command()
@click.argument("fqdn")
@works
async def approve(bench: Workbench, fqdn: str) -> None:
    """Let a node speak that enrolled with a token made with --approval."""
    line = bench.line("approve node", fqdn)
    if await bench.store.approve_node(fqdn, at=bench.now, audit=line) is None:
        raise NotFoundError("waiting node", fqdn)
    hint(f"{fqdn} is approved")


@click.group(cls=AdminGroup)
def audit() -> None:
    """Check the audit trail."""


@audit.command()
@works
async def verify(bench: Workbench) -> None:
    """Check that no line of the audit trail was edited, dropped or moved."""
    trail: list[AuditEntry] = []
    while page := await bench.store.audit_trail(
        after=trail[-1].sequence if trail else 0, limit=PAGE
    ):
        trail += page
    broken = broken_links(trail, length=await bench.store.audit_length())
    if broken:
        raise EmfError(f"the audit trail was tampered with at line {', '.join(map(str, broken))}")
    click.echo(f"{len(trail)} lines, unbroken")
    if trail:
        hint(f"the last is {trail[-1].sequence}:{trail[-1].digest}")
