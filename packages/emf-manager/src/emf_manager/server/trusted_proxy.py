"""The proxies that may speak for nodes: by address, and only where the configuration names them.

From anybody else the same headers mean nothing and are taken out, and the log says so, once in a
while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from emf_agent.errors import UsageError
from emf_manager.identity.authorities import Authorities
from emf_manager.identity.forwarded import HEADERS, ForwardedError, forwarded_peer
from emf_manager.identity.peer import attach_peer, peer_of

__all__ = ["BehindProxies", "Network", "parse_networks"]

logger = logging.getLogger(__name__)

Network = IPv4Network | IPv6Network
FORWARDED_FOR = b"x-forwarded-for"
SAID_AGAIN_S = 60.0
ADDRESSES_REMEMBERED = 1000


def parse_networks(texts: Collection[str]) -> tuple[Network, ...]:
    """Read addresses and networks.

    Raises:
        UsageError: one is neither, or stands for everybody.

    """
    networks = []
    for text in texts:
        try:
            network = ip_network(text)
        except ValueError:
            raise UsageError(
                f"{text!r} is no address of a proxy; write 192.0.2.7 or 192.0.2.0/28"
            ) from None
        if network.prefixlen == 0:
            raise UsageError(f"{text}: everybody would be a trusted proxy; name its address")
        networks.append(network)
    return tuple(networks)


@dataclass
class BehindProxies:
    """The application as it stands behind its proxies."""

    app: ASGIApp
    proxies: Collection[Network]
    authorities: Callable[[], Authorities]
    wall: Callable[[], float] = time.time
    _said: dict[str, float] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say in the scope who the request is from, and take the headers out."""
        if scope["type"] == "http":
            scope = self._told(scope)
        await self.app(scope, receive, send)

    def _told(self, scope: Scope) -> Scope:
        headers = scope["headers"]
        address = address_of(scope)
        if not self._is_proxy(address):
            if any(name in HEADERS for name, _ in headers):
                self._note(address, "a certificate in a header from no trusted proxy is ignored")
            return {**scope, "headers": [one for one in headers if one[0] not in HEADERS]}
        told: Scope = {**scope, "headers": [one for one in headers if one[0] not in HEADERS]}
        if (client := client_of(headers)) is not None:
            told["client"] = (client, 0)
        if peer_of(scope) is not None:
            return told
        try:
            peer = forwarded_peer(headers, self.authorities(), now=self.wall())
        except ForwardedError as error:
            self._note(address, f"what a proxy passed on is refused: {error}")
            return told
        attach_peer(told, peer)
        return told

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.proxies)

    def _note(self, address: str, what: str) -> None:
        now = self.wall()
        if now - self._said.get(address, float("-inf")) < SAID_AGAIN_S:
            return
        if len(self._said) >= ADDRESSES_REMEMBERED:
            self._said.clear()
        self._said[address] = now
        logger.warning("%s address=%s", what, address)


def address_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]).removeprefix("::ffff:") if client else ""


def client_of(headers: Collection[tuple[bytes, bytes]]) -> str | None:
    """Return whom a proxy says it speaks for; what others had written before it is passed over."""
    values = [value for name, value in headers if name == FORWARDED_FOR]
    if not values:
        return None
    last = values[-1].decode("latin-1").rpartition(",")[2].strip()
    try:
        return str(ip_address(last))
    except ValueError:
        return None
