"""The listening side's TLS: one handshake for each connection, its peer put into every scope.

A handshake that fails is told to both sides: a line in our log with address and cause, and the TLS
alert to the client, which asyncio alone would swallow. The handshake is made with ``start_tls`` on
the accepted connection, because a server socket's own TLS says nothing of those that failed.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import ssl
import sys
from collections.abc import Callable
from typing import Any, Protocol, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from emf_manager.identity.peer import Peer, attach_peer, peer_of_certificate

__all__ = [
    "Door",
    "SecuredConnection",
    "ServerContext",
    "cut_read_buffers",
    "explain_handshake",
]

logger = logging.getLogger(__name__)

HANDSHAKE_S = 20.0
SHUTDOWN_S = 1.0
"""How long a peer has to say goodbye; a dead one must not hold up the end."""
TIMEOUTS: dict[str, Any] = {"ssl_handshake_timeout": HANDSHAKE_S} | (
    {"ssl_shutdown_timeout": SHUTDOWN_S} if sys.version_info >= (3, 11) else {}
)
FIRST_REQUEST_S = 30.0
"""A connection that asks for nothing is closed after this."""
READ_BUFFER = 16 * 1024
"""A TLS record. asyncio keeps a buffer of 256 KiB for each connection, 3 GiB for 10,000 agents."""

FOREIGN = (18, 19, 20, 21)
"""OpenSSL's verify codes for a chain that does not lead to our authority."""

accepted: contextvars.ContextVar[asyncio.WriteTransport] = contextvars.ContextVar("accepted")


def cut_read_buffers() -> None:
    """Have every TLS connection of this process read into 16 KiB; for a serving process."""
    sslproto: Any = asyncio.sslproto  # type: ignore[attr-defined]
    sslproto.SSLProtocol.max_size = READ_BUFFER


class ServerContext(ssl.SSLContext):
    """A server's context: client certificates are asked for, and must be of our authority.

    No certificate is fine here, since one port serves enrolment, operators and agents; what a
    route needs, it asks of the peer. Nothing is resumed, so that each connection proves itself.
    """

    def __new__(cls, **_: str) -> ServerContext:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, *, authority_pem: str) -> None:
        super().__init__()
        self.sslobject_class = AlertingObject
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        self.verify_mode = ssl.CERT_OPTIONAL
        self.num_tickets = 0
        self.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        self.load_verify_locations(cadata=authority_pem)

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *rest: Any, **named: Any
    ) -> ssl.SSLObject:
        """Make the TLS of one connection, which can tell its client why it failed."""
        secured = super().wrap_bio(incoming, outgoing, *rest, **named)
        if isinstance(secured, AlertingObject):
            secured.outgoing = outgoing
            secured.transport = accepted.get(None)
        return secured


class AlertingObject(ssl.SSLObject):
    """TLS of one connection; the alert of a failed handshake leaves before the connection ends."""

    outgoing: ssl.MemoryBIO
    transport: asyncio.WriteTransport | None

    def do_handshake(self) -> None:
        """Go on with the handshake."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if self.transport is not None and (alert := self.outgoing.read()):
                self.transport.write(alert)
            raise


class Door(Protocol):
    """What each new connection asks of the server's identity."""

    @property
    def context(self) -> ssl.SSLContext:
        """What to show and whom to trust now."""
        ...

    def still_trusts(self, peer: Peer) -> bool:
        """Tell whether a peer's authority is one of ours now: a connection may outlive it."""
        ...


class SecuredConnection(asyncio.Protocol):
    """An accepted connection until its handshake is done; then it is the HTTP protocol's.

    Stands where uvicorn expects an HTTP protocol class, and is given what that is given.
    """

    def __init__(
        self,
        *,
        door: Door,
        make_http: Callable[..., asyncio.Protocol],
        **for_http: Any,
    ) -> None:
        self._door = door
        self._http: Any = make_http(**for_http)
        self._tasks: set[asyncio.Task[None]] = for_http["server_state"].tasks
        self._early = bytearray()
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake.

        Reading is not paused here: the task's first step comes before the loop reads anything, and
        ``start_tls`` pauses by itself (under Python 3.10 a pause here would be forgotten).
        """
        # uvicorn's own set of tasks owns it, and is waited for and cancelled at the end.
        secure = self._secure(cast(asyncio.Transport, transport))
        task = asyncio.get_running_loop().create_task(secure)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def data_received(self, data: bytes) -> None:
        """Keep what follows the handshake at once, until the HTTP protocol is there."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """The connection ended before the HTTP protocol had it."""
        self._lost = True

    async def _secure(self, plain: asyncio.Transport) -> None:
        accepted.set(plain)
        address = address_text(plain.get_extra_info("peername"))
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                plain, self, self._door.context, server_side=True, **TIMEOUTS
            )
        except (OSError, asyncio.TimeoutError) as error:
            explain = explain_handshake(error)
            level = logging.DEBUG if explain is None else logging.WARNING
            logger.log(level, "TLS handshake refused address=%s reason=%s", address, explain)
            return
        if transport is None or self._lost:
            return
        certificate = transport.get_extra_info("peercert")
        peer = peer_of_certificate(certificate)
        if certificate and peer is None:
            logger.warning("certificate names no node address=%s: connection closed", address)
            transport.close()
            return
        self._hand_over(transport, peer)

    def _hand_over(self, transport: asyncio.Transport, peer: Peer | None) -> None:
        http = self._http
        watch = FirstRequest(transport)
        http.app = WithPeer(http.app, peer, watch, self._door)
        http.connection_made(transport)
        transport.set_protocol(http)
        if self._early:
            http.data_received(bytes(self._early))


class FirstRequest:
    """Closes a connection that asks for nothing."""

    def __init__(self, transport: asyncio.Transport, *, after_s: float = FIRST_REQUEST_S) -> None:
        self._timer = asyncio.get_running_loop().call_later(after_s, transport.close)

    def came(self) -> None:
        """A request is here: from now on the HTTP protocol looks after the connection."""
        self._timer.cancel()


class WithPeer:
    """The application as one connection sees it: every scope names the verified peer."""

    def __init__(self, app: ASGIApp, peer: Peer | None, first: FirstRequest, door: Door) -> None:
        self._app = app
        self._peer = peer
        self._first = first
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._first.came()
        known = self._peer is not None and self._door.still_trusts(self._peer)
        attach_peer(scope, self._peer if known else None)
        await self._app(scope, receive, send)


def explain_handshake(error: Exception) -> str | None:
    """Return why a handshake failed, for the log; None where the client just went away."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message
        told = f"not of this manager's authority ({said})" if error.verify_code in FOREIGN else said
        return f"the client's certificate was refused: {told}"
    if isinstance(error, ssl.SSLError):
        said = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
        return "plain HTTP on the TLS port" if said == "http request" else said
    if isinstance(error, asyncio.TimeoutError) or "taking longer" in str(error):
        return f"the handshake took longer than {HANDSHAKE_S:g} s"
    return None


def address_text(peername: Any) -> str:
    return f"{peername[0]}:{peername[1]}" if isinstance(peername, tuple) else str(peername)
