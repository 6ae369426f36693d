"""The manager's own certificate authority: made at first start, its key apart from the database.

It signs two kinds of certificate and no other: a node's, good as a client only, and the server's,
good as a server only (requirements R7 and R12).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from emf_agent.errors import ConfigurationError
from emf_manager.identity.requests import NodeKey
from emf_manager.records import Certificate

__all__ = [
    "Authority",
    "key_digest",
    "make_authority",
    "open_authority",
    "private_pem",
    "read_authority",
    "write_private",
]

DAY_S = 86400.0
LIFETIME_DAYS = 90
AUTHORITY_DAYS = 3650
GRACE_S = 2 * DAY_S
"""Certificates begin in the past, for nodes whose clock is behind, even by a day (R30)."""
PEM = serialization.Encoding.PEM
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
LEAF_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
AUTHORITY_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, repr=False)
class Authority:
    """The key that signs, and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """The certificate, for those who are to trust it."""
        return self.certificate.public_bytes(PEM).decode()

    @property
    def name(self) -> str:
        """Its common name, which stands in the certificates it signs; no two are alike."""
        (name,) = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(name.value)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate (DER), 64 hex digits: what an enrolment token pins."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def issue_node(
        self, fqdn: str, key: NodeKey, *, now: float, grant_id: str | None = None
    ) -> Certificate:
        """Return a node's certificate: its name from us, its key from the node, a client's only."""
        names = x509.SubjectAlternativeName([x509.DNSName(fqdn)])
        made = self._issue(fqdn, names, CLIENT, key, now)
        return Certificate(
            serial=f"{made.serial_number:X}",
            fqdn=fqdn,
            not_before=made.not_valid_before_utc.timestamp(),
            not_after=made.not_valid_after_utc.timestamp(),
            key_sha256=key_digest(key),
            pem=made.public_bytes(PEM).decode(),
            grant_id=grant_id,
        )

    def issue_server(
        self, names: Collection[str], key: ec.EllipticCurvePublicKey, *, now: float
    ) -> x509.Certificate:
        """Return the server's certificate for these host names and addresses, a server's only."""
        alternatives = x509.SubjectAlternativeName([general_name(name) for name in sorted(names)])
        return self._issue("emf-manager", alternatives, SERVER, key, now)

    def _issue(
        self,
        subject: str,
        names: x509.SubjectAlternativeName,
        usage: x509.ObjectIdentifier,
        key: NodeKey,
        now: float,
    ) -> x509.Certificate:
        end = min(
            now - GRACE_S + LIFETIME_DAYS * DAY_S, self.certificate.not_valid_after_utc.timestamp()
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name(subject))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(random_serial())
            .not_valid_before(moment(now - GRACE_S))
            .not_valid_after(moment(end))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(LEAF_USAGE, critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .add_extension(names, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        return builder.sign(self.key, hashes.SHA256())


def open_authority(folder: Path, *, now: float) -> Authority:
    """Return the authority kept in a folder, made there when it is not.

    Raises:
        ConfigurationError: a file is missing, open to others, damaged, not of a pair, or expired.

    """
    if not folder.exists():
        make_authority(folder, now)
    authority = read_authority(folder)
    ends = authority.certificate.not_valid_after_utc
    if ends.timestamp() <= now:
        todo = f"move {folder} away, start again, and enrol every node anew"
        raise ConfigurationError([f"{folder / 'ca.crt'}: expired on {ends:%Y-%m-%d}; {todo}"])
    return authority


def read_authority(folder: Path) -> Authority:
    """Return the authority kept in a folder, expired or not.

    Raises:
        ConfigurationError: a file is missing, open to others, damaged, or not of a pair.

    """
    key_file, certificate_file = folder / "ca.key", folder / "ca.crt"
    try:
        mode = key_file.stat().st_mode & 0o777
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            [f"{error.filename}: {error.strerror}; restore the folder {folder} from its backup"]
        ) from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            [f"{folder}: the key or the certificate in it is damaged; restore it from its backup"]
        ) from error
    if mode & 0o077:
        raise ConfigurationError([f"{key_file}: others may read it; run chmod 0600 {key_file}"])
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or key.public_key() != certificate.public_key()
    ):
        raise ConfigurationError([f"{folder}: ca.key is not the key of ca.crt"])
    return Authority(key, certificate)


def key_digest(key: NodeKey) -> str:
    """Return the SHA-256 of a public key (DER SubjectPublicKeyInfo)."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def write_private(path: Path, content: bytes) -> None:
    """Write a file, for its owner alone from the first moment, and have it on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as PEM, not encrypted: it starts without anybody at the console."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(PEM, form, serialization.NoEncryption())


def make_authority(folder: Path, now: float) -> None:
    """Make an authority in a folder beside, then rename it: whoever is first wins.

    Raises:
        ConfigurationError: the folder cannot be made.

    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = common_name(f"EMF manager authority {secrets.token_hex(4)}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(random_serial())
        .not_valid_before(moment(now - GRACE_S))
        .not_valid_after(moment(now + AUTHORITY_DAYS * DAY_S))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(AUTHORITY_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        write_private(fresh / "ca.key", private_pem(key))
        write_private(fresh / "ca.crt", certificate.public_bytes(PEM))
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    except OSError as error:
        raise ConfigurationError([f"{folder}: cannot be made: {error.strerror}"]) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def random_serial() -> int:
    """Return 152 random bits, never with a leading zero byte, so that all hex forms of it agree."""
    return (1 << 151) | secrets.randbits(151)


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), timezone.utc)
