"""The server's own certificate: made at start for the names it is reached by, renewed in time."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from emf_agent.errors import ConfigurationError
from emf_manager.identity.authority import Authority, private_pem, write_private
from emf_manager.settings import Listen

__all__ = ["ServerCertificate", "open_server_certificate", "server_names"]

ALWAYS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServerCertificate:
    """One file for ``load_cert_chain``: key, certificate, and the authority's, to be pinned."""

    path: Path
    names: frozenset[str]
    not_before: float
    not_after: float

    def is_due(self, now: float) -> bool:
        """Tell whether two thirds of its life are over."""
        return now >= self.not_before + (self.not_after - self.not_before) * 2 / 3


def open_server_certificate(
    folder: Path, authority: Authority, names: Collection[str], *, now: float
) -> ServerCertificate:
    """Return the certificate kept in a folder, or a new one where that does not do any more.

    Raises:
        ConfigurationError: a name is none, or the folder cannot be written.

    """
    path = folder / "server.pem"
    kept = read(path, authority)
    if kept is not None and kept.names >= frozenset(names) and not kept.is_due(now):
        return kept
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        certificate = authority.issue_server(names, key.public_key(), now=now)
    except (ValueError, UnicodeError) as error:
        raise ConfigurationError([f"names of the server: {error}"]) from error
    chain = certificate.public_bytes(serialization.Encoding.PEM) + authority.pem.encode()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            write_private(Path(fresh) / path.name, private_pem(key) + chain)
            (Path(fresh) / path.name).replace(path)
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be written: {error.strerror}"]) from error
    return described(path, certificate)


def server_names(listen: Listen, more: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names and addresses that clients may use for this machine.

    Raises:
        ConfigurationError: one of those asked for is no name.

    """
    if wrong := [name for name in more if not is_name(name)]:
        raise ConfigurationError([f"{name!r} is not a host name or address" for name in wrong])
    if not listen.is_wildcard:
        return tuple(sorted({*ALWAYS, *more, listen.host}))
    host = socket.gethostname()
    found = {name for name in (host, socket.getfqdn(host), *addresses_of(host)) if is_name(name)}
    return tuple(sorted({*ALWAYS, *more, *found}))


def addresses_of(host: str) -> set[str]:
    """Return the addresses a name resolves to; none when it does not."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(entry[4][0]).partition("%")[0] for entry in found}


def is_name(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return text.isascii() and text.replace("-", "").replace(".", "").replace("_", "").isalnum()
    return True


def read(path: Path, authority: Authority) -> ServerCertificate | None:
    """Return what is kept, or None where it is missing, damaged, or another authority's."""
    try:
        content = path.read_bytes()
        serialization.load_pem_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(content)
        certificate.verify_directly_issued_by(authority.certificate)
        return described(path, certificate)
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return None


def described(path: Path, certificate: x509.Certificate) -> ServerCertificate:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return ServerCertificate(
        path=path,
        names=frozenset(str(name.value) for name in names),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
    )
