"""Where the manager is, and what to show it: flags, then environment, then the user's file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emf_agent.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["KEYS", "Connection", "Flags", "default_file", "read_file", "resolve"]

KEYS = ("manager", "token", "token_file", "ca")
"""What the file may set; the flags of the same names win."""


@dataclass(frozen=True)
class Connection:
    """What it takes to talk to one manager."""

    url: str
    token: str = field(repr=False)
    ca: Path | None
    """Certificates to trust instead of the system's."""


@dataclass(frozen=True)
class Flags:
    """The flags as given; None where one was not."""

    manager: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    ca: Path | None = None


def default_file(environ: Mapping[str, str]) -> Path:
    """Return where the user's file is: ``$XDG_CONFIG_HOME/emf/config.toml``."""
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")) / ".config")
    return Path(home) / "emf" / "config.toml"


def read_file(path: Path) -> dict[str, str]:
    """Return what the user's file sets; nothing where there is none.

    Raises:
        ConfigurationError: it cannot be read, has unknown keys, or shows a token to others.

    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path} cannot be read: {error}"]) from error
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{path} is not TOML: {error}"]) from error
    faults = [
        f"{path}: unknown key {key!r}; it may set {', '.join(KEYS)}"
        for key in values
        if key not in KEYS
    ]
    faults += [
        f"{path}: {key} must be text, not {type(value).__name__}"
        for key, value in values.items()
        if key in KEYS and not isinstance(value, str)
    ]
    if "token" in values:
        faults += exposure(path)
    if faults:
        raise ConfigurationError(faults)
    return values


def resolve(flags: Flags, environ: Mapping[str, str], path: Path) -> Connection:
    """Return the connection to use.

    Raises:
        ConfigurationError: with every fault found.

    """
    stored = read_file(path)
    faults: list[str] = []
    url = flags.manager or environ.get("EMF_MANAGER_URL") or stored.get("manager")
    if url:
        faults += url_faults(url)
    else:
        faults.append(
            "no manager is set: use --manager URL, EMF_MANAGER_URL, or 'emf config set manager URL'"
        )
    try:
        token = find_token(flags, environ, stored)
    except ConfigurationError as error:
        faults += error.faults
        token = None
    else:
        if token is None:
            faults.append(
                "no token is set: use --token-file FILE, EMF_TOKEN, or 'emf config set token -'; "
                "an administrator makes one with 'emf-manager user create NAME --role operator'"
            )
    ca = flags.ca or maybe_path(environ.get("EMF_CA") or stored.get("ca"))
    if ca is not None and not ca.is_file():
        faults.append(f"the CA file {ca} is not there; it comes from the manager's data directory")
    if faults:
        raise ConfigurationError(faults)
    assert url is not None
    assert token is not None
    return Connection(url.rstrip("/"), token, ca)


def find_token(flags: Flags, environ: Mapping[str, str], stored: Mapping[str, str]) -> str | None:
    if flags.token:
        return checked_token(flags.token, "--token")
    if flags.token_file:
        return read_token(flags.token_file)
    if from_environment := environ.get("EMF_TOKEN"):
        return checked_token(from_environment, "EMF_TOKEN")
    if "token_file" in stored:
        return read_token(Path(stored["token_file"]).expanduser())
    return checked_token(stored["token"], "the file's token") if "token" in stored else None


def read_token(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"the token file {path} cannot be read: {error}"]) from error
    return checked_token(text, f"the token file {path}")


def checked_token(text: str, source: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or any(sign.isspace() for sign in token):
        raise ConfigurationError([f"{source} does not hold a token: one word of ASCII is expected"])
    return token


def url_faults(url: str) -> list[str]:
    """Return what is wrong with the manager's address; a token never goes out in the clear."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return [f"the manager's address {url!r} is not a URL: {error}"]
    if parts.scheme not in {"http", "https"} or not host:
        return [f"the manager's address {url!r} is not like https://manager.example.com:7443"]
    if parts.scheme == "http" and not is_loopback(host):
        return [f"{url} would send the token in the clear; use https"]
    return []


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def exposure(path: Path) -> list[str]:
    if path.stat().st_mode & 0o077:
        return [f"{path} holds a token and others may read it; run: chmod 600 {path}"]
    return []


def maybe_path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None
