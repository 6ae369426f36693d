"""The door to the manager: the only importer of httpx here; turns its errors into ours."""

from __future__ import annotations

import json
import ssl
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import httpx
from httpx_sse import SSEError, aconnect_sse
from pydantic import JsonValue

from emf_agent.errors import ConfigurationError, EmfError, ManagerUnreachableError
from emf_manager.client.connection import Connection
from emf_manager.client.explain import Explained, as_curl

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["API", "Door", "Explaining", "ProblemAnswerError", "PushedEvent"]

API = "/api/v1"
SILENCE_S = 45.0
"""Three heartbeats of the event stream: a stream quiet for longer is broken."""

TRIES = 4
"""How often a write is sent whose answer is lost each time."""
PATIENCE = 3
"""How often a request is sent again that was one too many, or that still runs."""
LONGEST_WAIT_S = 10.0

EXIT_CODES = {"no-node-matched": 4, "refused": 5, "forbidden": 5, "unauthorized": 5, "invalid": 2}
"""From the kind of a problem to the exit code of the conventions; 1 for all others."""


class ProblemAnswerError(EmfError):
    """The manager answered with a problem."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.kind = str(problem.get("type", "")).rpartition(":")[2]
        self.exit_code = EXIT_CODES.get(self.kind, 1)
        title = problem.get("title") or f"the manager answered with status {status}"
        detail = problem.get("detail") or ""
        super().__init__(f"{title}: {detail}" if detail else str(title))


@dataclass(frozen=True)
class PushedEvent:
    """One message of the event stream; ``kind`` is its SSE event name."""

    id: str
    kind: str
    data: JsonValue


class Explaining(httpx.AsyncBaseTransport):
    """Stands where the connection would be: shows the request, and sends nothing."""

    def __init__(self, show: Callable[[str], None], ca: Path | None) -> None:
        self._show = show
        self._ca = ca

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Show a request as a command.

        Raises:
            Explained: always; what would come next depends on the answer.

        """
        headers = [(name.title(), value) for name, value in request.headers.items()]
        body = await request.aread()
        self._show(as_curl(request.method, str(request.url), headers, body, ca=self._ca))
        raise Explained


