"""The first page: the fleet."""

from __future__ import annotations

from starlette.responses import Response

from emf_manager.api import translate
from emf_manager.web.pages import Page, Visit

__all__ = ["PAGES"]


async def show(visit: Visit) -> Response:
    """Show every node."""
    service = visit.service
    now, alerts = service.now(), service.alerts.counts()
    nodes = [
        translate.node(node, now, alerts=alerts.get(node.fqdn, 0))
        for node in await service.engine.nodes()
    ]
    return visit.page("fleet.html", nodes=nodes)


PAGES = (Page("/", "read", show, nav="Fleet"),)
