"""The page of events: the newest first, followed or held."""

from __future__ import annotations

from starlette.responses import Response

from emf_manager.api import translate
from emf_manager.web.pages import Page, Visit

__all__ = ["PAGES"]

SHOWN = 100
LOOKED_AT = 2000
"""Events that are looked through for one page of a filtered list."""


async def show(visit: Visit) -> Response:
    """Show events up to a number, or up to now: then the page follows."""
    asked = visit.request.query_params
    said = asked.get("until", "")
    until = int(said) if said.isdecimal() and len(said) < 19 else None
    kind, node = asked.get("kind", "")[:255], asked.get("node", "")[:255]
    engine = visit.service.engine
    newest = await engine.last_event()
    last = newest if until is None else min(until, newest)
    filtered = bool(kind or node)
    after = max(0, last - (LOOKED_AT if filtered else SHOWN))
    views = await engine.events(after=after, limit=last - after) if last > after else ()
    found = [
        translate.event(view)
        for view in reversed(views)
        if view.sequence <= last and view.kind.startswith(kind) and node in ("", view.node)
    ]
    shown = found[:SHOWN]
    oldest = shown[-1].sequence if len(found) > SHOWN else after + 1
    return visit.page(
        "events.html",
        events=shown,
        until=until,
        last=last,
        older=oldest - 1,
        kind=kind,
        node=node,
        newest=newest,
    )


PAGES = (Page("/events", "read", show, nav="Events"),)
