"""What may become a certificate: names and public keys, read from what strangers send.

Of a signing request only the public key is used; whatever else it asks for is not even looked at
(requirement R12).
"""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from emf_agent.errors import RefusedError

__all__ = ["NodeKey", "RequestError", "node_name", "public_key"]

MAX_PEM = 16 * 1024
RSA_BITS = range(2048, 8193)
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
MAX_NAME = 64
"""What a certificate's common name holds."""

NodeKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class RequestError(RefusedError):
    """A name or a signing request that no certificate is made of; says why."""


def node_name(text: str) -> str:
    """Return a node's name in lower case.

    Raises:
        RequestError: it is not a host name, or too long for a certificate.

    """
    name = text.lower()
    if len(name) > MAX_NAME:
        raise RequestError(
            f"the name has {len(name)} characters, a certificate's common name holds {MAX_NAME}"
        )
    if not all(LABEL.fullmatch(label) for label in name.split(".")):
        raise RequestError(f"{text[:MAX_NAME]!r} is not a host name")
    if name.replace(".", "").isdigit() or name in {"localhost", "localhost.localdomain"}:
        raise RequestError(f"{text!r} does not name one node; set the host's name first")
    return name


def public_key(pem: str) -> NodeKey:
    """Return the key of a signing request.

    Raises:
        RequestError: it is too large, unreadable, not signed by its own key, or the key is weak.

    """
    if len(pem) > MAX_PEM:
        raise RequestError(f"the signing request has more than {MAX_PEM} characters")
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        signed = request.is_signature_valid
        key = request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RequestError("the signing request cannot be read; it must be PEM") from error
    if not signed:
        raise RequestError("the signing request is not signed by the key in it")
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1() | ec.SECP384R1() | ec.SECP521R1()):
            return key
        case ed25519.Ed25519PublicKey():
            return key
        case rsa.RSAPublicKey() if key.key_size in RSA_BITS:
            return key
        case rsa.RSAPublicKey():
            raise RequestError(
                f"an RSA key of {key.key_size} bits is refused; use ECDSA P-256, or RSA with "
                f"{RSA_BITS.start} to {RSA_BITS.stop - 1}"
            )
    raise RequestError("this kind of key is refused; use ECDSA P-256")
