"""The ASGI application of the API: the routes inside, the guard around them."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from emf_manager.api import (
    accounts,
    alerts,
    events,
    fleet,
    groups,
    history,
    jobs,
    labels,
    matching,
    metrics,
    plans,
    problems,
)
from emf_manager.api.answers import AnswerBook
from emf_manager.api.freshness import Fresh
from emf_manager.api.guard import Guard, Visit, nobody
from emf_manager.api.models import Health
from emf_manager.api.openapi import describe
from emf_manager.api.pace import Limiter, Pace
from emf_manager.api.service import Service
from emf_manager.authorization import API_PREFIX

__all__ = ["build_api", "build_routes"]


def build_api(
    service: Service,
    *,
    visit: Visit = nobody,
    pace: Pace | None = None,
    answers: AnswerBook | None = None,
) -> ASGIApp:
    """Return the guarded API over a manager; ``visit`` tells whose login a cookie is."""
    return Guard(
        Fresh(build_routes(service)),
        authenticate=service.accounts.authenticate,
        audit=service.accounts.audit,
        visit=visit,
        limiter=Limiter(pace or Pace()),
        answers=answers,
    )


def build_routes(service: Service) -> FastAPI:
    """Return the bare routes; only the guard, and the test that walks them, may see these."""
    app = FastAPI(
        title="EMF manager",
        version=version("emf-manager"),
        summary="Nodes, their data, and actions on them.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    problems.install(app)
    here = APIRouter(prefix=API_PREFIX)

    @here.get("/health", tags=["manager"])
    async def health() -> Health:
        """Tell that the manager serves."""
        return Health()

    @here.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(describe(app))

    rooms = (
        *(accounts, alerts, events, fleet, groups, history),
        *(jobs, labels, matching, metrics, plans),
    )
    for room in rooms:
        here.include_router(room.router)
    app.include_router(here)
    return app
