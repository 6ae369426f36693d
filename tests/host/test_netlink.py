"""Netlink messages: what the kernel may send, and what nobody should."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_plugins_host.netlink_messages import (
    RTM_GETLINK,
    Message,
    NetlinkError,
    attributes,
    dump_request,
    messages,
)


def netlink(kind: int, payload: bytes = b"", *, flags: int = 0, sequence: int = 7) -> bytes:
    whole = struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, 0) + payload
    return whole + bytes(-len(whole) % 4)


def test_a_request_asks_for_all_of_a_kind() -> None:
    request = dump_request(RTM_GETLINK, 5)

    assert struct.unpack_from("=IHHII", request) == (32, RTM_GETLINK, 0x301, 5, 0)
    assert len(request) == 32


def test_the_messages_of_a_datagram_come_in_order_and_end_with_done() -> None:
    datagram = netlink(16, b"abcde") + netlink(16, b"fghi", flags=0x10) + netlink(3)

    assert list(messages(datagram, 7)) == [
        Message(16, False, b"abcde"),
        Message(16, True, b"fghi"),
        None,
    ]


def test_an_answer_to_somebody_else_is_passed_over() -> None:
    assert list(messages(netlink(16, b"abcd", sequence=8), 7)) == []


def test_a_refusal_of_the_kernel_names_its_number() -> None:
    with pytest.raises(NetlinkError, match="errno 1"):
        list(messages(netlink(2, struct.pack("=i", -1)), 7))


def test_a_message_that_is_cut_short_is_an_error() -> None:
    with pytest.raises(NetlinkError, match="cut short"):
        list(messages(netlink(16, b"abcdefgh")[:-4], 7))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(datagram: bytes) -> None:
    try:
        found = list(messages(datagram, 0))
    except NetlinkError:
        return
    assert sum(len(one.payload) for one in found if one is not None) <= len(datagram)


@given(st.binary(max_size=200))
def test_attributes_of_any_bytes_lie_within_them(data: bytes) -> None:
    for value in attributes(data).values():
        assert value in data
