"""Routes of alerts: what somebody has to look at, and that somebody does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from emf_manager.alerts.values import Alert, Severity
from emf_manager.api import alert_models as m
from emf_manager.api.fleet import PageQuery, chosen, tagged
from emf_manager.api.mandates import allow_nodes
from emf_manager.api.models import NodeSetText
from emf_manager.api.paging import Page, decode_cursor, encode_cursor
from emf_manager.api.problems import ProblemError
from emf_manager.api.service import Caller, Manager
from emf_manager.api.translate import certain, moment
from emf_manager.store.alert_rows import AlertFilter

__all__ = ["router"]

router = APIRouter(tags=["alerts"])

Number = Annotated[int, Path(ge=1, lt=2**63, description="The alert's number.")]


class AlertQuery(PageQuery):
    state: Literal["open", "acknowledged", "cleared", "current"] | None = Field(
        default=None, description="current: open or acknowledged."
    )
    nodes: NodeSetText | None = None
    exclude: NodeSetText | None = None
    kind: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Only this kind, such as node.silent."
    )
    severity: Severity | None = Field(default=None, description="Only those as grave as this.")


@router.get("/alerts", response_model=Page[m.Alert])
async def list_alerts(
    manager: Manager, query: Annotated[AlertQuery, Query()], request: Request
) -> Any:
    """List alerts, the newest first."""
    which = AlertFilter(
        state=query.state,
        nodes=await chosen(manager, query.nodes, query.exclude),
        kind=query.kind,
        severity=query.severity,
    )
    before = None if query.cursor is None else int(decode_cursor(query.cursor, int)[0])
    found = await manager.alerts.listed(which, before=before, limit=query.limit + 1)
    items = tuple(map(shown, found[: query.limit]))
    following = encode_cursor((items[-1].id,)) if len(found) > query.limit else None
    return tagged(request, Page[m.Alert](items=items, next=following), items, following)


@router.get("/alerts/{alert_id}", response_model=m.Alert)
async def show_alert(manager: Manager, alert_id: Number, request: Request) -> Any:
    """Show one alert: what is wrong, what to do about it, and who looks after it."""
    alert = shown(await manager.alerts.find(alert_id))
    return tagged(request, alert, alert)


@router.post("/alerts/{alert_id}/acknowledge", response_model=m.Alert)
async def acknowledge_alert(
    manager: Manager, caller: Caller, alert_id: Number, body: m.AcknowledgeRequest | None = None
) -> Any:
    """Say that you look after an alert; the first to say so is kept."""
    if caller.mandates:
        node = (await manager.alerts.find(alert_id)).key.node
        if node is None:
            why = f"the mandates of {caller.user} are about nodes, and this alert is about none"
            raise ProblemError(403, "forbidden", why)
        allow_nodes(caller, [node], "acknowledge alerts")
    note = (body or m.AcknowledgeRequest()).note
    return shown(await manager.alerts.acknowledge(alert_id, by=caller.user, note=note))


def shown(alert: Alert) -> m.Alert:
    """Return an alert as the API says it."""
    done = alert.acknowledged
    return m.Alert(
        id=alert.id,
        kind=alert.key.kind,
        severity=alert.severity,
        state=alert.state,
        node=alert.key.node,
        subject=alert.key.subject,
        text=alert.text,
        raised=certain(alert.raised),
        cleared=moment(alert.cleared),
        acknowledged=None
        if done is None
        else m.Acknowledged(by=done.by, at=certain(done.at), note=done.note),
    )
