"""How the manager is reached for lines: its address and the node's identity files, as settings."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from emf_agent.errors import ConfigurationError
from emf_plugins_lustre.packaged_defaults import from_environment

__all__ = ["ManagerConnection"]


def is_loopback(host: str | None) -> bool:
    """Tell whether a host is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


class ManagerConnection(BaseModel):
    """The table ``manager`` of a plugin that sends lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = Field(
        default_factory=from_environment("EMF_MANAGER_URL", "IML_MANAGER_URL", otherwise=None),
        validate_default=True,
    )
    """The manager's address, ``https://manager.example``; the same as the agent's."""
    private_key: Path = Field(
        default_factory=from_environment(
            "PRIVATE_PEM_PATH", otherwise="/etc/emf-agent/tls/agent.key"
        ),
        validate_default=True,
    )
    certificate: Path = Field(
        default_factory=from_environment("CRT_PATH", otherwise="/etc/emf-agent/tls/agent.crt"),
        validate_default=True,
    )
    authority: Path = Field(
        default_factory=from_environment(
            "AUTHORITY_CRT_PATH", otherwise="/etc/emf-agent/tls/ca.crt"
        ),
        validate_default=True,
    )
    answer_within_s: Annotated[float, Field(gt=0)] = 60.0
    """How long the manager may take to acknowledge one chunk."""

    @field_validator("url")
    @classmethod
    def must_be_safe(cls, url: str | None) -> str | None:
        """Refuse an address without encryption, except on this machine itself."""
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise ValueError(f"{url!r}: must be https://HOST, so that the manager is who it says")
        if not parts.hostname:
            raise ValueError(f"{url!r} names no host")
        return url.rstrip("/")

    def tls(self) -> ssl.SSLContext:
        """Return what verifies the manager and shows who we are (W-S1).

        Raises ConfigurationError where a file of the identity cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=str(self.authority))
            context.load_cert_chain(self.certificate, self.private_key)
        except (OSError, ssl.SSLError) as error:
            named = f"{self.authority}, {self.certificate}, {self.private_key}"
            raise ConfigurationError(
                [f"manager.authority, .certificate, .private_key ({named}): {error}"]
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
