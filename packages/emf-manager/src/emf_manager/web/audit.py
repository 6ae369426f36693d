"""The page of the audit trail: the newest lines first, and whether the chain holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio.to_thread
from starlette.responses import Response

from emf_manager.api import models as m
from emf_manager.audit_chain import FIRST_DIGEST, digest
from emf_manager.records import NewAudit
from emf_manager.web.pages import Page, Visit

__all__ = ["PAGES", "Links", "checked"]

SHOWN = 100
AT_ONCE = 2000
"""Lines that are checked in one go, in a thread."""


@dataclass(frozen=True)
class Links:
    """How far a chain was followed, and where it is broken."""

    last: int = 0
    digest: str = FIRST_DIGEST
    broken: tuple[int, ...] = ()


def checked(links: Links, lines: Sequence[m.AuditLine]) -> Links:
    """Return the chain with these lines followed."""
    last, before, broken = links.last, links.digest, list(links.broken)
    for line in lines:
        kept = NewAudit(line.at, line.actor, line.what, line.subject, line.outcome, line.detail)
        if line.sequence != last + 1 or line.digest != digest(before, last + 1, kept):
            broken.append(line.sequence)
        last, before = line.sequence, line.digest
    return Links(last, before, tuple(broken))


async def show(visit: Visit) -> Response:
    """Show lines up to a number, or the newest; of these or of all it is told whether they hold."""
    asked = visit.request.query_params
    said = asked.get("until", "")
    actor = asked.get("actor", "")[:255]
    accounts = visit.service.accounts
    length = await accounts.audit_length()
    until = min(int(said), length) if said.isdecimal() and len(said) < 19 else length
    after = max(0, until - SHOWN)
    read = await accounts.audit_trail(after=max(0, after - 1), limit=SHOWN + 1)
    links = Links() if after == 0 else Links(read[0].sequence, read[0].digest) if read else Links()
    lines = [line for line in read if after < line.sequence <= until]
    links = await anyio.to_thread.run_sync(checked, links, lines)
    whole = await follow(visit, length) if asked.get("verify") else None
    return visit.page(
        "audit.html",
        lines=[line for line in reversed(lines) if actor in line.actor],
        links=links,
        whole=whole,
        until=until,
        length=length,
        older=after,
        actor=actor,
    )


async def follow(visit: Visit, length: int) -> Links:
    """Follow the whole chain, a stretch at a time."""
    links = Links()
    while links.last < length:
        lines = await visit.service.accounts.audit_trail(after=links.last, limit=AT_ONCE)
        if not lines:
            return Links(links.last, links.digest, (*links.broken, links.last + 1))
        links = await anyio.to_thread.run_sync(checked, links, lines)
    return links


PAGES = (Page("/audit", "administer", show, nav="Audit"),)
