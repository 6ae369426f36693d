"""The agents' side over HTTP: who speaks, what it says, the long poll. No rule lives here.

Identity comes from the verified certificate alone; headers that claim one are not looked at
(requirement R8). Limits come before parsing: a body is cut off while it is read, a compressed one
while it is inflated, and the parser bounds the depth (R16).
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from emf_agent.errors import EmfError, ProtocolError
from emf_agent.wire import (
    MAX_MESSAGE_BYTES,
    MESSAGE_PATH,
    PROTOCOL,
    PROTOCOL_HEADER,
    EnvelopeAnswer,
    ManagerMessages,
    NodeData,
    ReceivedEnvelope,
    Unreadable,
    parse_envelope,
)
from emf_manager.agents import values as v
from emf_manager.callers import Caller, Callers, verified
from emf_manager.engine import Engine
from emf_manager.seats import NodeGoneError
from emf_manager.store.interface import StoreError

__all__ = ["gateway_routes"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_AFTER_S = 5
BODY_S = 120.0
"""Within this a body must have come; a slow client holds one of its own node's slots."""
POSTS_AT_ONCE = 4
"""Bodies of one node that are held at a time; the others wait unread (a node cannot flood)."""
MAX_ACKNOWLEDGED = 2**62
MAX_NAME = 255


def gateway_routes(
    engine: Engine, peers: Callers, authorities: Callable[[], tuple[str, ...]] = tuple
) -> list[Route]:
    """Return the routes of the message endpoint: GET hangs, POST delivers.

    ``authorities`` tells which authorities nodes are to trust (SHA-256), the issuing one first.
    """
    gateway = Gateway(engine, peers, authorities)
    return [Route(MESSAGE_PATH, gateway.answer, methods=["GET", "POST"])]


@dataclass(frozen=True)
class Gateway:
    """Both verbs of the message endpoint."""

    engine: Engine
    peers: Callers
    authorities: Callable[[], tuple[str, ...]]
    slots: dict[str, anyio.Semaphore] = field(default_factory=dict)
    """By node, as many as are enrolled."""

    def _slots(self, fqdn: str) -> anyio.Semaphore:
        return self.slots.setdefault(fqdn, anyio.Semaphore(POSTS_AT_ONCE))

    async def answer(self, request: Request) -> Response:
        """Answer either verb; whatever goes wrong is a status and one line of text."""
        protocol = spoken(request)
        headers = {PROTOCOL_HEADER: str(PROTOCOL)} if protocol >= PROTOCOL else {}
        try:
            peer = verified(request, self.peers)
            verb = self._post if request.method == "POST" else self._get
            response = await verb(request, peer, protocol)
        except HTTPException as error:
            response = PlainTextResponse(error.detail, error.status_code, error.headers)
        except NodeGoneError as error:
            response = PlainTextResponse(str(error), 403)
        except StoreError as error:
            logger.error("nothing taken: %s", error)
            text = "the manager cannot store anything now; keep it and come back"
            response = PlainTextResponse(text, 503, {"Retry-After": str(RETRY_AFTER_S)})
        response.headers.update(headers)
        return response

    async def _post(self, request: Request, peer: Caller, protocol: int) -> Response:
        async with self._slots(peer.fqdn):
            return await self._take(request, peer, protocol)

    async def _take(self, request: Request, peer: Caller, protocol: int) -> Response:
        try:
            with anyio.fail_after(BODY_S):
                body = await read_body(request, protocol)
        except TimeoutError as error:
            raise HTTPException(408, "the body did not come in time") from error
        try:
            received = without_nan(parse_envelope(body))
        except ProtocolError as error:
            raise HTTPException(400, f"not an envelope: {error}") from error
        contact = contact_of(
            received.client_start_time, received.server_boot_time, protocol, address_of(request)
        )
        taken = await self.engine.post(peer.fqdn, contact, received)
        if isinstance(taken, v.Refuse):
            raise HTTPException(taken.status, taken.reason)
        if protocol < PROTOCOL:
            return Response(status_code=202)
        answer = EnvelopeAnswer(
            epoch=self.engine.epoch,
            verdicts=taken.verdicts,
            pace=self.engine.pace(),
            clock=self.engine.wall(),
        )
        return Response(answer.to_bytes(), 202, media_type="application/json")

    async def _get(self, request: Request, peer: Caller, protocol: int) -> Response:
        if self.engine.closing:
            raise HTTPException(503, "shutting down", {"Retry-After": "1"})
        query = request.query_params
        for name in ("client_start_time", "server_boot_time"):
            if name not in query:
                raise HTTPException(400, f"the query lacks {name}")
        contact = contact_of(
            query["client_start_time"], query["server_boot_time"], protocol, address_of(request)
        )
        acknowledged = self._acknowledged(request) if protocol >= PROTOCOL else None
        answered = await unless_gone(
            request.receive, lambda: self.engine.poll(peer.fqdn, contact, acknowledged)
        )
        if answered is None:
            return Response(status_code=204)
        # A GET may end because the certificate was revoked while it hung (requirement R13).
        verified(request, self.peers)
        if isinstance(answered, v.Refuse):
            raise HTTPException(answered.status, answered.reason)
        if protocol >= PROTOCOL:
            messages = ManagerMessages(
                messages=answered,
                epoch=self.engine.epoch,
                authorities=self.authorities() or None,
            )
        else:
            messages = ManagerMessages(messages=answered)
        return Response(messages.to_bytes(), media_type="application/json")

    def _acknowledged(self, request: Request) -> int | None:
        """Return the number the agent has; None where it counts in another manager's numbers."""
        said = {}
        for name in ("ack", "epoch"):
            text = request.query_params.get(name)
            if text is None:
                return None
            if not (text.isascii() and text.isdigit()) or int(text[:20]) > MAX_ACKNOWLEDGED:
                raise HTTPException(400, f"{name} must be a whole number below 2^62")
            said[name] = int(text)
        return said["ack"] if said["epoch"] == self.engine.epoch else None


