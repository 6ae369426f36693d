"""The door to the manager: post an envelope, hang on a poll. The only room that knows httpx.

Errors of the library, of TLS and of the socket become ours; a refused client certificate can come
out as a bare ``ssl.SSLError``, hence all three. Bodies are bounded while they are read.
"""

from __future__ import annotations

import gzip
import ssl
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

import anyio

from emf_agent.errors import ManagerRefusedError, ManagerUnreachableError, ProtocolError
from emf_agent.wire import (
    ENROL_PATH,
    MAX_MESSAGE_BYTES,
    MESSAGE_PATH,
    PROTOCOL,
    PROTOCOL_HEADER,
    RENEW_PATH,
    EnrolAnswer,
    EnrolRequest,
    Envelope,
    EnvelopeAnswer,
    ReceivedMessages,
    RenewRequest,
    parse_envelope_answer,
    parse_manager_messages,
)

# httpx imports its command line where rich and pygments are installed, and does without where it
# cannot: 80 modules and 4 MiB that the agent would carry for nothing.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
# httpcore imports sniffio at each lock it takes. Where it is not installed (anyio does without),
# each try is a search of every folder of sys.path: a fifth of what a request costs.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]
import httpx  # noqa: E402

__all__ = ["PollQuery", "Polled", "Posted", "Transport", "enrol", "open_transport"]

GZIP_FROM_BYTES = 16 * 1024
REASON_BYTES = 2000


@dataclass(frozen=True)
class Posted:
    """How a POST was taken: the protocol the manager speaks, and its answer where it gave one."""

    protocol: int
    answer: EnvelopeAnswer | None


@dataclass(frozen=True)
class Polled:
    """What a GET brought."""

    protocol: int
    received: ReceivedMessages


@dataclass(frozen=True)
class PollQuery:
    """What a GET says: which process asks, and up to where it has taken messages."""

    server_boot_time: str
    client_start_time: str
    epoch: int | None = None
    acknowledged: int | None = None

    def parameters(self) -> dict[str, str]:
        """Return the query of the GET; an ancestor ignores what it does not know."""
        given = {
            "server_boot_time": self.server_boot_time,
            "client_start_time": self.client_start_time,
        }
        if self.epoch is not None and self.acknowledged is not None:
            given |= {"epoch": str(self.epoch), "ack": str(self.acknowledged)}
        return given


class Transport:
    """One manager, two connections: one hangs on the poll, one posts.

    After a renewal new requests use new connections; the old ones end with the request they carry.
    """

    def __init__(self, context: ssl.SSLContext, manager_url: str) -> None:
        self._client = new_client(context)
        self._carrying: Counter[httpx.AsyncClient] = Counter()
        self._manager_url = manager_url
        self._url = manager_url.rstrip("/") + MESSAGE_PATH

    async def aclose(self) -> None:
        """Close every connection."""
        for client in {self._client, *self._carrying}:
            await client.aclose()

    async def adopt(self, context: ssl.SSLContext) -> None:
        """Have requests from now on go over new connections, made with this context."""
        former, self._client = self._client, new_client(context)
        if not self._carrying[former]:
            await former.aclose()

    async def renew(self, request: RenewRequest, *, timeout_s: float = 30.0) -> EnrolAnswer:
        """Exchange the certificate in use for a new one.

        Raises:
            ManagerUnreachableError, ManagerRefusedError, ProtocolError: as for a post.

        """
        async with self._borrowed() as client:
            url = self._manager_url.rstrip("/") + RENEW_PATH
            return await certified(client, url, request, timeout_s=timeout_s)

    @asynccontextmanager
    async def _borrowed(self) -> AsyncGenerator[httpx.AsyncClient]:
        """Carry one request; a client that was replaced ends with its last one."""
        client = self._client
        self._carrying[client] += 1
        try:
            yield client
        finally:
            self._carrying[client] -= 1
            if not self._carrying[client]:
                del self._carrying[client]
                if client is not self._client:
                    with anyio.CancelScope(shield=True):
                        await client.aclose()

    async def post(self, envelope: Envelope, *, compress: bool, timeout_s: float) -> Posted:
        """Deliver an envelope.

        Raises:
            ManagerUnreachableError: no answer; the envelope may or may not have arrived.
            ManagerRefusedError: an error status.

        """
        body = envelope.to_bytes()
        headers = {PROTOCOL_HEADER: str(PROTOCOL), "Content-Type": "application/json"}
        if compress and len(body) >= GZIP_FROM_BYTES:
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        with manager_errors(self._url):
            async with (
                self._borrowed() as client,
                client.stream(
                    "POST", self._url, content=body, headers=headers, timeout=timeout_s
                ) as response,
            ):
                content = await read_bounded(response)
                refuse_errors(response, content)
        spoken = protocol_of(response)
        if spoken < PROTOCOL or not content:
            return Posted(spoken, None)
        return Posted(spoken, parse_envelope_answer(content))

    async def poll(self, query: PollQuery, *, timeout_s: float) -> Polled:
        """Hang until the manager has something to say, or its patience is over.

        Raises:
            ManagerUnreachableError: no answer.
            ManagerRefusedError: an error status.
            ProtocolError: an answer that is not a list of messages.

        """
        with manager_errors(self._url):
            async with (
                self._borrowed() as client,
                client.stream(
                    "GET",
                    self._url,
                    params=query.parameters(),
                    headers={PROTOCOL_HEADER: str(PROTOCOL)},
                    timeout=httpx.Timeout(timeout_s, connect=10.0),
                ) as response,
            ):
                content = await read_bounded(response)
                refuse_errors(response, content)
        return Polled(protocol_of(response), parse_manager_messages(content))


