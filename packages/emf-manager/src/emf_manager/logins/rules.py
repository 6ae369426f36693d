"""What makes a write from a browser one that its user meant, and how long a login lasts; no clock.

A browser sends the cookie of a login by itself, so a write needs two things more: a token that
only our pages know (``csrf_token``), and that the browser does not say it comes from another
site. The token is made of the login's secret and kept nowhere; each page masks it anew, so that
compressed answers do not give it away piece by piece.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = [
    "ABSOLUTE_S",
    "COOKIE",
    "CSRF_HEADER",
    "IDLE_S",
    "LINK_S",
    "PASSWORD_MIN",
    "csrf_token",
    "login_secret",
    "unmeant",
]

COOKIE = "__Host-emf-login"
"""With this opening a browser takes it only from ourselves, over TLS, for every path."""
CSRF_HEADER = "x-emf-csrf"
IDLE_S = 3600.0
"""A login that is not used for so long is over."""
ABSOLUTE_S = 12 * 3600.0
"""A login is over after this, however much it is used."""
LINK_S = 600.0
"""The longest that a one-time link may be good."""
PASSWORD_MIN = 12
SECRET_CHARS = 200
MASK_BYTES = 16


def login_secret(headers: Mapping[str, str]) -> str | None:
    """Return the login's secret from the cookies of a request; None where there is none."""
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE and 0 < len(value) <= SECRET_CHARS:
            return value
    return None


def csrf_token(secret: str) -> str:
    """Return a token for one page; every one that this secret makes is as good as another."""
    mask = secrets.token_bytes(MASK_BYTES)
    return base64.urlsafe_b64encode(mask + masked(proof(secret), mask)).decode()


def unmeant(headers: Mapping[str, str], secret: str | None, token: str | None) -> str | None:
    """Return why a write was not asked for by one of our pages; None where it was.

    ``secret`` is None before somebody signed in: then only where it comes from counts.
    """
    site = headers.get("sec-fetch-site")
    if site not in {None, "same-origin"}:
        return f"the browser says that it comes from elsewhere (Sec-Fetch-Site: {site[:20]})"
    origin = headers.get("origin")
    if origin is not None and (
        urlsplit(origin).scheme != "https" or urlsplit(origin).netloc != headers.get("host", "")
    ):
        return "the browser says that it comes from another origin"
    if secret is not None and not matches(secret, token or ""):
        return f"the page's token is missing or wrong (header {CSRF_HEADER}); load the page again"
    return None


def proof(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"csrf", hashlib.sha256)[:MASK_BYTES]


def masked(value: bytes, mask: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(value, mask, strict=True))


def matches(secret: str, token: str) -> bool:
    try:
        raw = base64.urlsafe_b64decode(token[:SECRET_CHARS].encode("ascii"))
    except (binascii.Error, ValueError):
        return False
    if len(raw) != 2 * MASK_BYTES:
        return False
    shown = masked(raw[MASK_BYTES:], raw[:MASK_BYTES])
    return hmac.compare_digest(shown, proof(secret))
