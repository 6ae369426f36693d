"""Actions on units, with a real systemd."""

from __future__ import annotations

import pytest

from tests.host.sandbox.machine import Inside
from tests.sandbox import Machine

pytestmark = pytest.mark.sandbox

UNITS = {
    "good": "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
    "slow": "[Service]\nExecStartPre=/bin/sleep 0.5\nExecStart=/bin/sleep infinity\n",
    "bad": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo going wrong; exit 7'\n",
    "dies": "[Service]\nType=notify\nExecStart=/bin/false\n",
    "needs-bad": "[Unit]\nRequires=bad.service\nAfter=bad.service\n"
    "[Service]\nExecStart=/bin/sleep infinity\n",
    "hangs": "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep infinity\n"
    "TimeoutStopSec=infinity\n",
    "once": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "unmet": "[Unit]\nConditionPathExists=/nowhere\n[Service]\nExecStart=/bin/sleep infinity\n",
}


@pytest.fixture(scope="module")
def units(machine: Machine) -> Machine:
    for name, text in UNITS.items():
        machine.write(f"/etc/systemd/system/{name}.service", text)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "mask", "--runtime", "systemd-journal-upload.service", check=False)
    return machine


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_unit_is_started_restarted_and_stopped(
    units: Machine, inside: Inside, inside_on_trio: Inside, backend: str
) -> None:
    agent = inside if backend == "asyncio" else inside_on_trio
    assert agent.ok("get_unit_run_state", "good.service") == "Stopped"
    agent.ok("start_unit", "good.service")
    first = units.run("systemctl", "show", "-P", "MainPID", "good.service")
    assert agent.ok("get_unit_run_state", "good.service") == "Started"
    agent.ok("start_unit", "good.service")
    assert units.run("systemctl", "show", "-P", "MainPID", "good.service") == first
    agent.ok("restart_unit", "good.service")
    assert units.run("systemctl", "show", "-P", "MainPID", "good.service") != first
    agent.ok("stop_unit", "good.service")
    assert units.run("systemctl", "is-active", "good.service", check=False) == "inactive\n"


def test_a_start_is_over_when_the_unit_is_up(units: Machine, inside: Inside) -> None:
    inside.ok("start_unit", "slow.service")
    assert units.run("systemctl", "is-active", "slow.service") == "active\n"
    inside.ok("stop_unit", "slow.service")


def test_a_unit_is_enabled_and_disabled(units: Machine, inside: Inside) -> None:
    assert inside.ok("enable_unit", "good.service", dry_run=True).startswith("would enable")
    assert inside.ok("get_unit_run_state", "good.service") == "Stopped"
    inside.ok("enable_unit", "good.service")
    inside.ok("enable_unit", "good.service")
    assert inside.ok("get_unit_run_state", "good.service") == "Enabled"
    assert units.run("systemctl", "is-enabled", "good.service") == "enabled\n"
    inside.ok("disable_unit", "good.service")
    assert inside.ok("get_unit_run_state", "good.service") == "Stopped"


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("bad.service", "bad.service: start failed (exit-code, exit status 7), now Failed"),
        ("dies.service", "dies.service: start failed (exit-code, exit status 1), now Failed"),
        ("needs-bad.service", "a unit that it needs failed"),
        ("unmet.service", "a condition of the unit is not met"),
        ("nope.service", "nope.service: not found"),
        ("systemd-udevd.service", "is masked"),
    ],
)
def test_a_unit_that_cannot_start_is_an_error_at_once(
    units: Machine, inside: Inside, unit: str, text: str
) -> None:
    assert text in inside.err("start_unit", unit)


def test_a_unit_that_does_its_work_and_ends_is_no_error(units: Machine, inside: Inside) -> None:
    inside.ok("start_unit", "once.service")


def test_a_unit_that_hangs_in_stop_is_told_when_time_is_up(units: Machine, inside: Inside) -> None:
    inside.ok("start_unit", "hangs.service")
    text = inside.err("stop_unit", "hangs.service", timeout_s=1.5)
    assert "not inactive after" in text
    assert "now Activating" in text
    units.run("systemctl", "kill", "-s", "KILL", "hangs.service")


@pytest.mark.parametrize("unit", ["dbus.service", "systemd-journald.service"])
def test_a_unit_without_an_install_section_cannot_be_enabled(
    units: Machine, inside: Inside, unit: str
) -> None:
    assert "static" in inside.err("enable_unit", unit)
    assert inside.ok("get_unit_run_state", unit) == "Started"


def test_units_are_listed_and_their_logs_shown(units: Machine, inside: Inside) -> None:
    inside.call("start_unit", "bad.service")
    failed = inside.ok("list_units", {"patterns": ["bad.*"], "states": ["failed"]})
    assert [one["unit"] for one in failed] == ["bad.service"]
    units.run("journalctl", "--sync")
    log = inside.ok("unit_log", ["bad.service", 50])
    assert "going wrong" in [one["message"] for one in log]
    assert inside.ok("unit_log", ["never-ran.service"]) == []
