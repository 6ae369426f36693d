"""The guard: the one middleware that lets a request in; nothing behind it asks who called.

In this order, each before the next costs anything: the rate of an address, the route table, the
credential, the caller's rate, the role's permission, the size and strictness of the body, the
idempotency key and the audit record of a write.

The credential is a bearer token or, for the web page and its scripts, the cookie of a login; a
write that rides on a cookie has to show the page's own token too (requirement R29).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emf_agent.errors import EmfError
from emf_manager.api import strict_json
from emf_manager.api.answers import Answer, AnswerBook, Recorder, key_of
from emf_manager.api.pace import Limiter
from emf_manager.api.problems import ProblemError, from_error, problem_response
from emf_manager.authorization import Principal, find_route, methods_at, permits
from emf_manager.logins.rules import CSRF_HEADER, login_secret, unmeant

__all__ = ["AuditNote", "Guard", "Visit", "nobody", "principal_of"]

logger = logging.getLogger(__name__)

AUDIT_S = 5.0
"""Longest wait for the closing record of a write whose caller has gone."""

Authenticate = Callable[[str], Awaitable[Principal | None]]
"""From a bearer token to its owner, or None where it is unknown, expired or revoked."""
Visit = Callable[[str], Awaitable[Principal | None]]
"""From the secret of a login's cookie to its user, or None where the login is over."""


@dataclass(frozen=True)
class AuditNote:
    """A write as the audit trail keeps it: once when it begins, once when it has ended."""

    user: str
    method: str
    path: str
    peer: str
    phase: Literal["begin", "end"]
    status: int | None = None


Audit = Callable[[AuditNote], Awaitable[None]]


def principal_of(scope: Scope) -> Principal:
    """Return the caller that the guard let in."""
    principal = scope["state"]["principal"]
    assert isinstance(principal, Principal)
    return principal


async def nobody(_: str) -> None:
    """Know no login."""


