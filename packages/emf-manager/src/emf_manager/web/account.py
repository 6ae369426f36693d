"""The page about oneself: what one may do, and where one is signed in."""

from __future__ import annotations

from starlette.responses import Response

from emf_manager.authorization import GRANTED
from emf_manager.views import NotFoundError
from emf_manager.web.pages import UI, Page, Visit

__all__ = ["PAGES"]


async def show(visit: Visit) -> Response:
    """Show who is signed in, and where."""
    return visit.page(
        "account.html",
        permissions=sorted(GRANTED[visit.principal.role]),
        logins=await visit.book.logins(visit.principal.user),
        this=visit.principal.token_id.removeprefix("login:"),
    )


async def end(visit: Visit) -> Response:
    """End one login of one's own; the book of logins audits it."""
    login_id = visit.request.path_params["login_id"]
    if not await visit.book.end(visit.principal.user, login_id):
        raise NotFoundError("login", login_id)
    return visit.go(f"{UI}/account")


PAGES = (
    Page("/account", "read", show),
    Page("/account/logins/{login_id}/end", "read", end, methods=("POST",)),
)
