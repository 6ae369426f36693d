"""The journal's promises: at most once, one outcome, nothing forgotten too early."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from uuid import UUID

import anyio
import anyio.from_thread
import pytest

from emf_agent.errors import JournalError
from emf_agent.journal import (
    Acceptance,
    Accepted,
    Conflict,
    EventGap,
    Finished,
    Journal,
    JournalInUseError,
    Known,
    Limits,
    NotStartableError,
    Outcome,
    Recovery,
    open_journal,
)

pytestmark = pytest.mark.anyio

OK = Outcome("ok", '{"Ok": 1}', seconds=0.5)
FAILED = Outcome("failed", '{"Err": "no"}', reason="no")
DAY_S = 86_400.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Real time: a worker thread takes part."""
    return str(request.param)


class Clock:
    """A wall clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def uuid7(self, number: int = 1) -> str:
        """Return an id of version 7 that is born now."""
        return str(UUID(int=int(self.now * 1000) << 80 | 7 << 76 | 8 << 60 | number))


@pytest.fixture
def clock() -> Clock:
    """The wall clock of the node."""
    return Clock()


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncGenerator[Journal, None]:
    """An open journal."""
    async with open_journal(tmp_path / "journal", wall_clock=clock) as opened:
        yield opened


def an_action(action_id: str = "a", **changes: object) -> Acceptance:
    """Return an action with something in every field."""
    fields = {"action": "start_unit", "args_json": '["x"]', "requester": "ann", "timeout_s": 9.0}
    return Acceptance(id=action_id, **{**fields, **changes})  # type: ignore[arg-type]


async def test_an_action_is_taken_once(journal: Journal) -> None:
    assert await journal.accept(an_action()) == Accepted()
    assert await journal.accept(an_action()) == Known("accepted", None)
    await journal.start("a")
    assert await journal.accept(an_action()) == Known("started", None)
    assert await journal.finish("a", OK) == Finished()
    assert await journal.accept(an_action()) == Known("finished", OK)
    await journal.acknowledge(["a"])
    assert await journal.accept(an_action()) == Known("acknowledged", OK)


async def test_what_is_known_of_an_id_can_be_asked_without_taking_it(journal: Journal) -> None:
    assert await journal.known("a") is None
    assert await journal.known("a") is None, "asking changes nothing"
    await journal.accept(an_action())
    sequence = journal.identity.sequence
    assert await journal.known("a") == Known("accepted", None)
    assert journal.identity.sequence == sequence
    await journal.start("a")
    await journal.finish("a", OK)
    assert await journal.known("a") == Known("finished", OK)


@pytest.mark.parametrize(
    ("before", "why"),
    [
        pytest.param("nothing", "never accepted", id="unknown"),
        pytest.param("started", "started already", id="begun"),
        pytest.param("finished", "finished already", id="ended without beginning"),
        pytest.param("acknowledged", "acknowledged already", id="confirmed"),
        pytest.param("expired", "expired", id="too late"),
    ],
)
async def test_an_effect_begins_at_most_once(
    journal: Journal, clock: Clock, before: str, why: str
) -> None:
    if before != "nothing":
        await journal.accept(an_action(expires_at=clock.now + 10))
    if before == "started":
        await journal.start("a")
    if before in ("finished", "acknowledged"):
        await journal.finish("a", FAILED)
    if before == "acknowledged":
        await journal.acknowledge(["a"])
    if before == "expired":
        clock.now += 11
    with pytest.raises(NotStartableError, match=f"action a must not start: it .*{why}"):
        await journal.start("a")


async def test_the_first_outcome_stays(journal: Journal) -> None:
    await journal.accept(an_action())
    await journal.start("a")
    assert await journal.finish("a", OK) == Finished()
    assert await journal.finish("a", Outcome("ok", '{"Ok": 1}', seconds=0.7)) == Finished()
    assert await journal.finish("a", FAILED) == Conflict(OK)
    assert await journal.outcome("a") == OK


async def test_an_outcome_of_what_was_never_taken_is_refused(journal: Journal) -> None:
    with pytest.raises(JournalError, match="action ghost cannot end: it was never accepted"):
        await journal.finish("ghost", OK)
    assert await journal.outcome("ghost") is None


async def test_outcomes_wait_in_order_until_they_are_confirmed(journal: Journal) -> None:
    for name in "abcd":
        await journal.accept(an_action(name))
        await journal.start(name)
    for name in "cab":
        await journal.finish(name, OK)
    assert [waiting.id for waiting in await journal.unacknowledged()] == ["c", "a", "b"]
    assert [waiting.id for waiting in await journal.unacknowledged(2)] == ["c", "a"]
    await journal.acknowledge(["a", "d", "ghost"])
    assert [waiting.id for waiting in await journal.unacknowledged()] == ["c", "b"]
    await journal.acknowledge([])
    assert await journal.finish("d", FAILED) == Finished()


async def test_every_change_gets_a_higher_number_and_a_repetition_none(journal: Journal) -> None:
    numbers = [journal.identity.sequence]
    for step in (
        lambda: journal.accept(an_action()),
        lambda: journal.start("a"),
        lambda: journal.finish("a", OK),
        lambda: journal.acknowledge(["a"]),
    ):
        await step()
        numbers.append(journal.identity.sequence)
    assert numbers == sorted(set(numbers))
    await journal.accept(an_action())
    await journal.finish("a", FAILED)
    assert journal.identity.sequence == numbers[-1]


async def test_a_large_result_is_whole_until_confirmed_and_then_makes_room(
    journal: Journal,
) -> None:
    large = Outcome("ok", '{"Ok": "' + "x" * 100_000 + '"}')
    await journal.accept(an_action())
    await journal.start("a")
    await journal.finish("a", large)
    assert await journal.outcome("a") == large
    await journal.acknowledge(["a"])
    assert await journal.outcome("a") == Outcome("ok", '{"Ok": null}', truncated=True)
    assert await journal.finish("a", large) == Finished()
    assert await journal.finish("a", FAILED) != Finished()


async def test_after_a_restart_everything_is_settled(tmp_path: Path, clock: Clock) -> None:
    directory = tmp_path / "journal"
    kept = {
        "waits": an_action("waits", dry_run=True, redacted=True, expires_at=clock.now + 5),
        "lost": an_action("lost"),
        "again": an_action("again", idempotent=True),
        "unit": an_action("unit", detached=True),
        "done": an_action("done"),
    }
    async with open_journal(directory, wall_clock=clock) as journal:
        for acceptance in kept.values():
            await journal.accept(acceptance)
        for name in ("lost", "again", "unit", "done"):
            await journal.start(name)
        await journal.finish("done", OK)
        before = journal.identity
    async with open_journal(directory, wall_clock=clock) as journal:
        assert journal.identity == before
        assert await journal.recover() == Recovery(
            waiting=(kept["waits"], kept["again"]), detached=(kept["unit"],), lost=("lost",)
        )
        lost = await journal.outcome("lost")
        assert lost is not None
        assert (lost.kind, lost.reason) == ("unknown", "agent-restart")
        assert journal.identity.sequence > before.sequence
        await journal.start("again")
        with pytest.raises(NotStartableError):
            await journal.start("lost")
        assert [waiting.id for waiting in await journal.unacknowledged()] == ["done", "lost"]
    async with open_journal(directory, wall_clock=clock) as journal:
        assert (await journal.recover()).lost == ()


@pytest.mark.parametrize("expires_in_s", [None, 3 * DAY_S])
async def test_a_tombstone_lives_thirty_days_after_expiry_and_then_its_id_is_refused(
    journal: Journal, clock: Clock, expires_in_s: float | None
) -> None:
    action_id = clock.uuid7()
    expires_at = None if expires_in_s is None else clock.now + expires_in_s
    await journal.accept(an_action(action_id, expires_at=expires_at))
    await journal.start(action_id)
    await journal.finish(action_id, OK)
    await journal.acknowledge([action_id])

    clock.now += 30 * DAY_S + (expires_in_s or 0.0) - 1
    assert await journal.collect_garbage() == 0
    assert await journal.accept(an_action(action_id)) == Known("acknowledged", OK)

    clock.now += 2
    assert await journal.collect_garbage() == 1
    answer = await journal.accept(an_action(action_id))
    assert isinstance(answer, Known)
    assert answer.outcome is not None
    assert answer.outcome.kind == "expired"
    with pytest.raises(NotStartableError):
        await journal.start(action_id)
    assert await journal.accept(an_action(clock.uuid7(2))) == Accepted()


async def test_an_id_from_a_clock_far_ahead_does_not_shut_out_all_others(
    journal: Journal, clock: Clock
) -> None:
    ahead = Clock()
    ahead.now += 1000 * DAY_S
    action_id = ahead.uuid7()
    await journal.accept(an_action(action_id))
    await journal.finish(action_id, FAILED)
    await journal.acknowledge([action_id])
    clock.now += 31 * DAY_S
    assert await journal.collect_garbage() == 1
    assert await journal.accept(an_action(clock.uuid7(3))) == Accepted()


async def test_what_the_manager_has_not_confirmed_is_never_collected(
    journal: Journal, clock: Clock
) -> None:
    for name in ("waits", "runs", "ended"):
        await journal.accept(an_action(name, expires_at=clock.now + 1))
    await journal.start("runs")
    await journal.finish("ended", FAILED)
    clock.now += 4000 * DAY_S
    assert await journal.collect_garbage() == 0
    assert [waiting.id for waiting in await journal.unacknowledged()] == ["ended"]


async def test_calls_from_many_tasks_come_one_at_a_time(journal: Journal) -> None:
    answers = []

    async def offer() -> None:
        answers.append(await journal.accept(an_action()))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(offer)
    assert answers.count(Accepted()) == 1


async def test_a_cancelled_caller_does_not_leave_half_a_record(
    tmp_path: Path, clock: Clock
) -> None:
    inside, go_on = anyio.Event(), threading.Event()

    def fault(point: str) -> None:
        if point == "accepted:before":
            anyio.from_thread.run_sync(inside.set)
            assert go_on.wait(60)

    async with open_journal(tmp_path / "j", wall_clock=clock, fault=fault) as journal:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(journal.accept, an_action())
            await inside.wait()
            tasks.cancel_scope.cancel()
            go_on.set()
        assert await journal.accept(an_action()) == Known("accepted", None)


async def test_the_directory_is_the_agents_alone(tmp_path: Path, clock: Clock) -> None:
    directory = tmp_path / "state" / "journal"
    async with open_journal(directory, wall_clock=clock):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        with pytest.raises(JournalInUseError, match="in use by another agent"):
            async with open_journal(directory, wall_clock=clock):
                pytest.fail("two agents shared a journal")
    directory.chmod(0o755)
    async with open_journal(directory, wall_clock=clock):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


async def test_ballast_that_a_power_cut_emptied_is_loaded_again(
    tmp_path: Path, clock: Clock
) -> None:
    for _ in range(2):
        async with open_journal(tmp_path / "j", wall_clock=clock):
            ballast = tmp_path / "j" / "ballast"
            assert ballast.stat().st_size == 512 * 1024
        ballast.write_bytes(b"")


async def test_a_closed_journal_takes_nothing(tmp_path: Path, clock: Clock) -> None:
    async with open_journal(tmp_path / "j", wall_clock=clock) as journal:
        pass
    with pytest.raises(JournalError, match="closed"):
        await journal.accept(an_action())


async def test_durability_is_really_on(tmp_path: Path, clock: Clock) -> None:
    async with open_journal(tmp_path / "j", wall_clock=clock) as journal:
        assert journal._store is not None
        database = journal._store._db
        pragmas = {
            name: database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


async def test_a_journal_of_its_size_limit_refuses_actions_and_takes_results(
    tmp_path: Path, clock: Clock
) -> None:
    limits = Limits(size_bytes=400_000)
    async with open_journal(tmp_path / "j", wall_clock=clock, limits=limits) as journal:
        taken: list[str] = []

        async def take_too_many() -> None:
            for number in range(1000):
                await journal.accept(an_action(str(number), args_json='"' + "x" * 3000 + '"'))
                taken.append(str(number))

        with pytest.raises(JournalError, match="its limit; outcomes wait for the manager"):
            await take_too_many()
        assert len(taken) > 50
        for action_id in taken:
            assert await journal.finish(action_id, OK) == Finished()
        # What ended takes less room: it needs no arguments any more.
        assert await journal.accept(an_action("next")) == Accepted()
        await journal.acknowledge(taken)
        assert await journal.accept(an_action("another")) == Accepted()


async def test_events_are_numbered_for_each_daemon_and_wait_until_confirmed(
    tmp_path: Path, clock: Clock
) -> None:
    async with open_journal(tmp_path / "j", wall_clock=clock) as journal:
        assert [await journal.append_event("mail", f"{n}") for n in range(3)] == [1, 2, 3]
        assert await journal.append_event("other", "0") == 1
    async with open_journal(tmp_path / "j", wall_clock=clock) as journal:
        waiting = await journal.pending_events("mail", 2)
        assert [(event.sequence, event.payload_json) for event in waiting.events] == [
            (1, "0"),
            (2, "1"),
        ]
        assert waiting.gap is None
        await journal.acknowledge_events("mail", 2)
        assert [e.sequence for e in (await journal.pending_events("mail")).events] == [3]
        await journal.acknowledge_events("mail", 99)
        assert await journal.append_event("mail", "4") == 4
        assert (await journal.pending_events("nobody")).events == ()


async def test_too_many_events_drop_the_oldest_and_say_which(tmp_path: Path, clock: Clock) -> None:
    limits = Limits(events_bytes=10 * (64 + 100))
    async with open_journal(tmp_path / "j", wall_clock=clock, limits=limits) as journal:
        for _ in range(13):
            await journal.append_event("mail", "x" * 100)
        waiting = await journal.pending_events("mail")
        assert waiting.gap == EventGap(1, 3)
        assert [event.sequence for event in waiting.events] == list(range(4, 14))

        # Meanwhile one more is dropped: of the gap, what was not told stays.
        await journal.append_event("mail", "x" * 100)
        await journal.acknowledge_events("mail", 3)
        waiting = await journal.pending_events("mail")
        assert waiting.gap == EventGap(4, 4)
        await journal.acknowledge_events("mail", 5)
        assert (await journal.pending_events("mail")).gap is None

        await journal.append_event("mail", "y" * 10_000)
        newest = await journal.pending_events("mail")
        assert [event.payload_json[0] for event in newest.events] == ["y"]


async def test_a_hundred_thousand_rows_are_recovered_from(tmp_path: Path, clock: Clock) -> None:
    directory = tmp_path / "j"
    async with open_journal(directory, wall_clock=clock):
        pass
    with sqlite3.connect(directory / "journal.db") as database:
        database.executemany(
            "INSERT INTO actions (id, state, action, args_json, redacted, idempotent, detached,"
            " dry_run, accepted_at, finished_at, kind, result_json, truncated, changed)"
            " VALUES (?, 'acknowledged', 'x', '', 0, 0, 0, 0, 1.0, 1.0, 'ok', '{}', 0, 1)",
            ((f"id-{n}",) for n in range(100_000)),
        )
        database.execute("UPDATE journal SET closed_cleanly = 0")
    database.close()
    async with open_journal(directory, wall_clock=clock) as journal:
        assert journal.moved_aside is None
        await journal.accept(an_action())
        assert (await journal.recover()).waiting == (an_action(),)
        assert await journal.accept(an_action("id-99999")) != Accepted()


LOSSES: dict[str, Callable[[Path], object]] = {
    "the database was removed": lambda path: path.unlink(),
    "it was overwritten": lambda path: path.write_bytes(b"not a database at all" * 500),
    "it was emptied": lambda path: path.write_bytes(b""),
    "its tables are another program's": lambda path: foreign(path),
    "its first pages are damaged": lambda path: damage(path, 4096),
    "a page is damaged that is not read at once": lambda path: damage(path, -4096),
}


def foreign(path: Path) -> None:
    """Put another database in its place."""
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE actions (x)")
    database.close()


def damage(path: Path, offset: int) -> None:
    """Overwrite pages after the first, as a disk that forgets."""
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        file.write(b"\xa5" * 4096)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
async def test_a_journal_that_is_lost_or_broken_comes_back_with_another_identity(
    tmp_path: Path, clock: Clock, loss: Callable[[Path], object]
) -> None:
    directory = tmp_path / "j"
    async with open_journal(directory, wall_clock=clock) as journal:
        for number in range(50):
            await journal.accept(an_action(str(number)))
        before = journal.identity
    with sqlite3.connect(directory / "journal.db") as database:
        database.execute("UPDATE journal SET closed_cleanly = 0")
    database.close()
    loss(directory / "journal.db")
    gone = sum(path.stat().st_size for path in directory.glob("journal.db")) == 0
    async with open_journal(directory, wall_clock=clock) as journal:
        assert journal.fault is None
        assert journal.identity.journal_id not in ("", before.journal_id)
        assert journal.identity.sequence < before.sequence
        assert await journal.recover() == Recovery()
        assert await journal.accept(an_action("new")) == Accepted()
        if gone:
            assert journal.moved_aside is None
        else:
            assert journal.moved_aside is not None
            assert journal.moved_aside.name == "journal.db.corrupt-20270115T080000Z.0"
            assert journal.moved_aside.stat().st_size > 0


async def test_a_rolled_back_journal_shows_by_its_number(tmp_path: Path, clock: Clock) -> None:
    directory = tmp_path / "j"
    async with open_journal(directory, wall_clock=clock) as journal:
        await journal.accept(an_action())
    snapshot = (directory / "journal.db").read_bytes()
    async with open_journal(directory, wall_clock=clock) as journal:
        await journal.start("a")
        later = journal.identity
    (directory / "journal.db").write_bytes(snapshot)
    async with open_journal(directory, wall_clock=clock) as journal:
        assert journal.identity.journal_id == later.journal_id
        assert journal.identity.sequence < later.sequence


async def test_a_journal_of_a_newer_agent_is_left_alone(tmp_path: Path, clock: Clock) -> None:
    directory = tmp_path / "j"
    async with open_journal(directory, wall_clock=clock) as journal:
        await journal.accept(an_action())
    with sqlite3.connect(directory / "journal.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    async with open_journal(directory, wall_clock=clock) as journal:
        assert journal.fault is not None
        assert "version 99" in journal.fault
        assert journal.identity.journal_id == ""
        assert await journal.recover() == Recovery()
        with pytest.raises(JournalError, match="install the newer agent again"):
            await journal.accept(an_action("b"))


async def test_where_no_directory_can_be_made_the_journal_says_so(
    tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "file").write_text("")
    async with open_journal(tmp_path / "file" / "j", wall_clock=clock) as journal:
        assert journal.fault is not None
        assert "Not a directory" in journal.fault
        with pytest.raises(JournalError):
            await journal.accept(an_action())
