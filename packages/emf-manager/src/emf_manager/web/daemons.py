"""The page of one daemon of a node: its value in panels, how old it is, and what it was before."""

from __future__ import annotations

from starlette.responses import Response

from emf_manager.api import models as m
from emf_manager.web.answers import get
from emf_manager.web.frame import pretty
from emf_manager.web.pages import Page, Visit
from emf_manager.web.panels.choice import panels_of

__all__ = ["PAGES"]

AS_TEXT = 200_000
"""Characters; a longer value is not shown as it came."""


async def show(visit: Visit) -> Response:
    """Show a daemon's latest value."""
    fqdn, daemon = visit.request.path_params["fqdn"], visit.request.path_params["daemon"]
    item = await get(visit, m.DataItem, f"/data/{fqdn}/{daemon}")
    raw = pretty(item.value)
    return visit.page(
        "daemon.html",
        item=item,
        panels=panels_of(daemon, item.value, {}),
        curves={},
        plots={},
        raw=raw if len(raw) <= AS_TEXT else None,
    )


PAGES = (Page("/nodes/{fqdn}/daemons/{daemon}", "read", show),)
