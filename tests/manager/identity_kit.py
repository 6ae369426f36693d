"""What identity tests need: signing requests good and bad, and a fleet that remembers."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from emf_manager.records import Node

__all__ = ["CSR", "RecordingFleet", "csr", "ec_key", "rsa_key"]


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def csr(key: Any = None, *, name: str = "whatever", hostile: bool = False) -> str:
    """Return a signing request; a hostile one asks for everything there is."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    if hostile:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName("mgs"), x509.DNSName("*.example.com")]),
                critical=False,
            )
            .add_extension(x509.ExtendedKeyUsage(usages), critical=True)
        )
    key = key or ec_key()
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM).decode()


CSR = csr()


class RecordingFleet:
    """A fleet that only remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def enrolled(self, node: Node) -> None:
        self.told.append(("enrolled", node.fqdn))

    async def nudge(self, fqdn: str) -> None:
        self.told.append(("nudged", fqdn))

    async def removed(self, fqdn: str, reason: str) -> None:
        self.told.append((f"removed: {reason}", fqdn))
