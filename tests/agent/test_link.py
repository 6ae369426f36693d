"""Reader and sender together: breaks, bad answers, repeats and restarts end nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from emf_agent import session_state as s
from emf_agent.backoff import Backoff
from emf_agent.driver import Driver, DriverSettings
from emf_agent.errors import ManagerRefusedError, ManagerUnreachableError
from emf_agent.outbox import Limits, Outbox
from emf_agent.plugin import Daemon
from emf_agent.reader import Reader
from emf_agent.registry import register_daemon
from emf_agent.sender import Link, send
from emf_agent.sessions import SessionBook
from emf_agent.testing import FakeManager
from emf_agent.transport import Polled, PollQuery, Posted
from emf_agent.wire import Envelope, ManagerData, SessionCreateResponse, SessionTerminateAll

pytestmark = pytest.mark.anyio

BACKOFF = Backoff(first_s=1.0, cap_s=8.0)


class Counter(Daemon):
    """Counts its updates."""

    name = "counter"

    def __init__(self) -> None:
        self._n = 0

    async def update_session(self) -> int:
        self._n += 1
        return self._n

    async def receive(self, body: Any) -> Any:
        return body


class Node:
    """Reader, sender and one driver, wired to a fake manager."""

    def __init__(self, manager: FakeManager) -> None:
        ids = count()
        self.manager = manager
        self.link = Link()
        self.outbox = Outbox("n1", "boot", "start", new_id=lambda: f"e{next(ids)}")
        self.book = SessionBook(["counter"], now=0.0, settings=s.Rules())
        self.driver = Driver(
            register_daemon("p", Counter),
            self.book,
            self.outbox,
            DriverSettings(fqdn="n1", state_directory=Path(), backoff=BACKOFF, random=Random(2)),
        )
        self.reader = Reader(
            manager,
            self.book,
            {"counter": self.driver},
            self.outbox,
            self.link,
            boot_time="boot",
            start_time="start",
            backoff=BACKOFF,
            random=Random(3),
        )
        self.link.on_renewed = lambda: self.driver.handle(s.LinkRenewed())


@asynccontextmanager
async def node(manager: FakeManager) -> AsyncGenerator[Node]:
    wired = Node(manager)
    async with anyio.create_task_group() as tasks:
        await tasks.start(wired.driver.run)

        async def sending() -> None:
            await send(
                wired.outbox,
                manager,
                wired.link,
                limits=Limits(),
                backoff=BACKOFF,
                random=Random(4),
                wall_clock=lambda: 0.0,
            )

        tasks.start_soon(sending)
        tasks.start_soon(wired.reader.run)
        yield wired
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("protocol", [1, 2])
async def test_a_session_forms_and_its_data_arrives_in_order(protocol: int) -> None:
    manager = FakeManager(protocol=protocol)
    async with node(manager):
        await anyio.sleep(35)

        assert manager.values("counter") == [1, 2, 3, 4]
        assert [one.session_seq for one in manager.data] == [1, 2, 3, 4]


async def test_a_network_cut_of_two_minutes_costs_no_session_and_heals() -> None:
    manager = FakeManager()
    async with node(manager) as wired:
        await anyio.sleep(15)
        session = manager.sessions["counter"]
        manager.cut()
        await anyio.sleep(120)
        manager.heal()
        await anyio.sleep(30)

        assert manager.sessions["counter"] == session
        values = manager.values("counter")
        assert values[-1] == wired.manager.data[-1].body
        assert isinstance(values[-1], int)
        assert values[-1] >= 15
        assert [one.session_seq for one in manager.data] == list(range(1, len(values) + 1))


async def test_failing_polls_are_spaced_out_with_jitter() -> None:
    manager = FakeManager()
    async with node(manager):
        await anyio.sleep(1)
        manager.cut()
        before = manager.polls
        await anyio.sleep(600)

        assert 75 <= manager.polls - before <= 400


async def test_a_minute_of_502_costs_no_session_and_no_number() -> None:
    class BehindAProxy(FakeManager):
        """Is hidden, for a while, by a proxy that finds nobody."""

        down = False

        async def post(self, envelope: Envelope, *, compress: bool, timeout_s: float) -> Posted:
            self.refuse()
            return await super().post(envelope, compress=compress, timeout_s=timeout_s)

        async def poll(self, query: PollQuery, *, timeout_s: float) -> Polled:
            self.refuse()
            answer = await super().poll(query, timeout_s=timeout_s)
            self.refuse()
            return answer

        def refuse(self) -> None:
            if self.down:
                raise ManagerRefusedError("https://manager", 502, "Bad Gateway")

    manager = BehindAProxy()
    async with node(manager):
        await anyio.sleep(15)
        before = dict(manager.sessions)
        manager.down = True
        manager.send("counter", "still there?")
        await anyio.sleep(60)
        manager.down = False
        await anyio.sleep(20)

        assert manager.sessions == before
        assert len(manager.requests) == 1
        assert {"Ok": "still there?"} in manager.values("counter")
        numbers = [one.session_seq for one in manager.data]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_a_slow_manager_holds_up_no_update_and_gets_one_request_of_a_kind_at_a_time() -> None:
    class Slow(FakeManager):
        """Takes its time for each post, and counts what is open at once."""

        def __init__(self) -> None:
            super().__init__()
            self.open = {"post": 0, "poll": 0}
            self.most = {"post": 0, "poll": 0}

        @contextmanager
        def opened(self, kind: str) -> Generator[None, None, None]:
            self.open[kind] += 1
            self.most[kind] = max(self.most[kind], self.open[kind])
            try:
                yield
            finally:
                self.open[kind] -= 1

        async def post(self, envelope: Envelope, *, compress: bool, timeout_s: float) -> Posted:
            with self.opened("post"):
                await anyio.sleep(25)
                return await super().post(envelope, compress=compress, timeout_s=timeout_s)

        async def poll(self, query: PollQuery, *, timeout_s: float) -> Polled:
            with self.opened("poll"):
                return await super().poll(query, timeout_s=timeout_s)

    manager = Slow()
    async with node(manager) as wired:
        await anyio.sleep(300)

        health = wired.driver.health(anyio.current_time())
        values = [int(str(value)) for value in manager.values("counter")]
        numbers = [one.session_seq for one in manager.data]
        assert manager.most == {"post": 1, "poll": 1}
        assert health.overruns == 0
        assert health.condition == "ok"
        assert values[-1] >= 20
        assert values == sorted(values)
        assert numbers == list(range(1, len(numbers) + 1))


async def test_a_poll_follows_at_once_on_its_answer() -> None:
    manager = FakeManager()
    async with node(manager):
        await anyio.sleep(5)
        for number in range(20):
            before = manager.polls
            manager.send("counter", number)
            await anyio.sleep(0.01)
            assert manager.polls == before + 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b'{"messages": [{"type": "SESSION',
        b'{"messages": [{"type": "SESSION_DANCE"}], "epoch": 1}',
        b'{"messages": [7, null], "epoch": 1}',
        b'{"messages": {}, "epoch": 1}',
        b"\xff\xfe\x00",
        b"[" * 5000,
    ],
    ids=[
        "empty",
        "error page",
        "truncated",
        "unknown type",
        "no objects",
        "wrong type",
        "binary",
        "deep",
    ],
)
async def test_the_reader_goes_on_after_any_bad_answer(answer: bytes) -> None:
    manager = FakeManager()
    async with node(manager) as wired:
        await anyio.sleep(5)
        manager.raw_answers.append(answer)
        manager.cut()
        manager.heal()
        await anyio.sleep(30)
        manager.send("counter", "still there?")
        await anyio.sleep(1)

        assert wired.reader.counters.unreadable >= 1
        assert {"Ok": "still there?"} in manager.values("counter")


async def test_a_session_for_a_daemon_that_is_not_here_is_handed_back() -> None:
    manager = FakeManager()
    async with node(manager) as wired:
        await anyio.sleep(1)
        manager.enqueue(SessionCreateResponse(fqdn="n1", plugin="ghost", session_id="g"))
        manager.enqueue(ManagerData(fqdn="n1", plugin="counter", session_id="old", body=1))
        await anyio.sleep(30)

        assert [(one.plugin, one.session_id) for one in manager.ended] == [
            ("ghost", "g"),
            ("counter", "old"),
        ]
        assert wired.reader.counters.not_here == 2
        assert len(manager.values("counter")) >= 3


async def test_a_lost_answer_repeats_the_envelope_and_nothing_arrives_twice() -> None:
    def lose() -> None:
        raise ManagerUnreachableError("https://manager", "reset in mid-body")

    manager = FakeManager()
    async with node(manager):
        await anyio.sleep(1)
        for _ in range(5):
            manager.after_post = lose
            await anyio.sleep(10)

        values = manager.values("counter")
        assert values == sorted(set(values), key=lambda value: int(str(value)))
        assert [one.session_seq for one in manager.data] == list(range(1, len(values) + 1))


async def test_an_envelope_that_will_never_be_taken_is_dropped_and_the_next_goes_through() -> None:
    def refuse() -> None:
        raise ManagerRefusedError("https://manager", 413, "too large")

    manager = FakeManager()
    async with node(manager) as wired:
        await anyio.sleep(1)
        manager.before_post = refuse
        await anyio.sleep(60)

        assert wired.link.refusals == 1
        assert len(manager.values("counter")) >= 5


async def test_a_busy_manager_is_asked_again() -> None:
    def busy() -> None:
        raise ManagerRefusedError("https://manager", 503, "store full")

    manager = FakeManager()
    async with node(manager):
        manager.before_post = busy
        await anyio.sleep(60)

        assert manager.values("counter")[0] == 1


async def test_a_restarted_manager_that_remembers_resumes_the_session() -> None:
    manager = FakeManager()
    async with node(manager):
        await anyio.sleep(15)
        session = manager.sessions["counter"]
        manager.restart(forget=False)
        await anyio.sleep(30)

        assert manager.requests[-1].resume == session
        assert manager.sessions["counter"] == session
        values = [int(str(value)) for value in manager.values("counter")]
        assert values == list(range(1, len(values) + 1))


async def test_a_restarted_manager_that_forgot_gets_a_new_session() -> None:
    manager = FakeManager()
    async with node(manager):
        await anyio.sleep(15)
        session = manager.sessions["counter"]
        manager.restart(forget=True)
        await anyio.sleep(30)

        assert manager.sessions["counter"] != session
        assert 1 in manager.values("counter")[2:]


async def test_an_ancestor_manager_is_asked_anew_after_each_break() -> None:
    manager = FakeManager(protocol=1)
    async with node(manager):
        await anyio.sleep(15)
        session = manager.sessions["counter"]
        manager.cut()
        await anyio.sleep(1)
        manager.heal()
        await anyio.sleep(30)

        assert manager.sessions["counter"] != session
        assert len(manager.values("counter")) >= 4


async def test_a_manager_of_a_lower_epoch_is_not_believed() -> None:
    manager = FakeManager()
    manager.epoch = 5
    async with node(manager) as wired:
        await anyio.sleep(5)
        manager.raw_answers.append(
            b'{"messages": [{"type": "SESSION_TERMINATE_ALL", "fqdn": "n1", "seq": 99}],"epoch": 4}'
        )
        manager.cut()
        manager.heal()
        await anyio.sleep(60)

        assert wired.link.zombies == 1
        assert len(manager.requests) == 1


async def test_terminate_all_ends_every_session_and_each_asks_again() -> None:
    manager = FakeManager()
    async with node(manager):
        await anyio.sleep(15)
        manager.enqueue(SessionTerminateAll(fqdn="n1"))
        await anyio.sleep(15)

        assert len(manager.requests) == 2


async def test_a_message_is_handled_once_although_it_is_delivered_again() -> None:
    manager = FakeManager()
    async with node(manager):
        await anyio.sleep(1)
        manager.send("counter", "once")
        repeated = manager._queue[-1]
        await anyio.sleep(1)
        manager._queue.append(repeated)
        await anyio.sleep(60)

        assert manager.values("counter").count({"Ok": "once"}) == 1


@pytest.mark.parametrize(
    ("offsets", "kept"),
    [((0.04, 0.06, -0.3), 0.0), ((0.0, 400.0), 400.0), ((-30.0, -29.7, -30.4), -30.0)],
    ids=["jitter", "jump", "behind"],
)
def test_a_clock_that_jitters_is_not_reported_anew(offsets: tuple[float, ...], kept: float) -> None:
    link = Link()
    for offset_s in offsets:
        link.note_clock(offset_s)

    assert link.clock_offset_s == kept
