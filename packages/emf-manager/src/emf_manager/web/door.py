"""The door of the page: signing in and out; every page behind it asks here who is there.

A link from another site brings no cookie (``SameSite=Strict``), also of somebody who is signed
in; then a page that loads itself again stands in between, and brings it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from emf_manager.api.problems import ProblemError
from emf_manager.api.service import Service
from emf_manager.authorization import permits
from emf_manager.logins.book import LoginBook, NotSignedIn, Sender, SignedIn
from emf_manager.logins.rules import ABSOLUTE_S, COOKIE, login_secret, unmeant
from emf_manager.web.forms import read_form
from emf_manager.web.frame import Frame
from emf_manager.web.pages import UI, Page, Visit

__all__ = ["Door"]

INSIDE = re.compile(r"/ui(/[\w.~:@%!$&'()*+,;=-]+)*/?(\?[\w.~:@%!$&'()*+,;=/?\[\]-]*)?", re.ASCII)
"""What may be gone to after signing in: a path of ours, never another host."""
KEPT_CHARS = 2000


@dataclass(frozen=True)
class Door:
    """Lets people in, and keeps their visits."""

    service: Service
    api: ASGIApp
    book: LoginBook
    frame: Frame
    pages: tuple[Page, ...]

    async def sign_in_page(self, request: Request) -> Response:
        """Show the ways to sign in."""
        return self._ways(inside(request.query_params.get("next", "")))

    async def sign_in(self, request: Request) -> Response:
        """Take a token, a name with a password, or the code of a link."""
        form = await read_form(request)
        fault = unmeant(request.headers, None, None)
        if fault is not None:
            raise ProblemError(403, "not-meant", fault)
        where = inside(form.get("next", ""))
        sender = Sender(
            request.client.host if request.client else "local",
            request.headers.get("user-agent", ""),
        )
        answer = await self._ask(form, sender)
        if isinstance(answer, NotSignedIn):
            status = 429 if answer.wait_s else 401
            refused = self._ways(where, fault=answer.why, user=form.get("user", ""), status=status)
            if answer.wait_s:
                refused.headers["Retry-After"] = str(int(answer.wait_s) + 1)
            return refused
        if old := login_secret(request.headers):
            await self.book.sign_out(old)
        response = RedirectResponse(where, status_code=303)
        set_cookie(response, answer.secret, ABSOLUTE_S)
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the login, here and in the store."""
        form = await read_form(request)
        secret = login_secret(request.headers)
        fault = unmeant(request.headers, secret, form.get("csrf"))
        if fault is not None:
            raise ProblemError(403, "not-meant", fault)
        if secret is not None:
            await self.book.sign_out(secret)
        response = RedirectResponse(f"{UI}/login", status_code=303)
        set_cookie(response, "", 0)
        return response

    def admit(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """Return the function of a route, which shows the page to whoever may see it."""

        async def show(request: Request) -> Response:
            secret = login_secret(request.headers)
            principal = None if secret is None else await self.book.visit(secret)
            if secret is None or principal is None:
                return self._stranger(request)
            if not permits(principal, page.permission):
                raise ProblemError(
                    403,
                    "forbidden",
                    f"{principal.user} has the role {principal.role}, "
                    f"which may not {page.permission}",
                )
            form: dict[str, str] = {}
            if request.method not in {"GET", "HEAD"}:
                form = await read_form(request)
                fault = unmeant(request.headers, secret, form.get("csrf"))
                if fault is not None:
                    raise ProblemError(403, "not-meant", fault)
            nav = tuple(
                (UI + one.path, one.nav)
                for one in self.pages
                if one.nav is not None and permits(principal, one.permission)
            )
            event = await self.service.engine.last_event()
            return await page.show(
                Visit(
                    *(
                        request,
                        self.service,
                        principal,
                        secret,
                        self.frame,
                        self.api,
                        self.book,
                        nav,
                    ),
                    event=event,
                    form=form,
                )
            )

        return show

    async def _ask(self, form: dict[str, str], sender: Sender) -> SignedIn | NotSignedIn:
        if code := form.get("code", "").strip():
            return await self.book.by_code(code, sender)
        if token := form.get("token", "").strip():
            return await self.book.by_token(token, sender)
        return await self.book.by_password(
            form.get("user", "").strip(), form.get("password", ""), sender
        )

    def _stranger(self, request: Request) -> Response:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if request.method not in {"GET", "HEAD"}:
            raise ProblemError(401, "unauthorized", "your login is over; sign in again")
        fetch = request.headers
        if (
            fetch.get("sec-fetch-site") == "cross-site"
            and fetch.get("sec-fetch-mode") == "navigate"
        ):
            return self.frame.respond("again.html", {"where": inside(path)})
        return RedirectResponse(f"{UI}/login?next={quote(path[:KEPT_CHARS], safe='/')}", 303)

    def _ways(
        self, where: str, *, fault: str | None = None, user: str = "", status: int = 200
    ) -> Response:
        values = {"next": where, "fault": fault, "user": user[:64]}
        return self.frame.respond("login.html", values, status=status)


def inside(where: str) -> str:
    """Return where to go after signing in: as asked, where that is a page of ours."""
    return where if len(where) <= KEPT_CHARS and INSIDE.fullmatch(where) else f"{UI}/"


def set_cookie(response: Response, secret: str, age_s: float) -> None:
    response.set_cookie(
        COOKIE, secret, max_age=int(age_s), path="/", secure=True, httponly=True, samesite="strict"
    )
