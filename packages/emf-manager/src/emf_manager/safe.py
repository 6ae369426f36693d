"""The safe: seals the secret arguments of jobs under a key that lies apart from the database.

Whoever has the database, or a backup of it, and not the key, learns nothing of a secret, not even
by guessing it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import JsonValue

from emf_agent.errors import ConfigurationError, EmfError

__all__ = ["Safe", "SealError", "open_safe"]

KEY_BYTES = 32
NONCE_BYTES = 12


class SealError(EmfError):
    """What was sealed cannot be opened any more."""

    def __init__(self) -> None:
        super().__init__("its secret arguments were sealed with a key that is lost; order it again")


class Safe:
    """Seals and opens values, each bound to what it is about."""

    def __init__(self, key: bytes | None = None) -> None:
        """Take a key; a new one, which nobody will have later, where none is given."""
        key = secrets.token_bytes(KEY_BYTES) if key is None else key
        self._cipher = AESGCM(key)
        self._digest_key = hmac.digest(key, b"digest", "sha256")

    def __repr__(self) -> str:
        return "Safe('***')"

    def seal(self, value: JsonValue, *, about: str) -> str:
        """Return a value as only this key opens it, and only as being about the same."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, written(value), about.encode())
        return urlsafe_b64encode(sealed).decode()

    def open(self, sealed: str, *, about: str) -> JsonValue:
        """Return a value that was sealed.

        Raises:
            SealError: by another key, about something else, or damaged.

        """
        try:
            raw = urlsafe_b64decode(sealed.encode())
            nonce, text = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
            value: JsonValue = json.loads(self._cipher.decrypt(nonce, text, about.encode()))
        except (ValueError, InvalidTag) as error:
            raise SealError from error
        return value

    def digest(self, value: JsonValue) -> str:
        """Return what is the same for the same value, and tells nothing without the key."""
        return hmac.new(self._digest_key, written(value), hashlib.sha256).hexdigest()


def open_safe(path: Path) -> Safe:
    """Return the safe whose key lies in a file, made there when it is not.

    Raises:
        ConfigurationError: the file is open to others, no key, or cannot be written.

    """
    try:
        if not path.exists():
            make_key(path)
        mode, key = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from error
    if mode & 0o077:
        raise ConfigurationError([f"{path}: others may read it; run chmod 0600 {path}"])
    if len(key) != KEY_BYTES:
        why = "it is no key; restore it from its backup, or remove it: what it sealed is lost then"
        raise ConfigurationError([f"{path}: {why}"])
    return Safe(key)


def make_key(path: Path) -> None:
    """Write a new key beside its place, and link it there: whoever is first wins."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(descriptor)
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            return
    finally:
        fresh.unlink()


def written(value: JsonValue) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
