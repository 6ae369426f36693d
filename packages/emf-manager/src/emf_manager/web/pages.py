"""What a page is: a row with path, permission and function; and a visit, the request of a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from emf_manager.api.problems import ProblemError
from emf_manager.api.service import Service
from emf_manager.authorization import Permission, Principal, permits
from emf_manager.logins.book import LoginBook
from emf_manager.logins.rules import CSRF_HEADER, csrf_token
from emf_manager.web.frame import Frame
from emf_manager.web.in_process import Answer, call

__all__ = ["UI", "Page", "Visit"]

UI = "/ui"


@dataclass(frozen=True)
class Visit:
    """One request of somebody who is signed in, and what a page needs to answer it."""

    request: Request
    service: Service
    principal: Principal
    secret: str = field(repr=False)
    frame: Frame
    api: ASGIApp
    book: LoginBook
    nav: tuple[tuple[str, str], ...]
    """Path and title of each page in the bar that this user may see."""
    event: int = 0
    """Number of the last event before the page was read: what came later, it has to be told."""
    form: Mapping[str, str] = field(default_factory=dict)
    """What was posted, by name; the last of a name that is there twice."""

    def may(self, permission: Permission) -> bool:
        """Tell whether this user may do such things, so that a page offers them."""
        return permits(self.principal, permission)

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page in the common frame."""
        known = {
            "csrf": csrf_token(self.secret),
            "event": self.event,
            "may": self.may,
            "nav": self.nav,
            "now": self.service.now(),
            "path": self.request.url.path,
            "principal": self.principal,
        }
        return self.frame.respond(template, {**known, **values}, status=status)

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **query: str
    ) -> Answer:
        """Call the API in this process as this user: the one way in which a page writes.

        ``key`` is an ``Idempotency-Key``: a form that is sent twice is done once.

        Raises:
            ProblemError: the API refused; shown as a page where it is not caught.

        """
        carried = {
            name: self.request.headers[name]
            for name in ("cookie", "host", "origin", "sec-fetch-site", "user-agent")
            if name in self.request.headers
        }
        if key is not None:
            carried["idempotency-key"] = key
        carried[CSRF_HEADER] = csrf_token(self.secret)
        answer = await call(
            self.api, self.request.scope, method, path, body, headers=carried, query=query
        )
        if answer.status >= 400:
            raise answer.problem()
        return answer

    def go(self, where: str) -> Response:
        """Return the way to another page, after a write."""
        return RedirectResponse(where, status_code=303)

    def value(self, name: str) -> str:
        """Return a field of the form.

        Raises:
            ProblemError: it was not sent.

        """
        if name not in self.form:
            raise ProblemError(422, "invalid", f"the form has no field {name!r}")
        return self.form[name]


@dataclass(frozen=True)
class Page:
    """One row of the table of pages."""

    path: str
    """Below ``/ui``, with ``{name}`` for a segment."""
    permission: Permission
    show: Callable[[Visit], Awaitable[Response]]
    nav: str | None = None
    """Its title in the bar on top; None where it does not stand there."""
    methods: tuple[str, ...] = ("GET",)
