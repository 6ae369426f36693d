"""Netlink messages as values: taking them apart, and the requests we send. No socket here.

Layouts: netlink(7), rtnetlink(7), and the kernel's ``include/uapi/linux/{netlink,if_link}.h``.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from emf_agent.errors import EmfError

__all__ = [
    "RTM_GETADDR",
    "RTM_GETLINK",
    "RTM_NEWADDR",
    "RTM_NEWLINK",
    "Message",
    "NetlinkError",
    "attributes",
    "dump_request",
    "messages",
]

RTM_NEWLINK, RTM_GETLINK = 16, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x1, 0x300, 0x10
NESTED_BITS = 0x3FFF
HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
GENERIC_SIZE = 16
"""Size of ``struct ifinfomsg``, which the kernel also accepts in front of other dumps."""


class NetlinkError(EmfError):
    """The kernel refused a request, or its answer cannot be read."""


@dataclass(frozen=True)
class Message:
    """One message of an answer, without its header."""

    kind: int
    interrupted: bool
    """What was listed changed meanwhile: the list may have holes; ask again."""
    payload: bytes


def dump_request(kind: int, sequence: int) -> bytes:
    """Return a request for all objects of a kind (``RTM_GETLINK``, ``RTM_GETADDR``)."""
    size = HEADER.size + GENERIC_SIZE
    header = HEADER.pack(size, kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0)
    return header + bytes(GENERIC_SIZE)


def messages(datagram: bytes, sequence: int) -> Iterator[Message | None]:
    """Yield the messages of a datagram that answer ``sequence``, and None at the list's end.

    Raises:
        NetlinkError: the kernel answered with an error, or the datagram is cut short.

    """
    position = 0
    while position + HEADER.size <= len(datagram):
        length, kind, flags, answers, _ = HEADER.unpack_from(datagram, position)
        if length < HEADER.size or position + length > len(datagram):
            raise NetlinkError(f"netlink message of {length} bytes at {position} is cut short")
        payload = datagram[position + HEADER.size : position + length]
        position += aligned(length)
        if answers != sequence:
            continue
        if kind == NLMSG_DONE:
            yield None
            return
        if kind == NLMSG_ERROR:
            code = int.from_bytes(payload[:4], sys.byteorder, signed=True)
            raise NetlinkError(f"the kernel refused a netlink request: errno {-code}")
        yield Message(kind, bool(flags & NLM_F_DUMP_INTR), payload)


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """Return the attributes of a message or of a nest; of two of a kind the later one.

    What a newer kernel appends is simply there under its own number; a cut-off tail is left out.
    """
    found: dict[int, bytes] = {}
    position = start
    end = len(data)
    while position + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(data, position)
        if length < ATTRIBUTE.size or position + length > end:
            break
        found[kind & NESTED_BITS] = data[position + 4 : position + length]
        position += aligned(length)
    return found


def aligned(length: int) -> int:
    """Return the length with the padding that netlink wants."""
    return (length + 3) & ~3
