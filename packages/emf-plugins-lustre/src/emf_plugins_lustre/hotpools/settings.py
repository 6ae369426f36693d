"""The settings of ``lustre.hotpools``."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from emf_plugins_lustre.mailboxes.sockets import default_socket_folder
from emf_plugins_lustre.packaged_defaults import from_environment

__all__ = ["HotPoolSettings"]


class HotPoolSettings(BaseModel):
    """``[plugin."lustre.hotpools"]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lamigo_conf: str = Field(
        default_factory=from_environment(
            "LAMIGO_CONF_PATH", otherwise="/etc/lamigo/{fs}-{mdt}.conf"
        ),
        validate_default=True,
    )
    """Path of a configuration, with ``{fs}`` ``{mdt}`` ``{user}`` ``{hot_pool}`` ``{cold_pool}``
    ``{min_age}``."""
    lpurge_conf: str = Field(
        default_factory=from_environment(
            "LPURGE_CONF_PATH", otherwise="/etc/lpurge/{fs}/{ost}.conf"
        ),
        validate_default=True,
    )
    """Path of a configuration, with ``{fs}`` ``{ost}`` ``{pool}`` ``{freehi}`` ``{freelo}``
    ``{mailbox}``."""
    socket_folder: Path = Field(default_factory=default_socket_folder, validate_default=True)
    """Where the post office has its sockets."""
