"""The Prometheus listener: ``GET /metrics`` on loopback or a unix socket.

Query: ``jobstats=true``, ``mode=compat|native``, and ``reset_mdt_md_stats=true`` where settings
allow it. HTTP itself is h11's; here are the limits: requests at once, time for a request, for its
head, and between two requests of a connection.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.abc
import anyio.to_thread
import h11

from emf_agent.errors import CommandError
from emf_plugins_lustre.stats.exposition_text import CONTENT_TYPE
from emf_plugins_lustre.stats.scrapes import Ask, Rendered, Scrapes
from emf_plugins_lustre.stats.settings import StatsSettings, parse_listen

__all__ = ["Listener", "RequestRefusedError", "parse_request"]

logger = logging.getLogger(__name__)

HEAD_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 75.0
SEND_TIMEOUT_S = 60.0
MOST_CONNECTIONS = 64
SOCKET_MODE = 0o660
TRUE = {"true", "1"}
FALSE = {"false", "0", ""}


class RequestRefusedError(Exception):
    """A request that is answered with an error status and a line of text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def parse_request(request: h11.Request, settings: StatsSettings) -> Ask:
    """Return what a request asks for; raises RequestRefusedError with what is wrong."""
    parts = urlsplit(request.target.decode("ascii", "replace"))
    if parts.path != "/metrics":
        raise RequestRefusedError(404, "there is only /metrics here")
    if request.method not in {b"GET", b"HEAD"}:
        raise RequestRefusedError(405, "only GET and HEAD are answered")
    query = parse_qs(parts.query, keep_blank_values=True)
    mode = query.pop("mode", [settings.metrics_mode])[-1]
    if mode not in {"compat", "native"}:
        raise RequestRefusedError(400, f"mode={mode}: give compat or native")
    jobs = _flag(query, "jobstats")
    reset = _flag(query, "reset_mdt_md_stats")
    if reset and not settings.allow_reset:
        raise RequestRefusedError(403, "resetting counters is not allowed; see allow_reset")
    if query:
        raise RequestRefusedError(400, f"unknown parameter {min(query)}")
    named: Literal["compat", "native"] = "native" if mode == "native" else "compat"
    return Ask(named, jobs, reset)


def _flag(query: dict[str, list[str]], name: str) -> bool:
    text = query.pop(name, ["false"])[-1].lower()
    if text not in TRUE | FALSE:
        raise RequestRefusedError(400, f"{name}={text}: give true or false")
    return text in TRUE


