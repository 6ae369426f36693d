"""Long actions: they outlive the agent, and their outcome is the true one."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from emf_agent.action_call import Verdict
from emf_agent.actions import ActionLimits, ActionRunner
from emf_agent.command import StuckProcess
from emf_agent.detached import (
    ActionFolder,
    DetachedActions,
    Order,
    UnitState,
    choose_units,
    own_program,
    perform,
)
from emf_agent.detached.files import PROGRESS_BYTES, OrderError
from emf_agent.detached.units import members, parse_state
from emf_agent.errors import ActionError
from emf_agent.plugin import Action, ActionContext, Progress, Secret, action
from emf_agent.registry import RegisteredAction, Registry
from emf_agent.testing import open_unthreaded_journal
from emf_agent.wire import (
    ActionAccepted,
    ActionProgress,
    ActionReport,
    ActionResult,
    ActionStart,
    Err,
    Ok,
)
from tests.agent.units import Machine

pytestmark = pytest.mark.anyio

EFFECTS: list[str] = []
UNIT = "emf-action-i1.service"


@action(detached=True, dry_run=True, timeout_s=600, locks=("disk:{disk}",))
async def rebuild(disk: str, ctx: ActionContext) -> str:
    """Take a minute."""
    if ctx.dry_run:
        return f"would rebuild {disk}"
    EFFECTS.append(f"begin {disk}")
    ctx.progress(0.1, "begun")
    await anyio.sleep(60)
    ctx.progress(0.9, "nearly")
    EFFECTS.append(f"end {disk}")
    return f"rebuilt {disk}"


@action(locks=("disk:{disk}",))
async def mount(disk: str) -> str:
    """Need the same disk."""
    EFFECTS.append(f"mount {disk}")
    return disk


@action(detached=True)
async def fails() -> None:
    """Fail with a text."""
    raise ActionError("exit code: 5, stdout: , stderr: no such disk")


@action(detached=True)
async def unlock(password: Secret) -> bool:
    """Take a secret."""
    return password.reveal() == "canary"


@action(detached=True)
async def talks(ctx: ActionContext) -> int:
    """Say more than anybody reads."""
    for _ in range(20):
        ctx.log("x" * 100_000)
    return 1


REGISTRY = Registry(
    actions={
        one.name: RegisteredAction("plugin", one)
        for one in list[Action[..., Any]]([rebuild, mount, fails, unlock, talks])
    }
)


class Forgetful(ActionRunner):
    """Dies before it writes an outcome down: what a killed process leaves behind."""

    async def _record(self, action_id: str, verdict: Verdict, began: float | None) -> bool:
        return False


class Node:
    """A node whose agents come and go, on one disk and over one machine."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self.folder = folder
        self.machine = machine
        self.reports: list[ActionReport] = []
        self.runner: ActionRunner
        self.has_units = True
        self.kind = ActionRunner

    @asynccontextmanager
    async def agent(self) -> AsyncGenerator[ActionRunner]:
        """Run an agent; at the end of the ``with`` it is killed."""
        self.reports = []
        detached = DetachedActions(self.machine, self.folder / "actions", ["emf-agent", "perform"])
        async with (
            open_unthreaded_journal(self.folder / "journal", wall_clock=lambda: 1e6) as journal,
            anyio.create_task_group() as tasks,
        ):
            self.runner = self.kind(
                REGISTRY,
                journal,
                ActionLimits(),
                wall_clock=lambda: 1e6,
                detached=detached if self.has_units else None,
            )
            self.runner.reports.listener = self.reports.append
            await tasks.start(self.runner.run)
            yield self.runner
            tasks.cancel_scope.cancel()

    async def take(self, name: str, args: Any = None, action_id: str = "i1", **more: Any) -> None:
        await self.runner.take(ActionStart(action=name, args=args, id=action_id, **more))

    async def result(self, action_id: str = "i1") -> ActionResult:
        """Return the one outcome of an id, told now or waiting in the journal."""
        waiting = await self.runner.unacknowledged(100)
        (only,) = [one for one in waiting if one.id == action_id]
        return only

    def files(self) -> list[Path]:
        return [path for path in (self.folder / "actions").rglob("*") if path.is_file()]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncGenerator[Node]:
    EFFECTS.clear()
    async with anyio.create_task_group() as tasks:
        yield Node(tmp_path, Machine(REGISTRY, tasks))
        tasks.cancel_scope.cancel()