class Guard:
    """ASGI middleware around the whole API."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticate: Authenticate,
        audit: Audit,
        visit: Visit = nobody,
        limiter: Limiter | None = None,
        answers: AnswerBook | None = None,
    ) -> None:
        self._limiter = limiter or Limiter()
        self._answers = answers
        self._app = app
        self._authenticate = authenticate
        self._audit = audit
        self._visit = visit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._admit(scope)
            body = None if is_read(scope) else await read_body(scope, receive)
            key, given = None, None
            if body is not None and principal is not None:
                key, given = await self._claim(scope, principal, body)
        except ProblemError as refusal:
            await refuse(scope, receive, send, refusal)
            return
        except EmfError as error:
            await refuse(scope, receive, send, from_error(error))
            return
        scope.setdefault("state", {})["principal"] = principal
        if given is not None:
            await given.response()(scope, receive, send)
        elif body is None or principal is None:
            await self._app(scope, receive, send)
        else:
            await self._write(scope, Replay(body, receive), send, principal, key)

    async def _claim(
        self, scope: Scope, principal: Principal, body: bytes
    ) -> tuple[str | None, Answer | None]:
        """Take the key of a write, and note that it begins; or return what was answered before."""
        if self._answers is None or answer_kind(scope) == "keyed":
            key = None
        else:
            key = key_of(scope)
            if key is not None:
                given = await self._answers.begin(principal.user, key, scope, body)
                if given is not None:
                    return key, given
        try:
            await self._audit(note(scope, principal, "begin"))
        except EmfError:
            if key is not None and self._answers is not None:
                await self._answers.release(principal.user, key)
            raise
        return key, None

    async def _admit(self, scope: Scope) -> Principal | None:
        """Return the caller, None on a public route; refuse everybody else."""
        now, address = anyio.current_time(), peer_of(scope)
        check_rate(self._limiter.stranger_wait_s(address, now), f"from {address} without a token")
        route = find_route(scope["method"], scope["path"])
        if route is not None and route.permission == "public":
            return None
        try:
            principal = await self._identify(scope, Headers(scope=scope))
        except ProblemError as refusal:
            if refusal.status == 401:
                self._limiter.count_stranger(address, now)
            raise
        if route is None or route.answer != "stream":
            wait_s = self._limiter.caller_wait_s(principal.token_id, now)
            check_rate(wait_s, f"with this token of {principal.user}")
        if route is None:
            if methods := methods_at(scope["path"]):
                raise ProblemError(405, "method", f"this path takes {', '.join(methods)}")
            raise ProblemError(404, "not-found", "the API has no such path")
        if not permits(principal, route.permission):
            await self._note_refusal(scope, principal)
            raise ProblemError(
                403,
                "forbidden",
                f"{principal.user} has the role {principal.role}, which may not {route.permission}",
            )
        return principal

    async def _identify(self, scope: Scope, headers: Headers) -> Principal:
        """Return who calls, by the token where one is sent, else by the cookie of a login."""
        secret = login_secret(headers)
        if secret is None or "authorization" in headers:
            token = bearer_token(headers)
            principal = None if token is None else await self._authenticate(token)
            why = "no bearer token was sent" if token is None else "this token is not valid"
        else:
            principal = await self._visit(secret)
            why = "this login is over"
        if principal is None:
            raise ProblemError(401, "unauthorized", f"{why}; send 'Authorization: Bearer <token>'")
        if secret is not None and "authorization" not in headers and not is_read(scope):
            fault = unmeant(headers, secret, headers.get(CSRF_HEADER))
            if fault is not None:
                await self._audit(note(scope, principal, "end", 403))
                raise ProblemError(403, "not-meant", fault)
        return principal

    async def _note_refusal(self, scope: Scope, principal: Principal) -> None:
        if not is_read(scope):
            await self._audit(note(scope, principal, "end", 403))

    async def _write(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        principal: Principal,
        key: str | None,
    ) -> None:
        status = 500

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if key is None or self._answers is None:
                await self._app(scope, receive, observed)
            else:
                await self._keyed(self._answers, scope, receive, observed, (principal.user, key))
        finally:
            with anyio.move_on_after(AUDIT_S, shield=True):
                await self._note_end(scope, principal, status)

    async def _keyed(
        self,
        answers: AnswerBook,
        scope: Scope,
        receive: Receive,
        send: Send,
        key: tuple[str, str],
    ) -> None:
        told = Recorder()
        try:
            await self._app(scope, receive, told)
        finally:
            with anyio.move_on_after(AUDIT_S, shield=True):
                await answers.end(*key, told, secret=answer_kind(scope) == "secret")
            await told.tell(send)

    async def _note_end(self, scope: Scope, principal: Principal, status: int) -> None:
        try:
            await self._audit(note(scope, principal, "end", status))
        except EmfError:
            logger.exception("the end of a write is not in the audit trail path=%s", scope["path"])


class Replay:
    """Gives the application the body that was read already, then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def check_rate(wait_s: float, whose: str) -> None:
    """Let pass who need not wait.

    Raises:
        ProblemError: 429, with how long to wait.

    """
    if wait_s > 0:
        why = f"too many requests {whose}; wait {math.ceil(wait_s)} s"
        raise ProblemError(429, "too-many", why, retry_after_s=wait_s)


def answer_kind(scope: Scope) -> str:
    route = find_route(scope["method"], scope["path"])
    return "plain" if route is None else route.answer


def peer_of(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "local"


def is_read(scope: Scope) -> bool:
    return bool(scope["method"] == "GET")


def bearer_token(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the body, never reading past the limit.

    Raises:
        ProblemError: too large, not JSON, or the caller went away.

    """
    headers = Headers(scope=scope)
    limit = strict_json.MAX_BODY_BYTES
    too_large = ProblemError(413, "too-large", f"the limit is {limit} bytes")
    declared = headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > limit:
        raise too_large
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProblemError(400, "invalid", "the caller went away in mid-body")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large
        parts.append(part)
        more = message.get("more_body", False)
    body = b"".join(parts)
    if body:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ProblemError(415, "media-type", "send the body as application/json")
        try:
            strict_json.check(body)
        except strict_json.NotStrictError as error:
            raise ProblemError(
                400, "invalid", f"the body is not acceptable JSON: {error}"
            ) from error
    return body


async def refuse(scope: Scope, receive: Receive, send: Send, refusal: ProblemError) -> None:
    headers: dict[str, str] = {}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="emf-manager"'
    if refusal.status == 405:
        headers["Allow"] = ", ".join(methods_at(scope["path"]))
    if refusal.status in {400, 413}:
        headers["Connection"] = "close"
    await problem_response(scope["path"], refusal, headers)(scope, receive, send)


def note(
    scope: Scope, principal: Principal, phase: Literal["begin", "end"], status: int | None = None
) -> AuditNote:
    return AuditNote(
        user=principal.user,
        method=scope["method"],
        path=scope["path"],
        peer=peer_of(scope),
        phase=phase,
        status=status,
    )
