"""Who this node is: from /proc and the resolver, with a clear word where they do not tell."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from emf_agent.errors import ConfigurationError
from emf_agent.host_facts import node_facts, read_host_facts, resolve_fqdn

STAT = "cpu  1 2 3\nintr 4 5\nbtime 1700000000\nprocesses 6\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "stat").write_text(STAT)
    (tmp_path / "sys/kernel/random/boot_id").write_text("5f2c-1\n")
    return tmp_path


def test_the_facts_are_in_the_ancestors_form(proc: Path) -> None:
    facts = read_host_facts("n1.example", proc=proc)
    assert facts.fqdn == "n1.example"
    assert facts.boot_time.startswith("2023-11-14T22:13:20")
    assert facts.start_time > facts.boot_time
    assert facts.boot_id == "5f2c-1"


def test_this_machine_tells_its_own() -> None:
    facts = read_host_facts("n1")
    assert facts.boot_time < facts.start_time


@pytest.mark.parametrize(
    ("stat", "why"),
    [
        pytest.param(None, "cannot read the boot time: .*No such file", id="no file"),
        pytest.param("", "has no btime line", id="empty"),
        pytest.param("cpu 1\nbtimes 3\n", "has no btime line", id="another line"),
        pytest.param("btime soon\n", "cannot read the boot time: .*'soon'", id="no number"),
        pytest.param("btime\n", "cannot read the boot time", id="nothing"),
        pytest.param("btime 99999999999999999999\n", "cannot read the boot time", id="too far"),
    ],
)
def test_a_boot_time_that_is_not_told_is_an_error_that_names_the_file(
    proc: Path, stat: str | None, why: str
) -> None:
    if stat is None:
        (proc / "stat").unlink()
    else:
        (proc / "stat").write_text(stat)
    with pytest.raises(ConfigurationError, match=why) as raised:
        read_host_facts("n1", proc=proc)
    assert str(proc / "stat") in str(raised.value)


def test_a_kernel_without_a_boot_id_is_no_error(proc: Path) -> None:
    (proc / "sys/kernel/random/boot_id").unlink()
    assert read_host_facts("n1", proc=proc).boot_id == ""


class Resolver:
    """The system's resolver, as far as a test lets it answer."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.address: str | None = "192.0.2.7"
        self.name: str | None = "oss1.storage.example"
        patch.setattr(socket, "gethostname", lambda: "oss1")
        patch.setattr(socket, "getaddrinfo", self.getaddrinfo)
        patch.setattr(socket, "getnameinfo", self.getnameinfo)

    def getaddrinfo(self, host: str, port: object) -> list[Any]:
        assert host == "oss1"
        if self.address is None:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.address, 0))]

    def getnameinfo(self, address: tuple[str, int], flags: int) -> tuple[str, str]:
        assert address == (self.address, 0)
        assert flags & socket.NI_NAMEREQD
        if self.name is None:
            raise socket.gaierror(-2, "Name or service not known")
        return self.name, "0"


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    return Resolver(monkeypatch)


def test_the_full_name_is_found_through_the_address(resolver: Resolver) -> None:
    assert resolve_fqdn() == "oss1.storage.example"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        pytest.param(None, None, id="no address"),
        pytest.param("192.0.2.7", None, id="no name"),
        pytest.param("127.0.0.1", "localhost", id="loopback"),
        pytest.param("127.0.0.1", "localhost.localdomain", id="loopback, long"),
    ],
)
def test_what_cannot_be_resolved_is_the_host_name(
    resolver: Resolver, address: str | None, name: str | None
) -> None:
    resolver.address, resolver.name = address, name
    assert resolve_fqdn() == "oss1"


def test_the_configured_name_wins_and_nobody_is_asked(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("the resolver was asked")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    assert read_host_facts("given", proc=proc).fqdn == "given"


def test_plugins_see_kernel_and_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    release = {"ID": "rocky", "ID_LIKE": "rhel centos fedora"}
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: release)
    facts = node_facts("n1")
    assert (facts.fqdn, facts.os_id) == ("n1", "rocky")
    assert facts.os_like == ("rhel", "centos", "fedora")
    assert facts.kernel
    assert facts.machine


def test_a_system_that_does_not_say_what_it_is_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> dict[str, str]:
        raise OSError(2, "Unable to read files /etc/os-release, /usr/lib/os-release")

    monkeypatch.setattr("platform.freedesktop_os_release", missing)
    facts = node_facts("n1")
    assert (facts.os_id, facts.os_like) == ("", ())
