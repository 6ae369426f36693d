"""Daemon ``journal``, with a real journald."""

from __future__ import annotations

from typing import Any

import pytest

from tests.host.sandbox.machine import Inside
from tests.sandbox import Machine

pytestmark = pytest.mark.sandbox

NATIVE = """
import os, socket, struct, sys
door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
door.connect("/run/systemd/journal/socket")
def send(message):
    head = b"SYSLOG_IDENTIFIER=emf-test\\nPRIORITY=4\\nMESSAGE\\n"
    data = head + struct.pack("<Q", len(message)) + message + b"\\n"
    memory = os.memfd_create("entry", os.MFD_ALLOW_SEALING)
    os.write(memory, data)
    import fcntl
    fcntl.fcntl(memory, 1033, 15)  # F_ADD_SEALS, all of them
    socket.send_fds(door, [b""], [memory])
send(b"before \\xff\\x00 after")
send(b"m" * 1024 * 1024)
send(b"last")
"""


def ours(values: list[Any], prefix: str) -> list[str]:
    return [
        one["message"] for batch in values for one in batch if one["message"].startswith(prefix)
    ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_entry_comes_once_and_in_order_over_sessions(
    machine: Machine, inside: Inside, inside_on_trio: Inside, backend: str
) -> None:
    agent = inside if backend == "asyncio" else inside_on_trio
    words = [f"{backend}-{number}" for number in range(30)]
    say = 'for n in $(seq "$2" "$3"); do logger -t emf-test "$1-$n"; done; journalctl --sync'
    seen: list[str] = []
    for first, last in ((0, 9), (10, 19), (20, 29)):
        during = [["sh", "-c", say, "sh", backend, str(first), str(last)]]
        while len(seen) <= last:
            values = agent.daemon("journal", 1, during=during, session=backend)
            seen += ours(values, f"{backend}-")
            during = []

    assert seen == words


def test_binary_and_huge_messages_come_cut_and_shown(machine: Machine, inside: Inside) -> None:
    machine.write("/tmp/native.py", NATIVE)
    during = [["python3", "/tmp/native.py"], ["journalctl", "--sync"]]
    found: list[Any] = []
    while not found or found[-1]["message"] != "last":
        values = inside.daemon("journal", 1, during=during, session="native")
        found += [one for batch in values for one in batch if one["source"] == "emf-test"]
        during = []
    binary, huge, _ = found[-3:]

    assert binary["message"] == "before \ufffd\\x00 after"
    assert binary["severity"] == "Warning"
    assert huge["message"].startswith("mmmm")
    assert huge["message"].endswith(f"[... {1024 * 1024 - 16 * 1024} bytes left out]")