def without_nan(received: ReceivedEnvelope) -> ReceivedEnvelope:
    """Count a body with NaN or an infinity as unreadable: it is not JSON, and cannot be kept."""
    good, bad = [], list(received.unreadable)
    for index, message in received.messages:
        try:
            if isinstance(message, NodeData):
                json.dumps(message.body, allow_nan=False)
        except ValueError:
            bad.append(Unreadable(index, "body: NaN and infinities are not JSON"))
        else:
            good.append((index, message))
    return replace(received, messages=tuple(good), unreadable=tuple(bad))


def spoken(request: Request) -> int:
    """Return the protocol of a request: 1, the ancestor's, where it does not say."""
    said = request.headers.get(PROTOCOL_HEADER, "1")
    if not (said.isascii() and said.isdigit() and len(said) <= 3):
        return 1
    return min(max(int(said), 1), PROTOCOL)


def address_of(request: Request) -> str:
    """Return where a request comes from; an IPv4 address the same at every kind of socket."""
    return "" if request.client is None else request.client.host.removeprefix("::ffff:")


def contact_of(instance: str, boot: str, protocol: int, address: str) -> v.Contact:
    """Return who speaks; both times are opaque and only compared."""
    for name, text in (("client_start_time", instance), ("server_boot_time", boot)):
        if not 0 < len(text) <= MAX_NAME:
            raise HTTPException(400, f"{name} must have 1 to {MAX_NAME} characters")
    return v.Contact(instance, boot, protocol, address)


async def read_body(request: Request, protocol: int) -> bytes:
    """Read a body within its limits; what is over them is not read to its end."""
    kind = request.headers.get("content-type")
    if kind is not None and kind.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip") or (encoding == "gzip" and protocol < PROTOCOL):
        raise HTTPException(415, "send it unencoded, or gzip with protocol 2")
    length = request.headers.get("content-length", "")
    announced = int(length) if length.isdecimal() and len(length) < 20 else None
    if length and (announced is None or announced > MAX_MESSAGE_BYTES):
        raise too_large(announced)
    inflate = Inflate(announced) if encoding == "gzip" else None
    body, received = bytearray(), 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > MAX_MESSAGE_BYTES:
                raise too_large(announced)
            body += chunk if inflate is None else inflate.more(chunk)
    except ClientDisconnect as gone:
        raise HTTPException(400, "the body broke off") from gone
    if inflate is not None and body:
        inflate.end()
    return bytes(body)


def too_large(announced: int | None) -> HTTPException:
    """Refuse a body; the server passes over the rest of one whose end is in sight, unread by us.

    Closing while the client still sends would reset the connection, and the client would see that
    instead of the answer, and send the same again.
    """
    in_sight = announced is not None and announced <= 4 * MAX_MESSAGE_BYTES
    text = f"an envelope has at most {MAX_MESSAGE_BYTES} bytes"
    return HTTPException(413, text, None if in_sight else {"Connection": "close"})


class Inflate:
    """One gzip stream, cut off where it would grow beyond the limit."""

    def __init__(self, announced: int | None) -> None:
        self._announced = announced
        self._stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._left = MAX_MESSAGE_BYTES

    def more(self, chunk: bytes) -> bytes:
        """Return what a piece inflates to."""
        try:
            piece = self._stream.decompress(chunk, self._left + 1)
        except zlib.error as error:
            raise HTTPException(400, "the body is not gzip") from error
        self._left -= len(piece)
        if self._left < 0:
            raise too_large(self._announced)
        if self._stream.unused_data:
            raise HTTPException(400, "something follows the gzip stream")
        return piece

    def end(self) -> None:
        """Make sure that the stream is whole."""
        if not self._stream.eof:
            raise HTTPException(400, "the gzip stream breaks off")


async def unless_gone(receive: Receive, work: Callable[[], Awaitable[T]]) -> T | None:
    """Do the work; None where the client went away first, and the work was given up."""
    done: list[T] = []
    failed: list[EmfError] = []

    async def watch(scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, tasks.cancel_scope)
        try:
            done.append(await work())
        except EmfError as error:
            # Raised below: a task group would wrap it.
            failed.append(error)
        tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]
    return done[0] if done else None
