"""Actions on units, against a bus that speaks D-Bus and a systemd that does as told."""

from __future__ import annotations

import math
import threading
from itertools import product
from typing import Any

import anyio
import pytest

from emf_agent.errors import ActionError
from emf_agent.plugin import Action, ActionContext, ArgumentsError
from emf_plugins_host.dbus import DBusRefusedError, DBusUnavailableError, system_bus
from emf_plugins_host.units.actions import (
    disable_unit,
    enable_unit,
    get_unit_run_state,
    list_units,
    restart_unit,
    start_unit,
    stop_unit,
)
from emf_plugins_host.units.log import unit_log
from emf_plugins_host.units.run_state import run_state
from emf_plugins_host.units.systemd import JobFailedError, UnitNotFoundError
from tests.host.bus import FakeBus, Reply
from tests.host.programs import Programs
from tests.host.samples import call
from tests.host.systemd import MANAGER, FakeSystemd, Unit

pytestmark = pytest.mark.anyio

DRY = ActionContext(dry_run=True)
ANCESTOR = {
    ("disabled", "inactive"): "Stopped",
    ("disabled", "active"): "Started",
    ("disabled", "activating"): "Activating",
    ("disabled", "failed"): "Failed",
    ("enabled", "inactive"): "Enabled",
    ("enabled", "active"): "Setup",
    ("enabled", "activating"): "Activating",
    ("enabled", "failed"): "Failed",
}


@pytest.mark.parametrize(("states", "word"), ANCESTOR.items(), ids=lambda one: "-".join(one))
def test_the_ancestors_pairs_have_its_words(states: tuple[str, str], word: str) -> None:
    assert run_state(*states) == word


@pytest.mark.parametrize(
    ("file_state", "active_state", "word"),
    [
        ("static", "active", "Started"),
        ("masked", "inactive", "Stopped"),
        ("", "active", "Started"),
        ("enabled-runtime", "inactive", "Enabled"),
        ("linked", "failed", "Failed"),
        ("indirect", "inactive", "Stopped"),
        ("generated", "active", "Started"),
        ("enabled", "deactivating", "Activating"),
        ("enabled", "reloading", "Setup"),
        ("disabled", "maintenance", "Activating"),
    ],
)
def test_other_pairs_are_words_and_no_errors(file_state: str, active_state: str, word: str) -> None:
    assert run_state(file_state, active_state) == word


def test_every_pair_has_a_word() -> None:
    files = "enabled enabled-runtime linked alias masked static indirect disabled generated bad"
    actives = "active reloading inactive failed activating deactivating maintenance refreshing new"
    for pair in product(files.split(), actives.split()):
        assert run_state(*pair) in set(ANCESTOR.values())


@pytest.mark.parametrize("action", [start_unit, restart_unit], ids=lambda one: one.name)
async def test_starting_waits_for_the_job_and_for_no_other(
    bus: FakeBus, action: Action[..., Any]
) -> None:
    systemd = FakeSystemd(bus, Unit("lnet.service"))

    assert await call(action, "lnet.service") is None
    assert systemd.units["lnet.service"].active_state == "active"
    ((rule,),) = bus.called("AddMatch")
    assert "member='JobRemoved'" in rule
    assert "arg2='lnet.service'" in rule


async def test_stopping_waits_for_the_job(bus: FakeBus) -> None:
    systemd = FakeSystemd(bus, Unit("lnet.service", active_state="active"))

    assert await call(stop_unit, "lnet.service") is None
    assert systemd.units["lnet.service"].active_state == "inactive"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("failed", "bad.service: start failed (exit-code, exit status 203), now Failed"),
        ("timeout", "ran out of its time"),
        ("dependency", "a unit that it needs failed"),
        ("canceled", "cancelled by another order"),
        ("never-heard-of", "never-heard-of"),
    ],
)
async def test_a_job_that_fails_is_an_error_at_once(bus: FakeBus, result: str, text: str) -> None:
    FakeSystemd(
        bus,
        Unit(
            "bad.service",
            job_result=result,
            properties={"Result": "exit-code", "ExecMainStatus": "203"},
        ),
    )

    with pytest.raises(JobFailedError) as caught:
        await call(start_unit, "bad.service")
    assert text in str(caught.value)


