"""The ASGI application of the API: the routes inside, the guard around them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from emf_manager.api import accounts, alerts, events, fleet, history, jobs, metrics, problems
from emf_manager.api.answers import AnswerBook
from emf_manager.api.guard import Guard, Visit, nobody
from emf_manager.api.models import Health
from emf_manager.api.pace import Limiter, Pace
from emf_manager.api.service import Service
from emf_manager.authorization import API_PREFIX, find_route

__all__ = ["build_api", "build_routes", "describe"]

ERRORS = {
    400: "bad JSON",
    401: "no valid token",
    403: "the role does not allow it",
    404: "no such thing",
    422: "it does not fit",
}


def build_api(
    service: Service,
    *,
    visit: Visit = nobody,
    pace: Pace | None = None,
    answers: AnswerBook | None = None,
) -> ASGIApp:
    """Return the guarded API over a manager; ``visit`` tells whose login a cookie is."""
    return Guard(
        build_routes(service),
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

    for room in (accounts, alerts, events, fleet, history, jobs, metrics):
        here.include_router(room.router)
    app.include_router(here)
    return app


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document, with our problems and permissions in place of defaults."""
    document = app.openapi()
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schema = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs"))
    schemas["Problem"] = schema
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            route = find_route(method.upper(), path)
            assert route is not None
            open_to_all = route.permission == "public"
            operation["security"] = [] if open_to_all else [{"token": []}]
            operation["x-permission"] = route.permission
            operation["responses"].pop("422", None)
            if not open_to_all:
                operation["responses"].update(problem_answers())
    return document


def problem_answers() -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Problem"}
    content = {problems.MEDIA_TYPE: {"schema": reference}}
    return {str(status): {"description": why, "content": content} for status, why in ERRORS.items()}
