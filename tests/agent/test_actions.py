"""Actions: at most once per id, one honest outcome, cancel and timeout that mean it."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from emf_agent.action_call import Verdict
from emf_agent.actions import ActionLimits, ActionRunner
from emf_agent.command import CommandStuckError, StuckProcess
from emf_agent.errors import ActionError, JournalError
from emf_agent.plugin import Action, ActionContext, ActionFinished, ActionNotice, Secret, action
from emf_agent.registry import RegisteredAction, Registry
from emf_agent.testing import open_unthreaded_journal
from emf_agent.wire import (
    ActionAccepted,
    ActionProgress,
    ActionReport,
    ActionResult,
    ActionStart,
    ActionStarted,
    CancelState,
    Err,
    Ok,
)

pytestmark = pytest.mark.anyio

EFFECTS: list[str] = []
LET_GO = threading.Event()


@action(dry_run=True)
async def greet(name: str, ctx: ActionContext) -> str:
    """Greet."""
    if ctx.dry_run:
        return f"would greet {name}"
    EFFECTS.append(name)
    ctx.progress(0.5, "half")
    return f"hello {name}"


@action(timeout_s=5)
async def hang() -> None:
    """Never end."""
    await anyio.sleep_forever()


@action
async def fail() -> None:
    """Fail with a text."""
    raise ActionError("exit code: 2, stdout: , stderr: no")


@action
async def crash() -> None:
    """Raise what ends processes."""
    raise SystemExit(3)


@action
async def odd() -> list[int]:
    """Return what is not promised."""
    return "text"  # type: ignore[return-value]


@action(locks=("file:{path}",))
async def edit(path: str) -> int:
    """Hold a lock for a minute."""
    EFFECTS.append(f"begin {path}")
    await anyio.sleep(60)
    EFFECTS.append(f"end {path}")
    return 1


@action
async def big() -> str:
    """Return a lot."""
    return "x" * 5000


@action
async def login(password: Secret) -> bool:
    """Take a secret."""
    return password.reveal() == "canary"


@action(idempotent=True)
async def again() -> int:
    """May be run twice."""
    EFFECTS.append("again")
    return 7


@action
async def stuck() -> None:
    """Leave a process that cannot be killed."""
    raise CommandStuckError("dd", (StuckProcess(4711, "dd", "D", "percpu_rwsem_wait"),))


@action(timeout_s=0.2)
def blocks() -> None:
    """Block a worker thread."""
    LET_GO.wait()


ACTIONS: list[Action[..., Any]] = [
    greet,
    hang,
    fail,
    crash,
    odd,
    edit,
    big,
    login,
    again,
    stuck,
    blocks,
]


class Bench:
    def __init__(self, runner: ActionRunner, journal: Any, clock: list[float]) -> None:
        self.runner = runner
        self.journal = journal
        self.clock = clock
        self.reports: list[ActionReport] = []
        self.observed: list[Any] = []
        runner.reports.listener = self.reports.append

    async def take(self, name: str, args: Any = None, action_id: str = "i1", **more: Any) -> None:
        await self.runner.take(ActionStart(action=name, args=args, id=action_id, **more))

    def results(self, action_id: str = "i1") -> list[ActionResult]:
        return [
            one for one in self.reports if isinstance(one, ActionResult) and one.id == action_id
        ]

    def result(self, action_id: str = "i1") -> ActionResult:
        (only,) = self.results(action_id)
        return only


class Forgetful(ActionRunner):
    """Dies before it writes an outcome down: what a killed process leaves behind."""

    async def _record(self, action_id: str, verdict: Verdict, began: float | None) -> bool:
        """Write nothing."""
        return False


@asynccontextmanager
async def bench(
    directory: Path,
    *,
    limits: ActionLimits | None = None,
    permit: Any = None,
    kind: type[ActionRunner] = ActionRunner,
) -> AsyncGenerator[Bench]:
    EFFECTS.clear()
    clock = [1_000_000.0]
    observed: list[ActionNotice | ActionFinished] = []
    registry = Registry(
        actions={one.name: RegisteredAction("plugin", one) for one in ACTIONS},
        started_observers=(observed.append,),
        finished_observers=(observed.append,),
    )
    async with (
        open_unthreaded_journal(directory, wall_clock=lambda: clock[0]) as journal,
        anyio.create_task_group() as tasks,
    ):
        runner = kind(
            registry,
            journal,
            limits or ActionLimits(result_bytes=1000),
            wall_clock=lambda: clock[0],
            permit=permit or (lambda _name, _args: None),
        )
        made = Bench(runner, journal, clock)
        made.observed = observed
        await tasks.start(runner.run)
        yield made
        tasks.cancel_scope.cancel()


async def test_an_action_is_accepted_started_and_answered_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("greet", "ann")
        await anyio.sleep(1)

        assert [type(one) for one in b.reports] == [
            ActionAccepted,
            ActionStarted,
            ActionProgress,
            ActionResult,
        ]
        assert b.result().result == Ok(value="hello ann")
        assert b.result().outcome == "ok"
        assert [type(one) for one in b.observed] == [ActionNotice, ActionFinished]


@pytest.mark.parametrize(
    ("name", "args", "outcome", "text"),
    [
        ("no_such", None, "refused", "no action named 'no_such'"),
        ("greet", 3, "refused", "name: Input should be a valid string, got 3"),
        ("greet", None, "refused", "name"),
        ("fail", None, "failed", "exit code: 2, stdout: , stderr: no"),
        ("crash", None, "failed", "SystemExit: 3"),
        ("odd", None, "failed", "not the JSON it promised"),
        ("hang", None, "timed_out", "timed out after 5 s"),
        ("stuck", None, "unknown", "4711"),
    ],
)
async def test_everything_that_goes_wrong_is_one_answer(
    tmp_path: Path, name: str, args: Any, outcome: str, text: str
) -> None:
    async with bench(tmp_path) as b:
        await b.take(name, args)
        await anyio.sleep(10)

        result = b.result()
        assert result.outcome == outcome
        assert isinstance(result.result, Err)
        assert text in result.result.text
        assert b.runner.running == 0


async def test_the_same_id_again_is_answered_and_never_run_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("greet", "ann")
        await anyio.sleep(1)
        await b.take("greet", "bob")
        await anyio.sleep(1)

        assert EFFECTS == ["ann"]
        assert [one.result for one in b.results()] == [Ok(value="hello ann")] * 2


async def test_the_same_id_while_it_runs_attaches_to_the_first(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("edit", "/a")
        await anyio.sleep(1)
        await b.take("edit", "/a")
        await anyio.sleep(120)

        assert EFFECTS == ["begin /a", "end /a"]
        assert b.result().outcome == "ok"


async def test_a_cancel_is_taken_and_the_result_says_cancelled(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("hang")
        await anyio.sleep(1)
        await b.runner.cancel("i1")
        await anyio.sleep(1)

        assert CancelState(id="i1", state="taken") in b.reports
        assert b.result().outcome == "cancelled"


async def test_a_cancel_that_comes_too_late_repeats_the_result(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("greet", "ann")
        await anyio.sleep(1)
        await b.runner.cancel("i1")

        assert b.reports[-2:] == [CancelState(id="i1", state="too_late"), b.results()[0]]


async def test_a_cancel_of_an_unknown_id_says_so(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.runner.cancel("ghost")

        assert b.reports == [CancelState(id="ghost", state="unknown_id")]


async def test_one_that_waits_for_a_lock_can_be_cancelled_and_never_ran(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("edit", "/a", "i1")
        await anyio.sleep(1)
        await b.take("edit", "/a", "i2")
        await b.take("edit", "/b", "i3")
        await anyio.sleep(1)
        await b.runner.cancel("i2")
        await anyio.sleep(120)

        assert EFFECTS == ["begin /a", "begin /b", "end /a", "end /b"]
        assert b.result("i2").outcome == "cancelled"


async def test_two_that_hold_one_lock_take_turns(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("edit", "/a", "i1")
        await b.take("edit", "/a", "i2")
        await anyio.sleep(200)

        assert EFFECTS == ["begin /a", "end /a"] * 2


async def test_concurrency_is_bounded(tmp_path: Path) -> None:
    async with bench(tmp_path, limits=ActionLimits(concurrent=2)) as b:
        for n in range(5):
            await b.take("edit", f"/{n}", f"i{n}")
        await anyio.sleep(1)
        assert len(EFFECTS) == 2
        await anyio.sleep(300)

        assert len(EFFECTS) == 10


async def test_more_than_can_wait_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path, limits=ActionLimits(waiting=2)) as b:
        for n in range(3):
            await b.take("hang", None, f"i{n}")
        await anyio.sleep(1)

        assert b.result("i2").outcome == "refused"


async def test_an_expired_order_is_not_begun(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("edit", "/a", "i1")
        await anyio.sleep(1)
        await b.take("edit", "/a", "i2", expires_in=30.0)
        b.clock[0] += 60
        await anyio.sleep(200)

        assert b.result("i2").outcome == "expired"
        assert EFFECTS == ["begin /a", "end /a"]


async def test_a_timeout_of_the_order_wins_over_the_declared_one(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("hang", timeout=100.0)
        await anyio.sleep(50)
        assert b.results() == []
        await anyio.sleep(60)

        assert b.result().outcome == "timed_out"


async def test_a_dry_run_changes_nothing_and_is_refused_where_it_is_not_declared(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        await b.take("greet", "ann", "i1", dry_run=True)
        await b.take("again", None, "i2", dry_run=True)
        await anyio.sleep(1)

        assert b.result("i1").result == Ok(value="would greet ann")
        assert b.result("i2").outcome == "refused"
        assert EFFECTS == []


async def test_the_local_policy_refuses_whatever_the_manager_says(tmp_path: Path) -> None:
    def permit(name: str, args: Any) -> str | None:
        return f"{name} is denied by this node's policy" if name == "greet" else None

    async with bench(tmp_path, permit=permit) as b:
        await b.take("greet", "ann")
        await anyio.sleep(1)

        assert b.result().outcome == "refused"
        assert "policy" in str(b.result().reason)
        assert EFFECTS == []


async def test_a_result_over_the_cap_is_cut_and_says_so(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("big")
        await anyio.sleep(1)

        assert b.result().truncated
        assert b.result().result == Ok(value="x" * 1000)
        assert "5002 bytes" in str(b.result().reason)


async def test_a_secret_reaches_the_action_and_no_file(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("login", "canary")
        await anyio.sleep(1)

        assert b.result().result == Ok(value=True)
        assert "canary" not in repr(b.reports)
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"login" in written
    assert b"canary" not in written


async def test_what_was_accepted_and_not_begun_runs_after_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path, kind=Forgetful) as b:
        await b.take("edit", "/a", "i1")
        await anyio.sleep(1)
        await b.take("edit", "/a", "i2")
        await anyio.sleep(1)
    async with bench(tmp_path) as b:
        await anyio.sleep(100)

        assert EFFECTS == ["begin /a", "end /a"]
        assert b.result("i2").outcome == "ok"
        (left,) = [one for one in await b.runner.unacknowledged(10) if one.id == "i1"]
        assert left.outcome == "unknown"
        assert left.reason == "agent-restart"


async def test_an_idempotent_action_is_run_again_after_a_crash(tmp_path: Path) -> None:
    async with bench(tmp_path, kind=Forgetful) as b:
        await b.take("again")
        await anyio.sleep(1)
        assert EFFECTS == ["again"]
    async with bench(tmp_path) as b:
        await anyio.sleep(1)

        assert EFFECTS == ["again"]
        assert b.result().result == Ok(value=7)


async def test_results_are_kept_until_they_are_acknowledged(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.runner.reports.listener = None
        await b.take("greet", "ann")
        await anyio.sleep(1)
    async with bench(tmp_path) as b:
        (kept,) = await b.runner.unacknowledged(10)
        assert kept.result == Ok(value="hello ann")
        b.runner.acknowledged("i1")
        await anyio.sleep(1)

        assert await b.runner.unacknowledged(10) == []


async def test_an_ending_agent_stops_what_runs_and_takes_nothing_new(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("hang", None, "i1")
        await anyio.sleep(1)
        await b.runner.end("the agent stops")
        await b.take("greet", "ann", "i2")

        assert b.result("i1").outcome == "cancelled"
        assert "the agent stops" in str(b.result("i1").result)
        assert b.result("i2").outcome == "refused"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_thread_that_cannot_be_stopped_is_an_unknown_outcome(tmp_path: Path) -> None:
    """In real time: a worker thread really blocks."""
    LET_GO.clear()
    try:
        async with bench(tmp_path) as b:
            await b.take("blocks")
            with anyio.fail_after(30):
                while not b.results():
                    await anyio.sleep(0.02)

            assert b.result().outcome == "unknown"
            assert "could not be stopped" in str(b.result().reason)
    finally:
        LET_GO.set()


async def test_an_order_that_cannot_be_read_is_answered_unless_its_id_means_something(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        await b.take("hang", None, "i1")
        await b.runner.refuse_unreadable("i1", "args: Field required")
        await b.runner.refuse_unreadable("i2", "args: Field required")

        assert b.results("i1") == []
        assert b.result("i2").outcome == "refused"


class ReadOnlyDisk:
    """A journal whose disk turned read-only: it can be read, and nothing can be written."""

    def __init__(self, journal: Any) -> None:
        self.journal = journal
        self.heals = False
        self.collected = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)

    def check(self) -> None:
        if not self.heals:
            raise JournalError("the journal takes no record: attempt to write a readonly database")

    async def recover(self) -> Any:
        self.check()
        return await self.journal.recover()

    async def accept(self, acceptance: Any) -> Any:
        self.check()
        return await self.journal.accept(acceptance)

    async def collect_garbage(self) -> int:
        self.check()
        self.collected += 1
        return 0


@asynccontextmanager
async def on_a_read_only_disk(directory: Path) -> AsyncGenerator[tuple[Bench, ReadOnlyDisk]]:
    async with (
        open_unthreaded_journal(directory, wall_clock=lambda: 1e6) as journal,
        anyio.create_task_group() as tasks,
    ):
        disk = ReadOnlyDisk(journal)
        registry = Registry(actions={one.name: RegisteredAction("plugin", one) for one in ACTIONS})
        given: Any = disk
        runner = ActionRunner(registry, given, ActionLimits(), wall_clock=lambda: 1e6)
        made = Bench(runner, journal, [1e6])
        await tasks.start(runner.run)
        yield made, disk
        tasks.cancel_scope.cancel()


async def test_an_agent_whose_disk_is_read_only_runs_and_refuses_with_the_reason(
    tmp_path: Path,
) -> None:
    EFFECTS.clear()
    async with on_a_read_only_disk(tmp_path) as (b, _):
        await b.take("greet", "ann")
        await anyio.sleep(1)

        assert "readonly" in str(b.runner.fault)
        assert b.result().outcome == "refused"
        assert "readonly" in str(b.result().reason)
        assert EFFECTS == []


async def test_what_a_former_process_took_on_is_not_refused_on_a_read_only_disk(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, kind=Forgetful) as b:
        await b.take("hang", None, "begun")
        await anyio.sleep(1)
    async with bench(tmp_path) as b:
        b.runner.reports.listener = None
        await b.take("greet", "ann", "ended")
        await anyio.sleep(1)
    async with on_a_read_only_disk(tmp_path) as (b, _):
        await b.take("hang", None, "begun")
        await b.take("greet", "ann", "ended")

        assert b.reports[0] == b.result("begun")
        assert b.result("begun").reason == "agent-restart"
        assert b.result("ended").result == Ok(value="hello ann")


async def test_when_the_disk_can_be_written_again_actions_are_taken_again(tmp_path: Path) -> None:
    async with bench(tmp_path, kind=Forgetful) as b:
        await b.take("again")
        await anyio.sleep(1)
    EFFECTS.clear()
    async with on_a_read_only_disk(tmp_path) as (b, disk):
        await b.take("again")
        assert b.reports == [ActionAccepted(id="i1")], "it will be answered after all"
        disk.heals = True
        await anyio.sleep(3700)

        assert b.runner.fault is None
        assert EFFECTS == ["again"]
        assert b.result().result == Ok(value=7)


async def test_the_journal_is_tidied_every_hour_when_idle(tmp_path: Path) -> None:
    async with on_a_read_only_disk(tmp_path) as (b, disk):
        disk.heals = True
        await anyio.sleep(3 * 3600 + 60)
        assert disk.collected == 2, "the first hour was spent on recovering"
        await b.take("hang", timeout=7200.0)
        await anyio.sleep(3600)
        assert disk.collected == 2
        disk.heals = False
        await anyio.sleep(7200)
        assert b.result().outcome == "timed_out", "a disk that fails again harms nobody"


async def test_observers_hear_of_a_cancel_as_a_cancel(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.take("hang")
        await anyio.sleep(1)
        await b.runner.cancel("i1")
        await anyio.sleep(1)
        await b.take("hang", None, "i2")
        await anyio.sleep(10)

        ended = [one.outcome for one in b.observed if isinstance(one, ActionFinished)]
        assert ended == ["cancelled", "timed_out"]