async def test_a_unit_that_dies_at_once_is_an_error(bus: FakeBus) -> None:
    FakeSystemd(bus, Unit("brief.service", after_job="failed"))

    with pytest.raises(JobFailedError, match="now Failed"):
        await call(start_unit, "brief.service")


async def test_a_unit_whose_condition_is_not_met_is_an_error(bus: FakeBus) -> None:
    FakeSystemd(bus, Unit("x.service", after_job="inactive", condition=False))

    with pytest.raises(JobFailedError, match="a condition of the unit is not met"):
        await call(start_unit, "x.service")


async def test_a_oneshot_that_did_its_work_is_no_error(bus: FakeBus) -> None:
    FakeSystemd(bus, Unit("once.service", after_job="inactive"))

    assert await call(start_unit, "once.service") is None


async def test_a_masked_unit_is_refused_by_systemd(bus: FakeBus) -> None:
    FakeSystemd(bus, Unit("m.service", file_state="masked", load_state="masked"))

    with pytest.raises(DBusRefusedError, match=r"Unit m\.service is masked"):
        await call(start_unit, "m.service")


EVERY: list[Action[..., Any]] = [
    start_unit,
    stop_unit,
    restart_unit,
    enable_unit,
    disable_unit,
    get_unit_run_state,
]


@pytest.mark.parametrize("action", EVERY, ids=lambda one: one.name)
async def test_a_unit_that_does_not_exist_is_not_found(
    bus: FakeBus, action: Action[..., Any]
) -> None:
    FakeSystemd(bus)

    with pytest.raises(UnitNotFoundError, match=r"nope\.service: not found"):
        await call(action, "nope.service")


@pytest.mark.parametrize("action", EVERY, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "name", ["lnet", "", "a b.service", "../x.service", "a.service\n", "a;b.service"], ids=repr
)
def test_a_name_that_no_unit_can_have_is_refused(action: Action[..., Any], name: str) -> None:
    with pytest.raises(ArgumentsError, match="unit"):
        action.bind(name)


async def test_a_unit_that_runs_without_its_file_exists(bus: FakeBus) -> None:
    unit = Unit("gone.service", file_state="", load_state="not-found", active_state="active")
    FakeSystemd(bus, unit)

    assert await call(get_unit_run_state, "gone.service") == "Started"


async def test_a_unit_that_hangs_in_stop_is_named_with_its_state_when_time_is_up(
    bus: FakeBus,
) -> None:
    FakeSystemd(
        bus,
        Unit("slow.service", "enabled", "active", job_result=None, after_job="deactivating"),
    )
    context = ActionContext(deadline=anyio.current_time() + 1.2)

    with pytest.raises(ActionError, match=r"slow.service: not inactive after 0 s, now Activating"):
        await call(stop_unit, "slow.service", context)
    assert bus.called("CancelJob") == [(101,)]


async def test_cancelling_cancels_the_job(bus: FakeBus) -> None:
    FakeSystemd(bus, Unit("slow.service", job_result=None, after_job="activating"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, start_unit, "slow.service")
        with anyio.fail_after(30):
            while not bus.called("StartUnit"):
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

    assert bus.called("CancelJob") == [(101,)]


async def test_a_job_ordered_before_the_cancellation_is_cancelled_though_it_is_named_after_it(
    bus: FakeBus,
) -> None:
    systemd = FakeSystemd(bus, Unit("slow.service", job_result=None, after_job="activating"))
    ordered, cancelled = threading.Event(), threading.Event()

    def named_late(name: str, _mode: str) -> Reply:
        ordered.set()
        cancelled.wait(30)
        return systemd.order(name, "active")

    bus.on(MANAGER, "StartUnit", named_late)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, start_unit, "slow.service")
        await anyio.to_thread.run_sync(ordered.wait, 30)
        tasks.cancel_scope.cancel()
        cancelled.set()

    assert bus.called("CancelJob") == [(101,)]


