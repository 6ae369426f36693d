"""What the agent says to the service manager that started it (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emf_agent.service_manager import notify


@contextmanager
def listening(address: str) -> Generator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address)
        ear.settimeout(30)
        yield ear


def test_a_state_arrives_at_the_socket(tmp_path: Path) -> None:
    with listening(str(tmp_path / "notify")) as ear:
        assert notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert ear.recv(100) == b"READY=1"


def test_an_abstract_address_begins_with_an_at(tmp_path: Path) -> None:
    name = f"emf-test-{os.getpid()}"
    with listening(f"\0{name}") as ear:
        assert notify("WATCHDOG=1", {"NOTIFY_SOCKET": f"@{name}"})
        assert ear.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="not started by systemd"),
        pytest.param({"NOTIFY_SOCKET": ""}, id="empty"),
        pytest.param({"NOTIFY_SOCKET": "vsock:2:1234"}, id="a kind we do not speak"),
        pytest.param({"NOTIFY_SOCKET": "relative"}, id="relative"),
        pytest.param({"NOTIFY_SOCKET": "/no/such/socket"}, id="gone"),
        pytest.param({"NOTIFY_SOCKET": f"@emf-nobody-{os.getpid()}"}, id="abstract and gone"),
        pytest.param({"NOTIFY_SOCKET": "/" + "x" * 200}, id="too long for a socket"),
    ],
)
def test_where_nobody_listens_nothing_happens(environment: dict[str, str]) -> None:
    assert not notify("READY=1", environment)


def test_a_file_that_is_no_socket_is_no_listener(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "file")})


def test_the_processs_own_environment_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with listening(str(tmp_path / "notify")) as ear:
        assert notify("STOPPING=1")
        assert ear.recv(100) == b"STOPPING=1"
