"""An httpx transport into an ASGI application that streams, where httpx's own one buffers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Any

import anyio
import httpx
from starlette.types import ASGIApp


class StreamedBody(httpx.AsyncByteStream):
    """The answer's body as the application sends it; closing it is the client going away."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._exchange.pieces

    async def aclose(self) -> None:
        self._exchange.gone.set()
        self._exchange.pieces.close()


class Exchange:
    """One request and its answer."""

    def __init__(self, request: httpx.Request, body: bytes) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.split(b"?")[0],
            "query_string": request.url.query,
            "server": (request.url.host, request.url.port),
            "client": ("192.0.2.7", 12345),
            "root_path": "",
            "state": {},
        }
        self.gone = anyio.Event()
        self.started = anyio.Event()
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.failure: Exception | None = None
        self._feed, self.pieces = anyio.create_memory_object_stream[bytes](1000)
        self._body: bytes | None = body

    async def receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message["headers"])
            self.started.set()
            return
        if message.get("body"):
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._feed.send(message["body"])
        if not message.get("more_body", False):
            self._feed.close()

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except Exception as error:  # noqa: BLE001 - as a server does: logged, not passed on
            self.failure = error
        finally:
            self._feed.close()
            self.started.set()


class InMemory(httpx.AsyncBaseTransport):
    """Each request runs as a task of its own; use as an async context."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._exchanges: list[Exchange] = []
        self.refusing = False
        """Behave as a manager that is down."""
        self.losing = 0
        """How many answers to writes do not arrive."""

    async def __aenter__(self) -> InMemory:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._tasks.cancel_scope.cancel()
        for exchange in self._exchanges:
            exchange.pieces.close()
        await self._tasks.__aexit__(None, None, None)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.refusing:
            raise httpx.ConnectError("connection refused")
        exchange = Exchange(request, await request.aread())
        self._exchanges.append(exchange)
        self._tasks.start_soon(exchange.run, self.app)
        await exchange.started.wait()
        if self.losing and request.method != "GET":
            self.losing -= 1
            exchange.pieces.close()
            raise httpx.ReadError("connection reset by peer")
        return httpx.Response(
            exchange.status, headers=exchange.headers, stream=StreamedBody(exchange)
        )
