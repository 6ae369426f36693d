"""The door to the node's identity on disk: makes a key and a CSR, keeps what enrolment brought.

``cryptography`` is imported here alone and late: it costs more memory than the whole protocol, and
a running agent does not need it.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from emf_agent.errors import ConfigurationError, ProtocolError
from emf_agent.tls import trusts
from emf_agent.wire import EnrolAnswer

__all__ = ["IdentityFiles", "KeyRequest", "certifies", "new_key_request", "write_private"]


@dataclass(frozen=True)
class KeyRequest:
    """A fresh private key and the request to certify it, both PEM."""

    key: str
    csr: str

    def __repr__(self) -> str:
        return "KeyRequest(key='***')"


@dataclass(frozen=True)
class IdentityFiles:
    """Where the identity lives (conventions: files on a node)."""

    key: Path
    certificate: Path
    authority: Path

    def missing(self) -> tuple[Path, ...]:
        """Return the files that are not there; none means the node is enrolled."""
        return tuple(
            one for one in (self.key, self.certificate, self.authority) if not one.exists()
        )

    def save(self, *, key: str, certificate: str, authority: str) -> None:
        """Replace all three as one: a crash leaves the old identity or the new one, never a mix.

        Each is written beside its place first, the key last; then all are moved, the key last.

        Raises:
            ConfigurationError: a folder or file cannot be written; the old identity is whole.

        """
        write_private(beside(self.authority), authority, mode=0o644)
        write_private(beside(self.certificate), certificate, mode=0o644)
        write_private(beside(self.key), key, mode=0o600)
        self.settle()

    def keep(self, pair: KeyRequest, answer: EnrolAnswer) -> None:
        """Save what a manager answered to a request, if it is an identity at all.

        Raises:
            ProtocolError: it is not; nothing was written.
            ConfigurationError: as for ``save``.

        """
        if not certifies(answer.certificate, pair.key):
            raise ProtocolError("the manager's answer is no certificate for the new key")
        if not trusts(answer.authority):
            raise ProtocolError("the manager's answer has no usable authority")
        self.save(key=pair.key, certificate=answer.certificate, authority=answer.authority)

    def settle(self) -> None:
        """Finish what an interrupted ``save`` began, or drop it; done before the files are read.

        Raises:
            ConfigurationError: a file cannot be moved.

        """
        complete = beside(self.key).exists()
        for path in (self.authority, self.certificate, self.key):
            try:
                if not complete:
                    beside(path).unlink(missing_ok=True)
                elif beside(path).exists():
                    beside(path).replace(path)
            except OSError as error:
                raise ConfigurationError(
                    [f"{path}: cannot be replaced: {error.strerror}"]
                ) from error


def beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def new_key_request(fqdn: str) -> KeyRequest:
    """Make an ECDSA P-256 key and a CSR for this name; only its key counts at the manager."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    # The common name of a certificate holds 64 characters; the full name is in the alternative.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, fqdn[:64])])
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(fqdn)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyRequest(
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        csr=csr.public_bytes(serialization.Encoding.PEM).decode(),
    )


def certifies(certificate: str, key: str) -> bool:
    """Tell whether a certificate (PEM) is for this private key (PEM)."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        certified = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return certified == private.public_key()


def write_private(path: Path, text: str, *, mode: int) -> None:
    """Replace a file in one step, never readable by more than ``mode`` allows at any moment.

    Raises:
        ConfigurationError: it cannot be written.

    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(number, "w") as file:
                os.fchmod(number, mode)
                file.write(text)
                file.flush()
                os.fsync(number)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be written: {error.strerror}"]) from error