async def test_a_long_action_runs_in_a_unit_and_is_answered_with_its_result(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(70)

        assert (await node.result()).result == Ok(value="rebuilt sda")
        ((unit, argv, limit_s),) = node.machine.started
        assert unit == UNIT
        assert argv == ("emf-agent", "perform", str(node.folder / "actions/i1"))
        assert 600 < limit_s < 605


async def test_what_is_recorded_is_forgotten_by_systemd_and_the_disk(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(70)

        assert node.machine.forgotten == [UNIT]
        assert node.files() == []


async def test_progress_comes_through(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(30)

        told = [one for one in node.reports if isinstance(one, ActionProgress)]
        assert [(one.fraction, one.message) for one in told] == [(0.1, "begun")]


async def test_a_failure_is_told_as_it_was(node: Node) -> None:
    async with node.agent():
        await node.take("fails")
        await anyio.sleep(5)

        result = await node.result()
        assert result.outcome == "failed"
        assert result.result == Err(text="exit code: 5, stdout: , stderr: no such disk")


async def test_it_survives_the_agent_and_is_followed_by_the_next(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
    async with node.agent() as runner:
        assert runner.running == 1
        await anyio.sleep(60)

        assert (await node.result()).result == Ok(value="rebuilt sda")
        assert EFFECTS == ["begin sda", "end sda"]
        told = [one.message for one in node.reports if isinstance(one, ActionProgress)]
        assert told == ["nearly"], "what was told before is not told again"


async def test_one_that_ended_while_no_agent_ran_has_its_own_outcome(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
    await anyio.sleep(100)
    async with node.agent():
        await anyio.sleep(1)

        assert (await node.result()).result == Ok(value="rebuilt sda")
        assert node.machine.forgotten == [UNIT]


async def test_an_agent_that_ends_leaves_it_alone_and_says_nothing(node: Node) -> None:
    async with node.agent() as runner:
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
        await runner.end("the agent stops")

        assert await runner.unacknowledged(10) == []
        assert node.machine.stopped == []
    async with node.agent():
        await anyio.sleep(60)
        assert (await node.result()).outcome == "ok"


async def test_the_same_id_again_is_confirmed_and_not_run_twice(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
    async with node.agent():
        await node.take("rebuild", "sda")
        assert node.reports[-1] == ActionAccepted(id="i1")
        await anyio.sleep(100)

        assert EFFECTS == ["begin sda", "end sda"]
        assert len(node.machine.started) == 1


async def test_after_a_restart_it_has_its_locks_before_anything_else_begins(node: Node) -> None:
    node.kind = Forgetful
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
        await node.take("mount", "sda", "i2")
        await anyio.sleep(1)
    node.kind = ActionRunner
    async with node.agent():
        await anyio.sleep(60)

        assert EFFECTS == ["begin sda", "end sda", "mount sda"]


async def test_a_new_order_waits_for_the_lock_of_one_that_is_followed(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
    async with node.agent():
        await node.take("mount", "sda", "i2")
        await anyio.sleep(60)

        assert EFFECTS == ["begin sda", "end sda", "mount sda"]


@pytest.mark.parametrize(
    ("state", "outcome", "text"),
    [
        pytest.param(None, "unknown", "gone without a result", id="gone"),
        pytest.param(
            UnitState(runs=False, result="oom-kill", status=9), "unknown", "oom-kill", id="oom"
        ),
        pytest.param(
            UnitState(runs=False, result="signal", status=9), "unknown", "signal", id="killed"
        ),
        pytest.param(
            UnitState(runs=False, result="timeout", status=15), "timed_out", "timed out", id="late"
        ),
    ],
)
@pytest.mark.parametrize("restarted", [False, True], ids=["seen", "while the agent was away"])
async def test_a_unit_that_ends_without_a_result_is_told_for_what_it_is(
    node: Node, state: UnitState | None, outcome: str, text: str, restarted: bool
) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
        if not restarted:
            node.machine.dies(UNIT, state)
            await anyio.sleep(10)
    if restarted:
        node.machine.dies(UNIT, state)
    async with node.agent():
        await anyio.sleep(10)
        result = await node.result()

    assert result.outcome == outcome
    assert isinstance(result.result, Err)
    assert text in result.result.text
    assert node.files() == []


async def test_a_reboot_is_an_outcome_that_cannot_be_known(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
    node.machine.dies(UNIT, None)
    async with node.agent():
        await anyio.sleep(1)
        assert (await node.result()).reason == "unit-lost"


async def test_a_unit_that_ends_before_it_takes_the_order_has_done_nothing(node: Node) -> None:
    node.machine.stillborn = UnitState(runs=False, result="exit-code", status=78)
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)

        result = await node.result()
        assert (result.outcome, result.reason) == ("failed", "not-begun")
        assert "exit-code, status 78" in str(result.result)


async def test_a_start_that_fails_is_told_and_leaves_no_secret(node: Node) -> None:
    node.machine.refuses = "Failed to start transient service unit: Access denied"
    async with node.agent():
        await node.take("unlock", "canary")
        await anyio.sleep(1)

        result = await node.result()
        assert (result.outcome, result.reason) == ("failed", "not-begun")
        assert "Access denied" in str(result.result)
        assert node.files() == []


async def test_a_start_whose_answer_is_lost_is_followed_all_the_same(node: Node) -> None:
    node.machine.says_nothing = "systemd-run timed out"
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(70)
        assert (await node.result()).outcome == "ok"


async def test_a_folder_that_cannot_be_written_is_no_beginning(node: Node) -> None:
    (node.folder / "actions").write_text("in the way")
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(1)
        result = await node.result()
        assert (result.outcome, result.reason) == ("failed", "not-begun")
        assert node.machine.started == []


async def test_a_unit_of_the_same_id_is_never_taken_for_a_new_one(node: Node) -> None:
    """The journal was lost, and systemd remembers."""
    node.machine.units[UNIT] = UnitState(runs=True)
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(1)

        result = await node.result()
        assert (result.outcome, result.reason) == ("unknown", "unit-exists")
        assert node.machine.forgotten == []
        assert UNIT in node.machine.units


async def test_while_the_bus_is_down_the_files_tell(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
        node.machine.bus_is_down = True
        await anyio.sleep(60)

        assert (await node.result()).outcome == "ok"
        assert node.files(), "it could not be released"
    node.machine.bus_is_down = False
    async with node.agent():
        assert node.machine.forgotten == [UNIT]
        assert node.files() == []


async def test_a_cancel_stops_the_unit(node: Node) -> None:
    async with node.agent() as runner:
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
        await runner.cancel("i1")
        await anyio.sleep(5)

        assert (await node.result()).outcome == "cancelled"
        assert node.machine.stopped == [UNIT]
        assert node.files() == []
    await anyio.sleep(100)
    assert EFFECTS == ["begin sda"]


async def test_a_cancel_after_a_restart_stops_the_unit(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
    async with node.agent() as runner:
        await runner.cancel("i1")
        await anyio.sleep(5)
        assert (await node.result()).outcome == "cancelled"


async def test_a_cancel_that_comes_too_late_says_that_it_had_finished(node: Node) -> None:
    def finish(unit: str) -> None:
        ActionFolder(node.folder / "actions/i1").conclude(Verdict("ok", Ok(value="just in time")))

    node.machine.before_stop = finish
    async with node.agent() as runner:
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
        await runner.cancel("i1")
        await anyio.sleep(5)
        assert (await node.result()).result == Ok(value="just in time")


def down(machine: Machine) -> None:
    machine.bus_is_down = True


def stick(machine: Machine) -> None:
    machine.stuck = (StuckProcess(4711, "dd", "D", "nfs_wait"),)


@pytest.mark.parametrize(
    ("trouble", "text"),
    [pytest.param(stick, "4711", id="stuck"), pytest.param(down, "bus", id="no bus")],
)
async def test_what_cannot_be_stopped_is_an_unknown_outcome_with_the_reason(
    node: Node, trouble: Callable[[Machine], None], text: str
) -> None:
    async with node.agent() as runner:
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
        trouble(node.machine)
        await runner.cancel("i1")
        await anyio.sleep(5)

        result = await node.result()
        assert result.outcome == "unknown"
        assert text in str(result.reason)


async def test_its_time_ends_with_its_unit(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda", timeout=30.0)
        await anyio.sleep(35)

        result = await node.result()
        assert (result.outcome, result.result) == ("timed_out", Err(text="timed out after 30 s"))
        assert node.machine.stopped == [UNIT]


async def test_its_time_ends_without_an_agent_too(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda", timeout=30.0)
        await anyio.sleep(10)
    await anyio.sleep(100)
    async with node.agent():
        await anyio.sleep(1)
        assert (await node.result()).outcome == "timed_out"
    assert EFFECTS == ["begin sda"]


async def test_what_runs_is_left_alone_though_its_journal_was_lost(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
    shutil.rmtree(node.folder / "journal")
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
        assert (await node.result()).reason == "unit-exists"
    await anyio.sleep(60)
    assert EFFECTS == ["begin sda", "end sda"]
    async with node.agent():
        assert node.machine.forgotten == [UNIT]
        assert node.files() == []


async def test_what_cannot_be_swept_now_is_swept_by_a_later_agent(node: Node) -> None:
    ActionFolder(node.folder / "actions/old").place(
        Order(id="old", action="unlock", args="canary", timeout_s=1)
    )
    node.machine.bus_is_down = True
    async with node.agent() as runner:
        assert runner.fault is None
        assert node.files()
    node.machine.bus_is_down = False
    async with node.agent():
        assert node.files() == []


async def test_a_dry_run_needs_no_unit(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda", dry_run=True)
        await anyio.sleep(1)
        assert (await node.result()).result == Ok(value="would rebuild sda")
        assert node.machine.started == []


async def test_without_units_it_runs_like_any_other(node: Node) -> None:
    node.has_units = False
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(70)
        assert (await node.result()).result == Ok(value="rebuilt sda")
        await node.take("rebuild", "sdb", "i2")
        await anyio.sleep(10)
    async with node.agent():
        assert (await node.result("i2")).outcome == "unknown"


async def test_a_unit_that_nobody_can_ask_for_any_more_is_lost(node: Node) -> None:
    async with node.agent():
        await node.take("rebuild", "sda")
        await anyio.sleep(10)
    node.has_units = False
    async with node.agent():
        result = await node.result()
        assert (result.outcome, result.reason) == ("unknown", "unit-lost")


async def test_a_secret_arrives_and_is_on_no_disk_afterwards(node: Node) -> None:
    async with node.agent():
        await node.take("unlock", "canary")
        await anyio.sleep(5)
        assert (await node.result()).result == Ok(value=True)
    assert not any(b"canary" in path.read_bytes() for path in node.folder.rglob("*.*"))
    assert "canary" not in str(node.machine.started)


async def test_progress_without_end_does_not_fill_the_disk(tmp_path: Path) -> None:
    folder = ActionFolder(tmp_path / "i1")
    folder.place(Order(id="i1", action="talks", args=None, timeout_s=5))
    verdict = await perform(folder, folder.order(), REGISTRY)

    assert verdict.kind == "ok"
    assert (folder.path / "progress.jsonl").stat().st_size < PROGRESS_BYTES + 200_000
    assert len(folder.news()) == 11


@pytest.mark.parametrize(
    ("name", "args", "kind", "text"),
    [
        ("no_such", None, "refused", "no action named 'no_such'"),
        ("rebuild", 3, "refused", "disk: Input should be a valid string"),
    ],
)
async def test_an_order_that_a_newer_agent_cannot_carry_out_is_refused(
    tmp_path: Path, name: str, args: Any, kind: str, text: str
) -> None:
    folder = ActionFolder(tmp_path / "i1")
    folder.place(Order(id="i1", action=name, args=args, timeout_s=5))
    await perform(folder, folder.order(), REGISTRY)

    verdict = folder.verdict()
    assert verdict is not None
    assert verdict.kind == kind
    assert text in str(verdict.result)


def test_only_the_owner_reads_what_passes_between_agent_and_unit(tmp_path: Path) -> None:
    folder = ActionFolder(tmp_path / "actions" / "i1")
    folder.place(Order(id="i1", action="x", args="canary", timeout_s=1))
    folder.tell(Progress(0.5, "half"))
    folder.conclude(Verdict("ok", Ok(value=1)))

    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in folder.path.iterdir()} == {0o600}
    assert "canary" not in repr(folder)


def test_an_order_is_taken_once(tmp_path: Path) -> None:
    folder = ActionFolder(tmp_path / "i1")
    folder.place(Order(id="i1", action="x", args=[1, None], timeout_s=1))
    assert folder.is_unread()
    assert folder.order().args == [1, None]
    folder.take()

    assert not folder.is_unread()
    with pytest.raises(OrderError, match="it was taken before"):
        folder.order()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "i1"}', '{"surplus": 1}'])
def test_an_order_that_cannot_be_read_says_where_it_is(tmp_path: Path, text: str) -> None:
    folder = ActionFolder(tmp_path)
    (tmp_path / "order.json").write_text(text)
    with pytest.raises(OrderError, match=r"order\.json cannot be read"):
        folder.order()


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict("ok", Ok(value=None)),
        Verdict("ok", Ok(value={"a": [1]}), "cut", truncated=True),
        Verdict("failed", Err(text="")),
        Verdict("unknown", Err(text="stuck"), "stuck"),
    ],
    ids=str,
)
def test_a_verdict_comes_back_as_it_was(tmp_path: Path, verdict: Verdict) -> None:
    folder = ActionFolder(tmp_path)
    assert folder.verdict() is None
    folder.conclude(verdict)
    assert folder.verdict() == verdict


def test_a_verdict_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text("{")
    verdict = ActionFolder(tmp_path).verdict()
    assert verdict is not None
    assert (verdict.kind, verdict.reason) == ("unknown", "result-unreadable")


def test_half_a_line_of_progress_waits_for_its_other_half(tmp_path: Path) -> None:
    folder, file = ActionFolder(tmp_path), tmp_path / "progress.jsonl"
    assert folder.news() == []
    file.write_text('[0.5, "half", []]\nnonsense\n[0.75, ')
    assert folder.news() == [Progress(0.5, "half")]
    assert folder.news() == []
    with file.open("a") as more:
        more.write('null, ["line"]]\n')
    assert folder.news() == [Progress(0.75, None, ("line",))]


@pytest.mark.parametrize(
    ("action_id", "named"),
    [
        ("0192-ab_C", "emf-action-0192-ab_C.service"),
        ("job-1:n1.example", "emf-action-job-1:n1.example.service"),
        ("../../etc", None),
        ("..", None),
        ("a b", None),
        ("ü", None),
        ("x" * 200, None),
        ("i@1", None),
    ],
)
async def test_an_odd_id_makes_a_plain_name(node: Node, action_id: str, named: str | None) -> None:
    async with node.agent():
        await node.take("rebuild", "sda", action_id)
        await anyio.sleep(70)
        assert (await node.result(action_id)).outcome == "ok"
    ((unit, argv, _),) = node.machine.started
    assert named is None or unit == named
    assert unit.removeprefix("emf-action-").removesuffix(".service").replace("-", "").isascii()
    assert Path(argv[-1]).parent == node.folder / "actions"


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        pytest.param("LoadState=not-found\nActiveState=inactive\nSubState=dead\n", None, id="none"),
        pytest.param(
            "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n"
            "ExecMainStatus=0\nControlGroup=/system.slice/emf-action-1.service\n",
            UnitState(runs=True, cgroup="/system.slice/emf-action-1.service"),
            id="running",
        ),
        pytest.param(
            "LoadState=loaded\nActiveState=active\nSubState=exited\nResult=success\n",
            UnitState(runs=False),
            id="exited",
        ),
        pytest.param(
            "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\n"
            "ExecMainStatus=78\n",
            UnitState(runs=False, result="exit-code", status=78),
            id="failed",
        ),
        pytest.param(
            "LoadState=loaded\nActiveState=deactivating\nSubState=stop-sigterm\nResult=timeout\n",
            UnitState(runs=True, result="timeout"),
            id="stopping",
        ),
    ],
)
def test_what_systemctl_shows_is_read(shown: str, state: UnitState | None) -> None:
    assert parse_state(shown) == state


def test_a_unit_without_a_cgroup_has_no_processes() -> None:
    assert members("") == []
    assert members("/no/such/cgroup") == []


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_where_no_systemd_runs_it_is_said(tmp_path: Path) -> None:
    assert await choose_units(tmp_path / "systemd") == "no systemd runs here"


def test_this_program_can_be_started_once_more() -> None:
    program = own_program()
    assert program[0] == sys.executable
    assert program[1:] == tuple(sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1])
