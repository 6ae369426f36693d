"""The page about oneself: what one may do, and where one is signed in."""

from __future__ import annotations

from starlette.responses import Response

from emf_manager.authorization import GRANTED
from emf_manager.web.pages import Page, Visit

__all__ = ["PAGES"]


async def show(visit: Visit) -> Response:
    """Show who is signed in."""
    return visit.page("account.html", permissions=sorted(GRANTED[visit.principal.role]))


PAGES = (Page("/account", "read", show),)
