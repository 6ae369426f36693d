"""Problems: every error answer of the API, as RFC 9457 problem+json and nothing else."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from emf_agent.errors import EmfError, RefusedError, UsageError
from emf_manager import views as v
from emf_manager.rollouts import RolloutError

__all__ = [
    "BUSY_S",
    "MEDIA_TYPE",
    "PROBLEM_TYPE",
    "FieldFault",
    "Problem",
    "ProblemError",
    "from_error",
    "install",
    "problem_response",
]

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "urn:emf-agent:problem:"
MEDIA_TYPE = "application/problem+json"
BUSY_S = 5.0
ECHOED = 80
"""Characters of a wrong value that are given back."""


class FieldFault(BaseModel):
    """One field that was wrong: which, what belongs there, what was there."""

    model_config = ConfigDict(frozen=True)

    field: str = Field(examples=["body.args.unit"])
    expected: str = Field(examples=["a string"])
    got: str = Field(examples=["42"])


class Problem(BaseModel):
    """An error answer (RFC 9457), sent as ``application/problem+json``."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(examples=["urn:emf-agent:problem:invalid"])
    title: str = Field(examples=["The request does not fit"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["body.args.unit: expected a string, got 42"])
    instance: str = Field(examples=["/api/v1/jobs"])
    errors: tuple[FieldFault, ...] = ()
    suggestions: tuple[str, ...] = Field(
        default=(), description="Names close to one that was not found."
    )


EXPECTED = {"missing": "a value", "extra_forbidden": "nothing: there is no such field"}
TITLES = {
    "invalid": "The request does not fit",
    "unauthorized": "A valid token is needed",
    "forbidden": "The token's role does not allow this",
    "not-meant": "The manager's own page did not ask for this",
    "not-found": "There is no such thing",
    "no-node-matched": "No node matches",
    "refused": "Refused by policy",
    "conflict": "It conflicts with what is there",
    "method": "This method is not allowed here",
    "too-large": "The body is too large",
    "media-type": "The body must be JSON",
    "too-many": "Too many requests",
    "changed": "It was changed meanwhile",
    "busy": "The manager cannot take this now",
    "internal": "The manager failed",
}
BY_STATUS = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method",
    409: "conflict",
    412: "changed",
    413: "too-large",
    415: "media-type",
    422: "invalid",
    429: "too-many",
    500: "internal",
    503: "busy",
}


class ProblemError(Exception):
    """Raised anywhere below a route to answer with a problem."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[FieldFault] = (),
        suggestions: Sequence[str] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.suggestions = tuple(suggestions)
        self.retry_after_s = retry_after_s
        """When asking again makes sense; None where it does not."""


def problem_response(
    instance: str, error: ProblemError, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer for a problem at a path."""
    body = Problem(
        type=PROBLEM_TYPE + error.kind,
        title=TITLES[error.kind],
        status=error.status,
        detail=error.detail,
        instance=instance,
        errors=error.errors,
        suggestions=error.suggestions,
    )
    told = {**(headers or {}), "Cache-Control": "no-store"}
    if error.retry_after_s is not None:
        told["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return JSONResponse(
        body.model_dump(mode="json", exclude_defaults=False),
        status_code=error.status,
        headers=told,
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Turn every error of the application into a problem; no exception's text leaves it."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return problem_response(request.url.path, error)

    async def misfit(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = tuple(field_fault(fault) for fault in error.errors()[:20])
        told = "; ".join(f"{f.field}: expected {f.expected}, got {f.got}" for f in faults[:3])
        return problem_response(request.url.path, ProblemError(422, "invalid", told, errors=faults))

    async def from_router(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = BY_STATUS.get(error.status_code, "invalid")
        detail = HTTPStatus(error.status_code).phrase
        return problem_response(
            request.url.path, ProblemError(error.status_code, kind, detail), error.headers
        )

    async def fault(request: Request, _: Exception) -> Response:
        detail = "a fault of the manager, not of the request; its log has the reason"
        return problem_response(request.url.path, ProblemError(500, "internal", detail))

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, EmfError)
        return problem_response(request.url.path, from_error(error))

    app.add_exception_handler(ProblemError, known)
    app.add_exception_handler(EmfError, ours)
    app.add_exception_handler(RequestValidationError, misfit)
    app.add_exception_handler(HTTPException, from_router)
    app.add_exception_handler(Exception, fault)


def from_error(error: EmfError) -> ProblemError:
    """Return the problem for what the engine says no to; its texts are made for callers."""
    match error:
        case v.NotFoundError():
            return ProblemError(404, "not-found", str(error))
        case v.ArgumentsError():
            fault = FieldFault(field=error.field, expected=error.expected, got=error.got)
            return ProblemError(422, "invalid", str(error), errors=[fault])
        case RolloutError():
            fault = FieldFault(field=f"body.{error.field}", expected=error.expected, got=error.got)
            return ProblemError(422, "invalid", f"body.{error}", errors=[fault])
        case v.UnknownActionError():
            return ProblemError(422, "invalid", str(error), suggestions=error.close)
        case v.ConflictError():
            return ProblemError(409, "conflict", str(error))
        case RefusedError():
            return ProblemError(403, "refused", str(error))
        case UsageError():
            return ProblemError(422, "invalid", str(error))
        case _:
            logger.error("request failed kind=%s reason=%s", type(error).__name__, error)
            why = "the manager cannot take this now; its log has why"
            return ProblemError(503, "busy", why, retry_after_s=BUSY_S)


def field_fault(fault: Mapping[str, Any]) -> FieldFault:
    """Translate one pydantic error."""
    missing = fault["type"] == "missing"
    expected = EXPECTED.get(fault["type"]) or expectation(str(fault["msg"]))
    return FieldFault(
        field=".".join(map(str, fault["loc"])) or "body",
        expected=expected,
        got="nothing" if missing else shorten(fault.get("input")),
    )


def expectation(message: str) -> str:
    for opening in ("Input should be ", "Value error, ", "Value should "):
        message = message.removeprefix(opening)
    return message


def shorten(value: object) -> str:
    """Return at most a line's worth of a wrong value; control characters are escaped."""
    text = repr(value)
    return text if len(text) <= ECHOED else text[: ECHOED - 1] + "…"
