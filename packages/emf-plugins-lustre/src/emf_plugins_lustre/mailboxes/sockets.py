"""Where the sockets of the post office are: what its daemon binds, hot pools are told."""

from __future__ import annotations

from pathlib import Path

from emf_plugins_lustre.packaged_defaults import from_environment

__all__ = ["default_socket_folder", "socket_path"]

default_socket_folder = from_environment("SOCK_DIR", otherwise="/run/emf-agent")


def socket_path(folder: Path, mailbox: str) -> Path:
    """Return the socket of a mailbox; local programs know it by this name."""
    return folder / f"postman-{mailbox}.sock"
