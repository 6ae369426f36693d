"""The page as one ASGI application: its files, its door, its pages, their policy."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from emf_agent.errors import EmfError
from emf_manager.api.problems import BY_STATUS, TITLES, ProblemError, from_error
from emf_manager.api.service import Service
from emf_manager.logins.book import LoginBook
from emf_manager.web.assets import Assets
from emf_manager.web.door import Door
from emf_manager.web.frame import Frame
from emf_manager.web.pages import UI, Page
from emf_manager.web.policy import Policy
from emf_manager.web.rooms import PAGES

__all__ = ["build_web"]

PACKING = 4
"""Of 9: the map of 5,000 nodes is 4 % larger than with the most, and packed in half the time."""
SMALL_BYTES = 1024
"""Answers below this are not worth compressing."""


def build_web(
    service: Service, api: ASGIApp, book: LoginBook, *, pages: tuple[Page, ...] = PAGES
) -> ASGIApp:
    """Return the page over a manager; ``api`` is the guarded API, which it writes through."""
    assets = Assets()
    frame = Frame(assets)
    door = Door(service, api, book, frame, pages)

    async def problem(_: Request, error: Exception) -> Response:
        told = as_problem(error)
        values = {"title": TITLES[told.kind], "problem": told}
        return frame.respond("problem.html", values, status=told.status)

    async def first(_: Request) -> Response:
        return RedirectResponse(f"{UI}/", status_code=307)

    failures: tuple[type[Exception], ...] = (ProblemError, EmfError, HTTPException, Exception)
    handlers: dict[Any, Any] = dict.fromkeys(failures, problem)
    app = Starlette(
        routes=[
            Route("/", first),
            Route(UI, first),
            Route(f"{UI}/static/{{version}}/{{name:path}}", assets.serve),
            Route(f"{UI}/login", door.sign_in_page, methods=["GET"]),
            Route(f"{UI}/login", door.sign_in, methods=["POST"]),
            Route(f"{UI}/logout", door.sign_out, methods=["POST"]),
            *(Route(UI + one.path, door.admit(one), methods=list(one.methods)) for one in pages),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=SMALL_BYTES, compresslevel=PACKING)],
        exception_handlers=handlers,
    )
    app.router.redirect_slashes = False
    return Policy(app)


def as_problem(error: Exception) -> ProblemError:
    """Return what to tell of an error; no exception's text leaves that was not made for people."""
    match error:
        case ProblemError():
            return error
        case EmfError():
            return from_error(error)
        case HTTPException(status_code=status):
            kind = BY_STATUS.get(status, "invalid")
            return ProblemError(status, kind, HTTPStatus(status).phrase)
        case _:
            detail = "a fault of the manager, not of yours; its log has the reason"
            return ProblemError(500, "internal", detail)