class Listener:
    """Serves scrapes until it is cancelled; an async callable, as the agent wants its services."""

    def __init__(self, settings: StatsSettings) -> None:
        assert settings.listen is not None
        self._settings = settings
        self._address = parse_listen(settings.listen)
        self._scrapes = Scrapes(settings)
        self._running = 0
        self._connections = 0
        self.bound: anyio.Event | None = None
        self.port = 0

    async def __call__(self) -> None:
        """Listen, answer, and forget old scrapes."""
        try:
            async with self._listening() as listener, anyio.create_task_group() as tasks:
                tasks.start_soon(self._forget)
                if self.bound is not None:
                    self.bound.set()
                await listener.serve(self._serve)
        finally:
            self._scrapes.close()

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[anyio.abc.Listener[anyio.abc.SocketStream]]:
        family, host, port = self._address
        if family == "tcp":
            multi = await anyio.create_tcp_listener(local_host=host, local_port=port)
            self.port = multi.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django
            logger.info("serving metrics on http://%s:%s/metrics", host, self.port)
            async with multi:
                yield multi
            return
        path = Path(host)
        _make_way(path)
        unix = await anyio.create_unix_listener(path, mode=SOCKET_MODE)
        logger.info("serving metrics on unix:%s", path)
        try:
            async with unix:
                yield unix
        finally:
            _make_way(path)

    async def _forget(self) -> None:
        while True:
            await anyio.sleep(max(1.0, self._settings.cache_s))
            self._scrapes.expire()

    async def _serve(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            if self._connections >= MOST_CONNECTIONS:
                return
            self._connections += 1
            try:
                await _Conversation(stream, self).run()
            except (
                anyio.BrokenResourceError,
                anyio.ClosedResourceError,
                anyio.EndOfStream,
                TimeoutError,
                h11.ProtocolError,
            ):
                return
            except Exception:
                logger.exception("a scrape failed")
            finally:
                self._connections -= 1

    @asynccontextmanager
    async def answer(self, request: h11.Request) -> AsyncIterator[Rendered]:
        """Give the answer to a request; raises RequestRefusedError instead."""
        ask = parse_request(request, self._settings)
        if self._running >= self._settings.scrapes_at_once:
            raise RequestRefusedError(503, "too many scrapes at once")
        self._running += 1
        try:
            async with self._scrapes.answer(ask) as rendered:
                yield rendered
        except CommandError as exc:
            raise RequestRefusedError(500, f"the counters could not be reset: {exc}") from exc
        finally:
            self._running -= 1

    @property
    def scrape_timeout_s(self) -> float:
        """Seconds a request may take."""
        return self._settings.scrape_timeout_s

    def own_text(self, rendered: Rendered) -> bytes:
        """Return the metrics about the reading itself."""
        return self._scrapes.own_text(rendered)


class _Conversation:
    """One connection, request after request."""

    def __init__(self, stream: anyio.abc.ByteStream, listener: Listener) -> None:
        self._stream = stream
        self._listener = listener
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        timeout_s = HEAD_TIMEOUT_S
        while True:
            request = None
            with anyio.move_on_after(timeout_s):
                request = await self._request()
            if request is None:
                return
            await self._respond(request)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()
            timeout_s = IDLE_TIMEOUT_S

    async def _request(self) -> h11.Request | None:
        found: h11.Request | None = None
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                try:
                    self._http.receive_data(await self._stream.receive())
                except anyio.EndOfStream:
                    return None
            elif isinstance(event, h11.Request):
                found = event
            elif isinstance(event, h11.EndOfMessage):
                return found
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return None

    async def _respond(self, request: h11.Request) -> None:
        began = False
        deadline = anyio.current_time() + self._listener.scrape_timeout_s
        try:
            with anyio.CancelScope(deadline=deadline) as scope:
                async with self._listener.answer(request) as rendered:
                    scope.deadline = math.inf  # from here on the client's pace counts
                    began = True
                    await self._send_rendered(request, rendered)
        except RequestRefusedError as refused:
            if began:
                raise
            await self._send_text(refused.status, str(refused))
            return
        if scope.cancelled_caught and not began:
            await self._send_text(408, "the node did not answer in time")

    async def _send_rendered(self, request: h11.Request, rendered: Rendered) -> None:
        packer = zlib.compressobj(1, zlib.DEFLATED, 31) if _takes_gzip(request) else None
        headers = [("content-type", CONTENT_TYPE), ("transfer-encoding", "chunked")]
        if packer is not None:
            headers.append(("content-encoding", "gzip"))
        await self._send(h11.Response(status_code=200, headers=headers))
        if request.method != b"HEAD":
            offset = 0
            while piece := await anyio.to_thread.run_sync(rendered.read, offset):
                offset += len(piece)
                await self._send_piece(packer, piece)
            await self._send_piece(packer, self._listener.own_text(rendered))
            if packer is not None:
                await self._send(h11.Data(data=packer.flush()))
        await self._send(h11.EndOfMessage())

    async def _send_piece(self, packer: zlib._Compress | None, piece: bytes) -> None:
        data = piece
        if packer is not None:
            data = await anyio.to_thread.run_sync(packer.compress, piece)
        if data:
            await self._send(h11.Data(data=data))

    async def _send_text(self, status: int, text: str) -> None:
        body = f"{text}\n".encode()
        headers = [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(body))),
        ]
        await self._send(h11.Response(status_code=status, headers=headers))
        await self._send(h11.Data(data=body))
        await self._send(h11.EndOfMessage())

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            with anyio.fail_after(SEND_TIMEOUT_S):
                await self._stream.send(data)


def _make_way(path: Path) -> None:
    """Make the folder of a socket, and remove a socket that is left over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_socket():
        path.unlink()


def _takes_gzip(request: h11.Request) -> bool:
    accepted = b",".join(value for name, value in request.headers if name == b"accept-encoding")
    for item in accepted.lower().split(b","):
        name, _, weight = item.strip().partition(b";")
        if name.strip() == b"gzip":
            return weight.replace(b" ", b"") not in {b"q=0", b"q=0.0"}
    return False
