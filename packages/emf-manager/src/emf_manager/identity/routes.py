"""The routes of enrolment and renewal: limits first, then the registrar, then a plain answer."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from emf_agent.wire import ENROL_PATH, RENEW_PATH, EnrolRequest, RenewRequest, WireModel, explain
from emf_manager.identity.peer import address_of, peer_of
from emf_manager.identity.registrar import NotAdmittedError, Registrar
from emf_manager.store.interface import StoreError

__all__ = ["identity_routes"]

MAX_BODY = 64 * 1024
BODY_S = 20.0
Message = TypeVar("Message", bound=WireModel)
Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def identity_routes(registrar: Registrar) -> list[Route]:
    """Return the routes; both take POST only."""

    async def enrol(request: Request) -> WireModel:
        asked = await read(request, EnrolRequest, registrar)
        return await registrar.enrol(asked, address_of(request.scope))

    async def renew(request: Request) -> WireModel:
        asked = await read(request, RenewRequest, registrar)
        return await registrar.renew(asked, peer_of(request.scope), address_of(request.scope))

    def answering(decide: Callable[[Request], Awaitable[WireModel]]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            try:
                registrar.check_address(address_of(request.scope))
                answer = await decide(request)
            except NotAdmittedError as error:
                return refusal(error.status, str(error), retry_after_s=error.retry_after_s)
            except StoreError as error:
                return refusal(503, str(error), retry_after_s=5)
            return JSONResponse(answer.model_dump(mode="json"), 201, {"Cache-Control": "no-store"})

        return endpoint

    return [
        Route(ENROL_PATH, answering(enrol), methods=["POST"]),
        Route(RENEW_PATH, answering(renew), methods=["POST"]),
    ]


async def read(request: Request, kind: type[Message], registrar: Registrar) -> Message:
    """Read a small body within a bounded time.

    Raises:
        NotAdmittedError: it is too large, too slow, or not what it should be.

    """
    what, address = request.url.path.strip("/"), address_of(request.scope)
    if "content-encoding" in request.headers:
        raise await registrar.malformed(address, "a compressed body is not taken", what=what)
    body = bytearray()
    try:
        with anyio.fail_after(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise NotAdmittedError(413, f"the body has more than {MAX_BODY} bytes")
    except TimeoutError as error:
        raise NotAdmittedError(408, f"the body did not come within {BODY_S:g} s") from error
    except ClientDisconnect as error:
        raise NotAdmittedError(400, "the body was cut off") from error
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        raise await registrar.malformed(address, explain(error), what=what) from error


def refusal(status: int, why: str, *, retry_after_s: float = 0.0) -> Response:
    """Return an error answer: plain text, which the agent shows to whoever enrols."""
    headers = {"Cache-Control": "no-store", "Connection": "close"}
    if retry_after_s > 0:
        headers["Retry-After"] = str(math.ceil(retry_after_s))
    return PlainTextResponse(why, status, headers)
