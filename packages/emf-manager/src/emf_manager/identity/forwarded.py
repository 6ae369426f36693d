"""A node's certificate that a proxy passes on in a header: read, and verified by us all the same.

The proxy's word that it verified something counts for nothing: the certificate has to be one that
an authority of ours issued to a node, and be valid now. What the proxy is trusted with is that the
connection it speaks for proved the certificate's key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from emf_manager.identity.authorities import Authorities
from emf_manager.identity.peer import Peer

__all__ = ["HEADERS", "ForwardedError", "forwarded_peer"]

CLIENT_CERT = b"client-cert"
"""RFC 9440: the certificate as a structured field's byte sequence, ``:BASE64:``."""
ESCAPED_CERT = b"x-ssl-client-cert"
"""What nginx calls ``$ssl_client_escaped_cert``: PEM with percent signs."""
HEADERS = (CLIENT_CERT, ESCAPED_CERT)
MAX_HEADER = 16 * 1024


class ForwardedError(Exception):
    """The certificate that was passed on is not one of a node; the text is for the log."""


def forwarded_peer(
    headers: Iterable[tuple[bytes, bytes]], authorities: Authorities, *, now: float
) -> Peer | None:
    """Return the node that a proxy speaks for; None where it passes no certificate on.

    Raises:
        ForwardedError: it passes on what is no certificate of a node, or two of them.

    """
    passed = [(name, value) for name, value in headers if name in HEADERS and value.strip()]
    if not passed:
        return None
    if len(passed) > 1:
        raise ForwardedError("more than one certificate")
    name, value = passed[0]
    if len(value) > MAX_HEADER:
        raise ForwardedError(f"a certificate of more than {MAX_HEADER} bytes")
    try:
        certificate = (
            x509.load_der_x509_certificate(of_byte_sequence(value.strip()))
            if name == CLIENT_CERT
            else x509.load_pem_x509_certificate(unquote_to_bytes(value.strip()))
        )
        return verified(certificate, authorities, now)
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature) as error:
        raise ForwardedError(f"no certificate of a node ({type(error).__name__})") from error


def of_byte_sequence(value: bytes) -> bytes:
    """Return what a byte sequence of RFC 8941 stands for."""
    if len(value) < 2 or value[:1] != b":" or value[-1:] != b":":
        raise ForwardedError("Client-Cert is not of the form :BASE64:")
    try:
        return base64.b64decode(value[1:-1], validate=True)
    except binascii.Error as error:
        raise ForwardedError("Client-Cert is not of the form :BASE64:") from error


def verified(certificate: x509.Certificate, authorities: Authorities, now: float) -> Peer:
    """Return whose certificate it is, as a handshake with us would have proved it."""
    issuer = name_in(certificate.issuer)
    signers = [one for one in authorities.trusted if one.name == issuer]
    if not signers:
        raise ForwardedError("the certificate is not of this manager's authority")
    try:
        certificate.verify_directly_issued_by(signers[0].certificate)
    except InvalidSignature as error:
        raise ForwardedError("the certificate's signature is forged") from error
    begins, ends = (
        moment.timestamp()
        for moment in (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    )
    if not begins <= now < ends:
        raise ForwardedError(
            "the certificate has expired" if now >= ends else "the certificate is not valid yet"
        )
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise ForwardedError("the certificate is not a client's")
    fqdn = name_in(certificate.subject)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if fqdn is None or fqdn not in names.get_values_for_type(x509.DNSName):
        raise ForwardedError("the certificate names no node")
    return Peer(fqdn, f"{certificate.serial_number:X}", ends, issuer)


def name_in(name: x509.Name) -> str | None:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else None
