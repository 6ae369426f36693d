"""``POST /mailbox/`` and ``POST /report/``: lines of a node, stored before they are acknowledged.

The ancestor's two endpoints (its protocol, section 6), with streams that resume: a chunk says which
stream it belongs to and how many lines come before it. Memory is bounded by one batch, whatever the
length of a body.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncIterator
from functools import partial
from typing import get_args

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from emf_agent.wire import PROTOCOL, PROTOCOL_HEADER
from emf_manager.callers import Callers, verified
from emf_manager.mailboxes.shelf import (
    Kind,
    MailboxNameError,
    NotJoiningError,
    Receipt,
    Shelf,
    UnknownMailboxError,
)

__all__ = ["mailbox_routes"]

logger = logging.getLogger(__name__)

BATCH_LINES = 1000
BATCH_BYTES = 1024 * 1024
LINE_BYTES = 1024 * 1024
STREAM_CHARACTERS = 255
SILENCE_S = 300.0
"""A body from which nothing comes for so long is given up; what came is stored."""
RETRY_AFTER_S = 5


def mailbox_routes(shelf: Shelf, peers: Callers) -> list[Route]:
    """Return the two routes."""
    desk = Desk(shelf, peers)
    kinds: tuple[Kind, ...] = get_args(Kind)
    return [Route(f"/{kind}/", partial(desk.take, kind), methods=["POST"]) for kind in kinds]


class Desk:
    """Takes bodies, one stream at a time."""

    def __init__(self, shelf: Shelf, peers: Callers) -> None:
        self._shelf = shelf
        self._peers = peers
        self._writing = anyio.CapacityLimiter(4)
        self._locks: dict[tuple[str, str], anyio.Lock] = {}

    async def take(self, kind: Kind, request: Request) -> Response:
        """Store a body; whatever goes wrong is a status and one line of text."""
        speaks_2 = request.headers.get(PROTOCOL_HEADER) == str(PROTOCOL)
        headers = {PROTOCOL_HEADER: str(PROTOCOL)} if speaks_2 else {}
        try:
            response = await self._taken(kind, request)
        except HTTPException as error:
            response = PlainTextResponse(error.detail, error.status_code, error.headers)
        except MailboxNameError as error:
            response = PlainTextResponse(str(error), 400)
        except UnknownMailboxError as error:
            response = PlainTextResponse(str(error), 404)
        except NotJoiningError as error:
            response = answer(409, Receipt(error.next_offset, 0))
        except OSError as error:
            logger.error("nothing taken for a %s: %s", kind, error)
            text = "the manager cannot store anything now; keep it and come back"
            response = PlainTextResponse(text, 503, {"Retry-After": str(RETRY_AFTER_S)})
        response.headers.update(headers)
        return response

    async def _taken(self, kind: Kind, request: Request) -> Response:
        peer = verified(request, self._peers)
        name = request.headers.get(f"{kind}-message-name")
        if name is None:
            raise HTTPException(400, f"the header {kind}-message-name is missing")
        stream = request.headers.get(f"{kind}-stream") or secrets.token_hex(16)
        if len(stream) > STREAM_CHARACTERS:
            raise HTTPException(400, f"{kind}-stream has at most {STREAM_CHARACTERS} characters")
        offset = whole_number(request, f"{kind}-offset")
        ended = request.headers.get(f"{kind}-end") == "1"
        lock = self._locks.setdefault((peer.fqdn, stream), anyio.Lock())
        try:
            async with lock:
                write = partial(self._shelf.append, kind, name, node=peer.fqdn, stream=stream)
                receipt = await self._store(request, write, offset, ended=ended)
        finally:
            if not lock.locked() and not lock.statistics().tasks_waiting:
                self._locks.pop((peer.fqdn, stream), None)
        return answer(201, receipt)

    async def _store(
        self, request: Request, write: partial[Receipt], offset: int, *, ended: bool
    ) -> Receipt:
        rejected = 0
        async for batch in batches(request):
            last = ended and not batch
            call = partial(write, offset=offset, lines=batch, ended=last)
            receipt = await anyio.to_thread.run_sync(call, limiter=self._writing)
            offset = max(receipt.next_offset, offset + len(batch))
            rejected += receipt.rejected
        return Receipt(offset, rejected)


async def batches(request: Request) -> AsyncIterator[list[bytes]]:
    """Cut a body into batches of whole lines; the last batch is empty and says that it is over."""
    rest, batch, size = b"", [], 0
    pieces = request.stream()
    while True:
        try:
            with anyio.fail_after(SILENCE_S):
                piece = await anext(pieces, None)
        except TimeoutError as error:
            raise HTTPException(408, "nothing came for too long") from error
        except ClientDisconnect as gone:
            raise HTTPException(400, "the body broke off") from gone
        *lines, rest = (rest + (piece or b"")).split(b"\n")
        if piece is None and rest:
            lines.append(rest)
        if len(rest) > LINE_BYTES or any(len(line) > LINE_BYTES for line in lines):
            raise HTTPException(400, f"a line has at most {LINE_BYTES} bytes")
        for line in lines:
            if line:
                batch.append(line)
                size += len(line)
            if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if piece is None:
            break
    if batch:
        yield batch
    yield []


def whole_number(request: Request, header: str) -> int:
    """Return a header that counts lines; 0 where it is not there."""
    text = request.headers.get(header, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise HTTPException(400, f"{header} must be a whole number")
    return int(text)


def answer(status: int, receipt: Receipt) -> Response:
    """Say what is stored; the ancestor's agent looks at the status alone."""
    body = json.dumps({"next_offset": receipt.next_offset, "rejected": receipt.rejected})
    return Response(body, status, media_type="application/json")
