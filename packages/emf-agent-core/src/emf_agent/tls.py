"""The door to TLS: the one place that makes an SSLContext, and pins an unknown authority.

Both directions are always verified; there is no switch that turns it off (security requirement R7).
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from emf_agent.errors import ConfigurationError, ManagerUnreachableError

__all__ = [
    "CertificateFacts",
    "TrustedAuthority",
    "authority_context",
    "certificate_facts",
    "client_context",
    "fetch_authority",
    "trusted_authorities",
    "trusts",
]


def client_context(authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the context of an enrolled agent: its certificate, and the authorities it trusts.

    Raises:
        ConfigurationError: a file is missing or is not what it should be.

    """
    try:
        context = verifying_context(authority.read_text())
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError([f"{authority}: not a usable CA certificate: {error}"]) from error
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            [f"{certificate}, {key}: no usable certificate and key: {error}; enrol again"]
        ) from error
    return context


def authority_context(authority_pem: str) -> ssl.SSLContext:
    """Return a context without a certificate of our own, for enrolling."""
    return verifying_context(authority_pem)


def verifying_context(authority_pem: str) -> ssl.SSLContext:
    """Return a client context that trusts these authorities alone, and none of certifi's."""
    if not authority_pem.isascii():
        raise ValueError("it is not PEM")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authority_pem)
    return context


def fetch_authority(host: str, port: int, sha256: str, *, timeout_s: float = 10.0) -> str:
    """Return the PEM of the authority with this fingerprint, as the server at ``host`` shows it.

    Only a handshake is made and nothing is sent: a server that cannot show a certificate with the
    fingerprint learns nothing (security requirement R9). What is returned is then trusted by a
    second, fully verified connection. This is the only context that does not verify a chain: the
    fingerprint stands in for it.

    Raises:
        ManagerUnreachableError: no connection, no TLS, or no such certificate in the chain.

    """
    where = f"https://{host}:{port}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            chain = peer_chain(secured)
    except (OSError, ValueError) as error:
        raise ManagerUnreachableError(where, str(error) or type(error).__name__) from error
    for certificate in chain:
        if hashlib.sha256(certificate).hexdigest() == sha256:
            return ssl.DER_cert_to_PEM_cert(certificate)
    raise ManagerUnreachableError(
        where,
        "it is not the manager that issued the token: its authority's fingerprint differs; if the "
        "manager's authority was rotated since, make a new token",
    )


def peer_chain(secured: ssl.SSLSocket) -> list[bytes]:
    """Return the certificates the peer sent, in DER; public from Python 3.13 on."""
    public = getattr(secured, "get_unverified_chain", None)
    if public is not None:
        return [bytes(certificate) for certificate in public()]
    inner = getattr(secured, "_sslobj", None)
    if inner is None:
        return []
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in inner.get_unverified_chain()]


def trusts(authority_pem: str) -> bool:
    """Tell whether a text holds at least one certificate to trust."""
    try:
        return bool(verifying_context(authority_pem).get_ca_certs())
    except (ssl.SSLError, ValueError):
        return False


@dataclass(frozen=True)
class TrustedAuthority:
    """An authority in a file of them."""

    sha256: str
    name: object
    """Its subject; equal to the issuer in what it issued."""


def trusted_authorities(authority: Path) -> tuple[TrustedAuthority, ...]:
    """Return every authority in a file.

    Raises:
        ConfigurationError: it cannot be read, or holds none.

    """
    try:
        context = verifying_context(authority.read_text())
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError([f"{authority}: not a usable CA certificate: {error}"]) from error
    return tuple(
        TrustedAuthority(hashlib.sha256(der).hexdigest(), fields["subject"])
        for der, fields in zip(
            context.get_ca_certs(binary_form=True), context.get_ca_certs(), strict=True
        )
    )


@dataclass(frozen=True)
class CertificateFacts:
    """What a certificate says of its node, times in seconds since the epoch."""

    name: str
    not_before: float
    not_after: float
    issuer: object
    """The name of the authority that issued it."""


def certificate_facts(certificate: Path) -> CertificateFacts:
    """Return the common name of a certificate, and its life.

    Raises:
        ConfigurationError: the file holds no certificate.

    """
    decode = getattr(ssl, "_ssl")._test_decode_cert  # noqa: B009 - stdlib's only parser without a peer
    try:
        fields = decode(str(certificate))
        begins, ends = (ssl.cert_time_to_seconds(fields[end]) for end in ("notBefore", "notAfter"))
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError([f"{certificate}: not a certificate: {error}"]) from error
    names = [
        value for part in fields.get("subject", ()) for key, value in part if key == "commonName"
    ]
    if not names:
        raise ConfigurationError([f"{certificate}: the subject has no common name; enrol again"])
    return CertificateFacts(str(names[0]), float(begins), float(ends), fields.get("issuer"))
