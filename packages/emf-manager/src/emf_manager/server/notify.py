"""Tell systemd how the service is doing (sd_notify(3)); does nothing where nobody listens."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

__all__ = ["notify"]

logger = logging.getLogger(__name__)


def notify(state: str, environ: Mapping[str, str]) -> None:
    """Send a state, such as ``READY=1``, to the socket in ``NOTIFY_SOCKET``."""
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(state.encode(), address)
    except OSError as error:
        logger.warning("systemd was not told %s: %s", state.splitlines()[0], error)
