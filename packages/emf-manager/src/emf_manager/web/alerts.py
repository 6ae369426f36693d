"""The page of alerts: what somebody has to look at, and who does."""

from __future__ import annotations

from starlette.responses import Response

from emf_manager.api import alert_models as am
from emf_manager.api.paging import Page as ListPage
from emf_manager.web.answers import get
from emf_manager.web.pages import UI, Page, Visit

__all__ = ["PAGES"]

STATES = ("current", "open", "acknowledged", "cleared")


async def show(visit: Visit) -> Response:
    """List alerts, those that hold now unless others are asked for; the worst come first."""
    asked = {
        name: visit.request.query_params.get(name, "").strip()[:65536]
        for name in ("state", "nodes", "kind", "severity")
    }
    state = asked["state"] or "current"
    cursor = visit.request.query_params.get("cursor")
    found = await get(
        visit,
        ListPage[am.Alert],
        "/alerts",
        limit=100,
        cursor=cursor,
        state=None if state == "all" else state,
        **{name: value or None for name, value in asked.items() if name != "state"},
    )
    worst_first = sorted(
        found.items, key=lambda one: (one.state != "open", one.severity != "critical", -one.id)
    )
    return visit.page(
        "alerts.html",
        alerts=worst_first if state != "cleared" else found.items,
        asked=asked,
        state=state,
        states=STATES,
        following=found.next,
        cursor=cursor,
        noted=visit.form.get("note", ""),
    )


async def acknowledge(visit: Visit) -> Response:
    """Note that this user looks after an alert."""
    number = visit.request.path_params["alert_id"]
    note = visit.form.get("note", "").strip()
    await visit.call("POST", f"/alerts/{number}/acknowledge", {"note": note})
    return visit.go(f"{UI}/alerts")


PAGES = (
    Page("/alerts", "read", show, nav="Alerts"),
    Page("/alerts/{alert_id}/acknowledge", "operate", acknowledge, methods=("POST",)),
)