@asynccontextmanager
async def open_transport(manager_url: str, context: ssl.SSLContext) -> AsyncGenerator[Transport]:
    """Open the door; it closes its connections on leaving."""
    transport = Transport(context, manager_url)
    try:
        yield transport
    finally:
        with anyio.CancelScope(shield=True):
            await transport.aclose()


def new_client(context: ssl.SSLContext) -> httpx.AsyncClient:
    """Return a client that trusts this context alone; proxies and redirects are not for it."""
    return httpx.AsyncClient(
        verify=context,
        trust_env=False,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=4, keepalive_expiry=90.0),
    )


async def enrol(
    manager_url: str, context: ssl.SSLContext, request: EnrolRequest, *, timeout_s: float = 30.0
) -> EnrolAnswer:
    """Exchange a token and a CSR for a certificate.

    Raises:
        ManagerUnreachableError, ManagerRefusedError, ProtocolError: as for a post.

    """
    url = manager_url.rstrip("/") + ENROL_PATH
    async with new_client(context) as client:
        return await certified(client, url, request, timeout_s=timeout_s)


async def certified(
    client: httpx.AsyncClient,
    url: str,
    request: EnrolRequest | RenewRequest,
    *,
    timeout_s: float,
) -> EnrolAnswer:
    """Post a request for a certificate, and return the answer."""
    headers = {PROTOCOL_HEADER: str(PROTOCOL), "Content-Type": "application/json"}
    with manager_errors(url):
        async with client.stream(
            "POST", url, content=request.to_bytes(), headers=headers, timeout=timeout_s
        ) as response:
            content = await read_bounded(response)
            refuse_errors(response, content)
    try:
        return EnrolAnswer.model_validate_json(content)
    except ValueError as error:
        raise ProtocolError(f"{url}: the answer is no certificate") from error


@contextmanager
def manager_errors(url: str) -> Generator[None]:
    """Turn the library's errors into ours, keeping the cause."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
        raise ManagerUnreachableError(url, str(error) or type(error).__name__) from error


async def read_bounded(response: httpx.Response) -> bytes:
    """Read a body of at most 8 MiB.

    Raises:
        ProtocolError: there is more.

    """
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"{response.url}: an answer of more than {MAX_MESSAGE_BYTES} bytes")
    return bytes(content)


def refuse_errors(response: httpx.Response, content: bytes) -> None:
    """Raise for any status but a success."""
    if not response.is_success:
        why = content[:REASON_BYTES].decode("utf-8", "replace").strip() or response.reason_phrase
        raise ManagerRefusedError(
            str(response.url.copy_with(query=None)), response.status_code, why
        )


def protocol_of(response: httpx.Response) -> int:
    """Return the protocol the manager speaks; 1, the ancestor's, where it does not say."""
    try:
        return int(response.headers.get(PROTOCOL_HEADER, "1"))
    except ValueError:
        return 1