async def test_enabling_and_disabling_change_the_file_alone(bus: FakeBus) -> None:
    systemd = FakeSystemd(bus, Unit("ntpd.service"))

    await call(enable_unit, "ntpd.service")
    assert await call(get_unit_run_state, "ntpd.service") == "Enabled"
    await call(disable_unit, "ntpd.service")
    assert await call(get_unit_run_state, "ntpd.service") == "Stopped"
    assert systemd.units["ntpd.service"].active_state == "inactive"
    assert len(bus.called("Reload")) == 2


async def test_a_unit_that_cannot_be_enabled_says_why(bus: FakeBus) -> None:
    FakeSystemd(bus, Unit("dbus.service", file_state="static"))

    with pytest.raises(ActionError, match=r"cannot be enabled, it is static .*\[Install\]"):
        await call(enable_unit, "dbus.service")


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (start_unit, "would start a.service, now Stopped"),
        (stop_unit, "would stop a.service, now Stopped"),
        (restart_unit, "would restart a.service, now Stopped"),
        (enable_unit, "would enable a.service, now disabled"),
        (disable_unit, "would disable a.service, now disabled"),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
async def test_a_dry_run_says_what_it_would_do_and_does_not(
    bus: FakeBus, action: Action[..., Any], text: str
) -> None:
    FakeSystemd(bus, Unit("a.service"))

    assert action.dry_run
    assert await call(action, "a.service", DRY) == text
    assert {name for name, _ in bus.calls} == {"Hello", "LoadUnit", "Get"}


async def test_units_are_listed_by_name(bus: FakeBus) -> None:
    FakeSystemd(bus, Unit("b.service", active_state="failed"), Unit("a.service"))

    found = await call(list_units, {"patterns": ["*"], "states": ["failed", "inactive"]})
    assert [(one["unit"], one["active"]) for one in found] == [
        ("a.service", "inactive"),
        ("b.service", "failed"),
    ]
    assert bus.called("ListUnitsByPatterns") == [(["failed", "inactive"], ["*"])]
    assert await call(list_units, None) == found


async def test_the_log_of_a_unit_is_read_from_the_journal(programs: Programs) -> None:
    programs.add(
        "journalctl",
        stdout="__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1608624197402915\nPRIORITY=6\n"
        "SYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=systemd\nMESSAGE=Started it.\n\n",
    )

    assert await call(unit_log, ["a.service", 5]) == [
        {
            "datetime": {"secs": 1608624197, "nanos": 402915000},
            "severity": "Info",
            "facility": 3,
            "source": "systemd",
            "message": "Started it.",
        }
    ]
    assert programs.calls("journalctl")[0][-2:] == ["--lines=5", "--unit=a.service"]


@pytest.mark.parametrize("lines", [0, 1001, "5"], ids=repr)
def test_the_number_of_lines_is_bounded(lines: Any) -> None:
    with pytest.raises(ArgumentsError, match="lines"):
        unit_log.bind({"unit": "a.service", "lines": lines})


async def test_a_node_without_a_bus_says_so(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")

    with pytest.raises(DBusUnavailableError, match="are dbus and systemd running"):
        await call(get_unit_run_state, "a.service")


async def test_a_bus_that_hangs_up_is_an_error_and_no_hang(bus: FakeBus) -> None:
    async with system_bus() as connection:
        bus.close()
        with pytest.raises(DBusUnavailableError):
            await connection.call("a.b", "/", "a.b", "C")


async def test_a_call_that_nobody_knows_is_an_error(bus: FakeBus) -> None:
    async with system_bus() as connection:
        with pytest.raises(DBusRefusedError, match="no method Nope"):
            await connection.call("a.b", "/", "a.b", "Nope")


def test_restarting_is_the_one_that_is_not_idempotent() -> None:
    assert [one.name for one in EVERY if not one.idempotent] == ["restart_unit"]
    assert start_unit.lock_names({"unit": "a.service"}) == ("unit:a.service",)
    assert start_unit.timeout_s is not None
    assert not math.isinf(start_unit.timeout_s)
