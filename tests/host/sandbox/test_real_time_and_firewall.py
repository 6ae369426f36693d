"""The time service and the firewall, with real chronyd and firewalld. No clock is ever set."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.host.sandbox.machine import Inside
from tests.sandbox import Machine

pytestmark = pytest.mark.sandbox

CHRONY = "/etc/chrony/chrony.conf"


@pytest.fixture
def chrony(machine: Machine, inside: Inside) -> Generator[Machine, None, None]:
    before = machine.run("cat", CHRONY)
    inside.ok("start_unit", "chrony.service")
    yield machine
    inside.ok("stop_unit", "chrony.service")
    machine.write(CHRONY, before)


def answering_clock(inside: Inside) -> Any:
    """Return the clock once chronyd answers, which it does a moment after its start."""
    for _ in range(600):
        (clock,) = inside.daemon("clock")
        if clock["tracking"] is not None:
            return clock
    raise AssertionError("chronyd does not answer")


def test_chrony_is_pointed_at_a_server_and_back(chrony: Machine, inside: Inside) -> None:
    before = chrony.run("cat", CHRONY)
    assert inside.ok("is_ntp_configured") is False
    shown = inside.ok("configure_ntp", "127.0.0.1", dry_run=True)
    assert "+server 127.0.0.1 iburst" in shown
    assert chrony.run("cat", CHRONY) == before

    inside.ok("configure_ntp", "127.0.0.1")
    inside.ok("restart_unit", "chrony.service")
    assert inside.ok("is_ntp_configured") is True
    clock = answering_clock(inside)
    assert [one["name"] for one in clock["sources"]] == ["127.0.0.1"]

    inside.ok("configure_ntp", None)
    assert chrony.run("cat", CHRONY) == before


def test_a_node_that_keeps_its_own_time_is_told_in_numbers(chrony: Machine, inside: Inside) -> None:
    inside.ok("configure_ntp", "localhost")
    inside.ok("restart_unit", "chrony.service")
    clock = answering_clock(inside)

    assert clock["services"] == ["chrony"]
    assert clock["tracking"]["stratum"] == 10
    assert clock["sources"] == []
    assert clock["synchronized"] in (True, False)


def test_the_time_state_follows_the_service(machine: Machine, inside: Inside) -> None:
    assert inside.daemon("ntp") == ["None"]
    inside.ok("start_unit", "chrony.service")
    (state,) = inside.daemon("ntp")
    assert state == "Synced" or "Unsynced" in state
    inside.ok("stop_unit", "chrony.service")


@pytest.fixture
def firewalld(machine: Machine, inside: Inside) -> Generator[Machine, None, None]:
    inside.ok("start_unit", "firewalld.service")
    yield machine
    inside.ok("stop_unit", "firewalld.service")


def ports(machine: Machine, *more: str) -> list[str]:
    return machine.run("firewall-cmd", *more, "--list-ports").split()


def test_a_port_is_opened_and_closed_now_and_for_good(firewalld: Machine, inside: Inside) -> None:
    assert inside.ok("add_firewall_port", [40011, "udp"], dry_run=True).startswith("would open")
    assert "40011/udp" not in ports(firewalld)
    for _ in range(2):
        inside.ok("add_firewall_port", [40011, "udp"])
    assert "40011/udp" in ports(firewalld)
    assert "40011/udp" in ports(firewalld, "--permanent")
    firewalld.run("firewall-cmd", "--reload")
    assert "40011/udp" in ports(firewalld), "a reload does not lose it"
    for _ in range(2):
        inside.ok("remove_firewall_port", [40011, "udp"])
    assert "40011/udp" not in ports(firewalld)
    assert "40011/udp" not in ports(firewalld, "--permanent")


def test_a_firewall_that_does_not_run_is_not_started(machine: Machine, inside: Inside) -> None:
    inside.ok("add_firewall_port", [40011, "udp"])
    assert inside.ok("get_unit_run_state", "firewalld.service") == "Stopped"
