"""The settings of ``lustre.postoffice``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from emf_plugins_lustre.mailboxes.connection import ManagerConnection
from emf_plugins_lustre.mailboxes.sockets import default_socket_folder
from emf_plugins_lustre.packaged_defaults import from_environment

__all__ = ["PostOfficeSettings"]


class PostOfficeSettings(BaseModel):
    """``[plugin."lustre.postoffice"]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    routes_file: Path = Field(
        default_factory=from_environment(
            "POSTMAN_CONF_PATH", otherwise="/etc/emf-agent/postman.conf"
        ),
        validate_default=True,
    )
    """One mailbox a line."""
    socket_folder: Path = Field(default_factory=default_socket_folder, validate_default=True)
    spool_bytes: Annotated[int, Field(ge=1024 * 1024)] = 256 * 1024 * 1024
    """What one mailbox keeps on disk while the manager is away; then its writers wait."""
    manager: ManagerConnection = Field(default_factory=dict, validate_default=True)
