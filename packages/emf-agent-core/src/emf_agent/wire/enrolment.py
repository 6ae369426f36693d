"""How a node joins: the token an admin carries over, and the two messages that use it.

The token names the manager's certificate authority by fingerprint, so that the very first contact
is verified (security requirements R9, R10); the secret travels in a body, never in a URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from emf_agent.errors import UsageError
from emf_agent.wire.encoding import Name, WireModel

__all__ = [
    "ENROL_PATH",
    "RENEW_PATH",
    "EnrolAnswer",
    "EnrolRequest",
    "EnrolmentToken",
    "RenewRequest",
]

ENROL_PATH = "/enrol/"
RENEW_PATH = "/renew/"
TOKEN_FORM = re.compile(r"emf1-(?P<secret>[A-Za-z0-9_-]{43})-(?P<fingerprint>[0-9a-f]{64})")


@dataclass(frozen=True)
class EnrolmentToken:
    """A one-time secret bound to one certificate authority, written ``emf1-SECRET-FINGERPRINT``."""

    secret: str = field(repr=False)
    """43 characters: 256 random bits, URL-safe base64 without padding."""
    authority_sha256: str
    """SHA-256 of the authority's certificate (DER), 64 hex digits."""

    @classmethod
    def parse(cls, text: str) -> EnrolmentToken:
        """Read a token as typed by a person.

        Raises:
            UsageError: it is not one; the message does not repeat it.

        """
        found = TOKEN_FORM.fullmatch(text.strip())
        if found is None:
            raise UsageError(
                "the token is not of the form emf1-SECRET-FINGERPRINT; "
                "copy the whole line that `emf-manager token create` printed"
            )
        return cls(found["secret"], found["fingerprint"])

    def text(self) -> str:
        """Return the token as it is handed to an admin."""
        return f"emf1-{self.secret}-{self.authority_sha256}"


class EnrolRequest(WireModel):
    """POST to ``/enrol/`` without a client certificate; only the CSR's key is used."""

    token: str
    """The token's secret part."""
    fqdn: Name
    csr: str
    """PEM."""
    agent_version: str


class RenewRequest(WireModel):
    """POST to ``/renew/`` under the certificate that is to be renewed."""

    csr: str


class EnrolAnswer(WireModel):
    """The certificate, and the authority to trust from now on."""

    certificate: str
    """PEM."""
    authority: str
    """PEM."""
    fqdn: Name
    """The name the manager bound the certificate to."""
