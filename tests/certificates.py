"""Certificates of every kind, good and hostile, made on the spot."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["CLIENT", "SERVER", "Certified", "certified", "new_authority"]

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certified:
    """A key and its certificate, which may sign others."""

    key: Any
    certificate: x509.Certificate
    above: tuple[x509.Certificate, ...] = ()
    """What a server sends beside its own."""

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        form = serialization.PrivateFormat.PKCS8
        pem = self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return str(pem, "ascii")

    @property
    def chain_pem(self) -> str:
        more = [one.public_bytes(serialization.Encoding.PEM).decode() for one in self.above]
        return "".join([self.pem, *more])

    def as_trustme_authority(self) -> trustme.CA:
        return trustme.CA.from_pem(self.pem.encode(), self.key_pem.encode())

    def as_trustme_leaf(self) -> trustme.LeafCert:
        more = [one.public_bytes(serialization.Encoding.PEM) for one in self.above]
        return trustme.LeafCert(self.key_pem.encode(), self.pem.encode(), more)


def new_authority(name: str = "an authority") -> Certified:
    return certified(None, name, ca=True, usage=())


def certified(
    issuer: Certified | None,
    name: str,
    *,
    names: Collection[x509.GeneralName] | None = None,
    usage: Collection[x509.ObjectIdentifier] = (CLIENT,),
    ca: bool | None = False,
    key: Any = None,
    public_key: Any = None,
    digest: Any = None,
    since: timedelta = -DAY,
    until: timedelta = 30 * DAY,
    above: tuple[x509.Certificate, ...] = (),
) -> Certified:
    """Return a certificate; self-signed where nobody issues it, with ``since`` from now."""
    now = datetime.now(timezone.utc)
    key = key or ec.generate_private_key(ec.SECP256R1())
    public = public_key or key.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName(name)] if names is None and not ca else names
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since)
        .not_valid_after(now + until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usage)), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signer = key if issuer is None else issuer.key
    return Certified(key, builder.sign(signer, digest or hashes.SHA256()), above)


def weak_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)
