"""What is kept of a password: scrypt, salted, with its cost beside it.

hashlib's scrypt at 32 MiB and three passes is what OWASP asks for; Argon2id would be as good, and
is not worth a compiled dependency that nothing else needs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import unicodedata

from emf_agent.errors import UsageError
from emf_manager.logins.rules import PASSWORD_MIN

__all__ = ["PASSWORD_MAX", "check_new_password", "hash_password", "is_password"]

LOG2_N, R, P = 15, 8, 3
MEMORY_BYTES = 64 * 1024 * 1024
PASSWORD_MAX = 1024
NOBODY = "scrypt$15$8$3$AAAAAAAAAAAAAAAAAAAAAA==$AAAA"
"""Compared where there is no password, so that a wrong name takes as long as a wrong password."""


def check_new_password(password: str, user: str) -> None:
    """Refuse what is guessed first.

    Raises:
        UsageError: too short, too long, the user's name, or one character again and again.

    """
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise UsageError(f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters")
    if user.casefold() in password.casefold() and len(password) < 2 * len(user) + PASSWORD_MIN:
        raise UsageError("a password is not made of the user's name")
    if len(set(password)) < 4:
        raise UsageError("a password has at least four different characters")


def hash_password(password: str, *, log2_n: int = LOG2_N) -> str:
    """Return what is kept; takes a tenth of a second or more: call it in a thread."""
    salt = secrets.token_bytes(16)
    key = derive(password, salt, log2_n, R, P)
    kept = (base64.b64encode(part).decode() for part in (salt, key))
    return "$".join(["scrypt", str(log2_n), str(R), str(P), *kept])


def is_password(password: str, kept: str | None) -> bool:
    """Tell whether this is the password; False too where none is kept, after as long a time."""
    try:
        kind, log2_n, r, p, salt, key = (kept or NOBODY).split("$")
        found = derive(password, base64.b64decode(salt), int(log2_n), int(r), int(p))
        expected = base64.b64decode(key)
    except (ValueError, binascii.Error):
        return False
    return kind == "scrypt" and hmac.compare_digest(found, expected)


def derive(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    text = unicodedata.normalize("NFKC", password[:PASSWORD_MAX]).encode("utf-8", "replace")
    return hashlib.scrypt(text, salt=salt, n=1 << log2_n, r=r, p=p, maxmem=MEMORY_BYTES, dklen=32)
