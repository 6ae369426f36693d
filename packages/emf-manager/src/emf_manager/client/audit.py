"""``emf audit``: who did what, and whether the trail that says so is whole."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from emf_agent.errors import EmfError, UsageError
from emf_manager.client.output import say_json, table
from emf_manager.client.program import Group, as_json, talks

if TYPE_CHECKING:
    from emf_manager.client.door import Door

__all__ = ["audit"]


@click.group(cls=Group)
def audit() -> None:
    """Read and check the audit trail."""


@audit.command("list")
@click.option("--after", type=click.IntRange(min=0), help="Only lines after this number.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@as_json
@talks
async def list_audit(door: Door, after: int | None, limit: int, *, json_out: bool) -> None:
    """List the newest lines of the audit trail, or those after a number; oldest first."""
    wanted = {"order": "newest"} if after is None else {"after": after}
    found = [line async for line in door.pages("audit", wanted, limit=limit)]
    found.sort(key=lambda line: int(line["sequence"]))
    if json_out:
        say_json(found)
        return
    table(
        ["number", "at", "who", "what", "to", "outcome"],
        (
            [
                each["sequence"],
                datetime.fromtimestamp(each["at"], timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ"),
                each["actor"],
                each["what"],
                each["subject"],
                each["outcome"],
            ]
            for each in found
        ),
    )


@audit.command()
@click.option("--expect", metavar="N:DIGEST", help="A line that was noted earlier.")
@talks
async def verify(door: Door, expect: str | None) -> None:
    """Check that no line of the audit trail was edited, dropped or moved."""
    noted = None if expect is None else read_noted(expect)
    lines = [line async for line in door.pages("audit", {})]
    check(lines, noted)
    head = f"; the last is {lines[-1]['sequence']}:{lines[-1]['digest']}" if lines else ""
    click.echo(f"{len(lines)} lines, unbroken{head}")


def check(lines: list[dict[str, Any]], noted: tuple[int, str] | None) -> None:
    from emf_manager.audit_chain import broken_links
    from emf_manager.records import AuditEntry, NewAudit

    members = ("at", "actor", "what", "subject", "outcome", "detail")
    trail = [
        AuditEntry(line["sequence"], NewAudit(*(line[name] for name in members)), line["digest"])
        for line in lines
    ]
    broken = broken_links(trail, length=0 if noted is None else noted[0])
    if broken:
        raise EmfError(f"the audit trail was tampered with at line {', '.join(map(str, broken))}")
    if noted is not None and trail[noted[0] - 1].digest != noted[1]:
        raise EmfError(f"line {noted[0]} is not the one that was noted: the chain was rewritten")


def read_noted(text: str) -> tuple[int, str]:
    number, _, digest = text.partition(":")
    if not (number.isdecimal() and 0 < int(number[:20]) < 2**63 and len(digest) == 64):
        raise UsageError(f"{text[:80]!r} is not N:DIGEST, as `emf audit verify` prints it")
    return int(number), digest
