"""Who is at the other end of a connection: what its verified certificate says, and nothing else.

The server puts it into the ASGI scope from the TLS handshake; no header and no body ever does
(requirement R8).
"""

from __future__ import annotations

import ssl
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Peer", "address_of", "attach_peer", "peer_of", "peer_of_certificate"]

KEY = "emf.peer"


@dataclass(frozen=True)
class Peer:
    """A node, by the certificate that its TLS handshake proved."""

    fqdn: str
    serial: str
    """Upper-case hex."""
    not_after: float
    """Seconds since the epoch."""
    authority: str | None = None
    """Common name of the authority that issued the certificate."""


def peer_of(scope: MutableMapping[str, Any]) -> Peer | None:
    """Return the node that a request comes from; None where it showed no certificate."""
    peer = scope.get("extensions", {}).get(KEY)
    return peer if isinstance(peer, Peer) else None


def attach_peer(scope: MutableMapping[str, Any], peer: Peer | None) -> None:
    """Say in a scope who the peer is; whatever stood there goes."""
    scope["extensions"] = {**scope.get("extensions", {}), KEY: peer}


def address_of(scope: MutableMapping[str, Any]) -> str:
    """Return the address a request comes from, for logs and limits."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def peer_of_certificate(fields: Any) -> Peer | None:
    """Return the peer of ``SSLObject.getpeercert()``; None where there is no certificate.

    The authority writes one common name into each, and the same as its alternative; a certificate
    with anything else names nobody.
    """
    if not fields:
        return None
    names = common_names(fields.get("subject", ()))
    if len(names) != 1 or ("DNS", names[0]) not in fields.get("subjectAltName", ()):
        return None
    return Peer(
        fqdn=names[0],
        serial=str(fields["serialNumber"]).upper(),
        not_after=float(ssl.cert_time_to_seconds(fields["notAfter"])),
        authority=next(iter(common_names(fields.get("issuer", ()))), None),
    )


def common_names(name: Any) -> list[str]:
    return [str(value) for part in name for key, value in part if key == "commonName"]