class Door:
    """An open connection to one manager; use as an async context."""

    def __init__(
        self, connection: Connection, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = connection.url
        self._has_ca = connection.ca is not None
        self._client = httpx.AsyncClient(
            base_url=connection.url + API,
            headers={"Authorization": f"Bearer {connection.token}", "User-Agent": "emf"},
            transport=transport,
            verify=trust(connection),
            timeout=httpx.Timeout(30.0, connect=10.0),
            trust_env=False,
        )

    async def __aenter__(self) -> Door:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def get(self, path: str, params: Mapping[str, object] | None = None) -> Any:
        """Return what is at a path.

        Raises:
            ProblemAnswerError: the manager said no.
            ManagerUnreachableError: it did not answer.

        """
        return await self._ask("GET", path, params=params)

    async def tagged(self, path: str) -> tuple[Any, str]:
        """Return what is at a path, with the tag of this version of it; raises as ``get``."""
        with self._errors():
            answer = await self._answer("GET", path)
            return answer.json(), answer.headers.get("etag", "")

    async def inquire(self, path: str, body: JsonValue, *, timeout_s: float = 30.0) -> Any:
        """Return the answer to a question that changes nothing; raises as ``get``."""
        return await self._ask("POST", path, body=body, timeout_s=timeout_s)

    async def post(self, path: str, body: JsonValue) -> Any:
        """Send a body and return the answer; done once, raises as ``get``."""
        return await self._write("POST", path, body=body)

    async def put(self, path: str, body: JsonValue, *, match: str | None = None) -> Any:
        """Put a body in a place, where it still has the tag; done once, raises as ``get``."""
        return await self._write("PUT", path, body=body, headers={"If-Match": match})

    async def delete(self, path: str, params: Mapping[str, object] | None = None) -> None:
        """Delete what is at a path; done once, raises as ``get``."""
        await self._write("DELETE", path, params=params)

    async def pages(
        self, path: str, params: Mapping[str, object], *, limit: int | None = None
    ) -> AsyncGenerator[Any, None]:
        """Yield the items of a list, page after page; raises as ``get``."""
        told = 0
        cursor: str | None = None
        while True:
            size = 500 if limit is None else min(500, limit - told)
            answer = await self.get(path, {**params, "limit": size, "cursor": cursor})
            for item in answer["items"]:
                yield item
                told += 1
            cursor = answer["next"]
            if cursor is None or told == limit:
                return

    @asynccontextmanager
    async def stream(
        self, params: Mapping[str, object], last_id: str | None, *, path: str = "events/stream"
    ) -> AsyncIterator[AsyncIterator[PushedEvent]]:
        """Open a stream of events after one of them; raises as ``get``, while reading too."""
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        with self._errors():
            async with aconnect_sse(
                self._client,
                "GET",
                path,
                params=present(params),
                headers=headers,
                timeout=httpx.Timeout(30.0, read=SILENCE_S),
            ) as source:
                if source.response.status_code != 200:
                    await source.response.aread()
                    self._raise_for(source.response)
                async with aclosing(self._events(source.aiter_sse())) as events:
                    yield events

    async def _events(self, source: AsyncGenerator[Any, None]) -> AsyncGenerator[PushedEvent, None]:
        async with aclosing(source) as messages:
            async for message in messages:
                if message.data:
                    yield PushedEvent(message.id, message.event, json.loads(message.data))

    async def _write(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: JsonValue = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Any:
        """Send a write again while its answer is lost: the key makes it the same one (P1)."""
        keyed = {"Idempotency-Key": str(uuid.uuid4()), **(headers or {})}
        for attempt in range(TRIES - 1):
            try:
                return await self._ask(method, path, params=params, body=body, headers=keyed)
            except ManagerUnreachableError:
                await anyio.sleep(0.2 * 2**attempt)
        return await self._ask(method, path, params=params, body=body, headers=keyed)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: JsonValue = None,
        headers: Mapping[str, str | None] | None = None,
        timeout_s: float = 30.0,
    ) -> Any:
        with self._errors():
            answer = await self._answer(
                method, path, params=params, body=body, headers=headers, timeout_s=timeout_s
            )
            return answer.json() if answer.content else None

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: JsonValue = None,
        headers: Mapping[str, str | None] | None = None,
        timeout_s: float = 30.0,
    ) -> httpx.Response:
        request = self._client.build_request(
            method,
            path.lstrip("/"),
            params=present(params or {}),
            json=body,
            headers=present(headers or {}),
            timeout=httpx.Timeout(timeout_s, connect=10.0),
        )
        answer = await self._client.send(request)
        for _ in range(PATIENCE):
            if not worth_waiting(answer):
                break
            await anyio.sleep(wait_s(answer))
            answer = await self._client.send(request)
        self._raise_for(answer)
        return answer

    def _raise_for(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        try:
            problem = answer.json()
        except ValueError:
            problem = None
        raise ProblemAnswerError(answer.status_code, problem if isinstance(problem, dict) else {})

    @contextmanager
    def _errors(self) -> Generator[None, None, None]:
        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            why = str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in why and not self._has_ca:
                why = "its certificate is not of an authority known here; name its CA with --ca"
            raise ManagerUnreachableError(self.url, why) from error
        except (SSEError, json.JSONDecodeError, UnicodeDecodeError) as error:
            why = "what answers there is not an EMF manager"
            raise ManagerUnreachableError(self.url, why) from error


def worth_waiting(answer: httpx.Response) -> bool:
    """Tell whether the same request is answered later: it was one too many, or still runs."""
    runs = answer.status_code == httpx.codes.CONFLICT and "retry-after" in answer.headers
    return runs or answer.status_code == httpx.codes.TOO_MANY_REQUESTS


def wait_s(answer: httpx.Response) -> float:
    """Return how long a manager that was asked too much wants us to wait, within reason."""
    told = answer.headers.get("retry-after", "")
    return min(LONGEST_WAIT_S, float(told)) if told.isdecimal() else 1.0


def present(params: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def trust(connection: Connection) -> ssl.SSLContext:
    if not connection.url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and is not used
    try:
        return ssl.create_default_context(cafile=str(connection.ca) if connection.ca else None)
    except (ssl.SSLError, OSError) as error:
        fault = f"the CA file {connection.ca} holds no certificate that can be read: {error}"
        raise ConfigurationError([fault]) from error
