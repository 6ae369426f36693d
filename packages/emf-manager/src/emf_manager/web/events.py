"""The page of events: the newest first, followed or held."""

from __future__ import annotations

import json

from starlette.responses import Response

from emf_manager.api import models as m
from emf_manager.api import translate
from emf_manager.web.pages import Page, Visit

__all__ = ["PAGES"]

BESIDE = frozenset({"job", "node", "action_id", "session", "instance", "previous"})
"""What an event says that stands beside it already, or tells nobody anything."""
LONGEST = 500
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
        events=[(event, about(event)) for event in shown],
        until=until,
        last=last,
        older=oldest - 1,
        kind=kind,
        node=node,
        newest=newest,
    )


def about(event: m.Event) -> tuple[tuple[str, str], ...]:
    """Return what an event says that does not stand beside it, and is worth a look."""
    if not isinstance(event.body, dict):
        return ()
    told = {name: one for name, one in event.body.items() if name not in BESIDE}
    return tuple(
        (name.replace("_", " "), (one if isinstance(one, str) else json.dumps(one))[:LONGEST])
        for name, one in told.items()
        if one not in (None, False, "")
    )


PAGES = (Page("/events", "read", show, nav="Events"),)
