"""How the manager is reached for lines: its address and the node's identity files, as settings."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from emf_agent.errors import ConfigurationError
from emf_plugins_lustre.packaged_defaults import from_environment

__all__ = ["ManagerConnection"]

URL = from_environment(
    "EMF_AGENT_MANAGER__URL", "EMF_MANAGER_URL", "IML_MANAGER_URL", otherwise=None
)
KEY = from_environment(
    "EMF_AGENT_TLS__KEY", "PRIVATE_PEM_PATH", otherwise="/etc/emf-agent/tls/agent.key"
)
CERTIFICATE = from_environment(
    "EMF_AGENT_TLS__CERTIFICATE", "CRT_PATH", otherwise="/etc/emf-agent/tls/agent.crt"
)
AUTHORITY = from_environment(
    "EMF_AGENT_TLS__AUTHORITY", "AUTHORITY_CRT_PATH", otherwise="/etc/emf-agent/tls/ca.crt"
)


class ManagerConnection(BaseModel):
    """The table ``manager`` of a plugin that sends lines; its values are those of the agent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = Field(default_factory=URL, validate_default=True)
    """The manager's address, ``https://manager.example:7443``."""
    key: Path = Field(default_factory=KEY, validate_default=True)
    certificate: Path = Field(default_factory=CERTIFICATE, validate_default=True)
    authority: Path = Field(default_factory=AUTHORITY, validate_default=True)
    answer_within_s: Annotated[float, Field(gt=0)] = 60.0
    """How long the manager may take to acknowledge one chunk."""

    @model_validator(mode="before")
    @classmethod
    def as_the_agents_own(cls, given: Any, info: ValidationInfo) -> Any:
        """Begin with the agent's own address and identity, where it is the agent who asks."""
        agents = (info.context or {}).get("manager") or {}
        if not isinstance(given, dict):
            return given
        return {**{key: value for key, value in agents.items() if value is not None}, **given}

    @field_validator("url")
    @classmethod
    def must_be_safe(cls, url: str | None) -> str | None:
        """Refuse an address without encryption: nothing turns verification off (R7)."""
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError(f"{url!r} must be an address like https://manager.example:7443")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(f"{parts.hostname} must come without user, password, query, fragment")
        return url.rstrip("/")

    def tls(self) -> ssl.SSLContext:
        """Return what verifies the manager and shows who we are (W-S1).

        Raises ConfigurationError where a file of the identity cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=str(self.authority))
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            named = f"{self.authority}, {self.certificate}, {self.key}"
            raise ConfigurationError(
                [f"manager.authority, .certificate, .key ({named}): {error}"]
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
