"""The door to netlink: what the kernel lists, and the events of its devices.

A netlink library was measured and left alone: importing it cost 25 MiB and 250 ms, for two lists.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable

from emf_plugins_host.netlink_messages import Message, NetlinkError, dump_request, messages

__all__ = ["Dump", "dump", "uevent_socket"]

Dump = Callable[[int], list[bytes]]
"""Lists the objects of a kind; :func:`dump`, or a fake in a test."""

RECEIVE_BYTES = 64 * 1024
ANSWER_WITHIN_S = 5.0
ATTEMPTS = 3
NETLINK_ROUTE, NETLINK_KOBJECT_UEVENT = 0, 15
UDEV_GROUP, KERNEL_GROUP = 2, 1
EVENT_BUFFER_BYTES = 16 * 1024 * 1024
SO_RCVBUFFORCE = 33
SEQUENCES = itertools.count(1)


def dump(kind: int) -> list[bytes]:
    """Return the payloads of all objects of a kind; call it in a worker thread.

    The kernel takes its network lock for this, which another process can hold for seconds.

    Raises:
        NetlinkError: the kernel refused, did not answer, or cannot be understood.

    """
    listed: list[Message] = []
    for _ in range(ATTEMPTS):
        listed = dump_once(kind)
        if not any(message.interrupted for message in listed):
            break
    return [message.payload for message in listed]


def dump_once(kind: int) -> list[Message]:
    """Ask once, over a socket of its own."""
    sequence = next(SEQUENCES)
    listed: list[Message] = []
    try:
        with socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE
        ) as door:
            door.settimeout(ANSWER_WITHIN_S)
            door.bind((0, 0))
            door.send(dump_request(kind, sequence))
            while True:
                for message in messages(door.recv(RECEIVE_BYTES), sequence):
                    if message is None:
                        return listed
                    listed.append(message)
    except OSError as error:
        raise NetlinkError(f"netlink does not answer: {error}") from error


def uevent_socket() -> socket.socket:
    """Return a socket that hears of devices: udev's events, or the kernel's where udev is not.

    Non-blocking, with a large buffer: a storm of events must not be lost. Group 2 is what udev
    sends once it has finished an event, group 1 the kernel's own (libudev's ``udev_monitor``).

    Raises:
        NetlinkError: this process may not listen.

    """
    door = socket.socket(
        socket.AF_NETLINK,
        socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
        NETLINK_KOBJECT_UEVENT,
    )
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, EVENT_BUFFER_BYTES)
        door.bind((0, KERNEL_GROUP | UDEV_GROUP))
    except OSError as error:
        door.close()
        raise NetlinkError(f"cannot listen to device events: {error}") from error
    return door
