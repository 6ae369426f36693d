"""Hearing of changes: of block devices by the kernel's events, of mounts by its mount table.

Nothing is polled: netlink(7) has an event for each device, and the mount table of proc(5) becomes
exceptional (``POLLPRI``) when it has changed.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path

import anyio

from emf_plugins_host.netlink import uevent_socket

__all__ = ["DeviceEvents", "watch_devices", "watch_mounts"]

logger = logging.getLogger(__name__)

EVENT_BYTES = 64 * 1024
SETTLE_S = 0.1
"""Events come in flocks; one look after them is enough."""
BLOCK = b"SUBSYSTEM=block"

DeviceEvents = Callable[[], socket.socket]


async def watch_devices(changed: Callable[[], None], events: DeviceEvents = uevent_socket) -> None:
    """Call ``changed`` once it listens, and then after events of block devices, for ever.

    Raises:
        NetlinkError: this process may not listen.

    """
    with events() as door:
        changed()
        while True:
            await anyio.wait_readable(door)
            await anyio.sleep(SETTLE_S)
            if heard_of_blocks(door):
                changed()


def heard_of_blocks(door: socket.socket) -> bool:
    """Read all events that wait; tell whether one was of a block device."""
    heard = False
    while True:
        try:
            heard |= BLOCK in door.recv(EVENT_BYTES)
        except BlockingIOError:
            return heard
        except OSError as error:
            # ENOBUFS: more events than there was room for; then surely something has changed.
            logger.info("device events were lost: %s", error)
            return True


async def watch_mounts(
    changed: Callable[[], None], table: Path = Path("/proc/self/mountinfo")
) -> None:
    """Call ``changed`` once it watches, and then after each mount and unmount, for ever."""
    descriptor = os.open(table, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with select.epoll() as poll:
            # The table is always readable; only the exceptional state says something.
            poll.register(descriptor, select.EPOLLPRI | select.EPOLLERR)
            changed()
            while True:
                await anyio.wait_readable(poll.fileno())
                poll.poll(0)
                await anyio.sleep(SETTLE_S)
                poll.poll(0)
                changed()
    finally:
        os.close(descriptor)
