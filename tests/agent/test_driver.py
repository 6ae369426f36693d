"""One daemon's life: its pace, its deadlines, and everything it can do wrong."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import pytest
from pydantic import JsonValue

from emf_agent import session_state as s
from emf_agent.backoff import Backoff
from emf_agent.driver import Driver, DriverSettings
from emf_agent.outbox import Limits, Outbox
from emf_agent.plugin import (
    Daemon,
    DaemonFault,
    FatalStartError,
    NotApplicableError,
    NotReadyError,
)
from emf_agent.registry import register_daemon
from emf_agent.sessions import SessionBook
from emf_agent.update_schedule import Quarantine
from emf_agent.wire import NodeData, SessionCreateRequest, SessionEnd

pytestmark = pytest.mark.anyio

BIG_LIMITS = Limits()


class Scripted(Daemon):
    """A daemon that does what the test says; the class remembers its instances."""

    name = "scripted"
    instances: ClassVar[list[Scripted]] = []

    def __init__(self) -> None:
        self.updates: list[float] = []
        self.stopped = False

    async def start_session(self) -> Any:
        type(self).instances.append(self)
        return await self.first()

    async def first(self) -> Any:
        return {"n": 0}

    async def update_session(self) -> Any:
        self.updates.append(anyio.current_time())
        return await self.value(len(self.updates))

    async def value(self, n: int) -> Any:
        return {"n": n}

    async def stop_session(self) -> None:
        self.stopped = True


class Bench:
    """A driver with its book and outbox, and a manager that is the test."""

    def __init__(self, kind: type[Scripted]) -> None:
        kind.instances = []
        self.kind = kind
        self.outbox = Outbox("n1", "boot", "start", new_id=lambda: "e")
        self.book = SessionBook([kind.name], now=0.0, settings=s.Rules())
        self.driver = Driver(
            register_daemon("plugin", kind),
            self.book,
            self.outbox,
            DriverSettings(
                fqdn="n1",
                state_directory=Path("/var/lib/x"),
                backoff=Backoff(first_s=4.0, floor_s=4.0, cap_s=4.0),
                quarantine=Quarantine(after=3, first_s=60.0),
                random=Random(1),
            ),
        )

    def sent(self) -> list[Any]:
        """Return what has been handed to the manager since the last look."""
        messages: list[Any] = []
        while outgoing := self.outbox.next(protocol=2, limits=BIG_LIMITS):
            messages += outgoing.envelope.messages
            self.outbox.stored()
        return messages

    def values(self) -> list[JsonValue]:
        return [message.body for message in self.sent() if isinstance(message, NodeData)]

    async def open(self, session_id: str = "one") -> None:
        """Wait for the request, and answer it."""
        await anyio.wait_all_tasks_blocked()
        assert any(isinstance(message, SessionCreateRequest) for message in self.sent())
        self.driver.handle(s.Opened(session_id))
        await anyio.wait_all_tasks_blocked()

    def health(self) -> Any:
        return self.driver.health(anyio.current_time())


@asynccontextmanager
async def running(kind: type[Scripted]) -> AsyncGenerator[Bench]:
    bench = Bench(kind)
    async with anyio.create_task_group() as tasks:
        await tasks.start(bench.driver.run)
        yield bench
        tasks.cancel_scope.cancel()


async def test_a_session_is_asked_for_at_once_and_the_start_value_is_sent() -> None:
    async with running(Scripted) as bench:
        await bench.open()

        assert bench.values() == [{"n": 0}]
        assert bench.health().session == "active"
        assert bench.health().condition == "ok"


async def test_updates_come_every_ten_seconds_without_drift() -> None:
    class Slow(Scripted):
        async def value(self, n: int) -> Any:
            await anyio.sleep(0.7)
            return {"n": n}

    async with running(Slow) as bench:
        await bench.open()
        await anyio.sleep(100)
        (instance,) = Slow.instances

        gaps = [b - a for a, b in zip(instance.updates, instance.updates[1:], strict=False)]
        assert len(instance.updates) == 10
        assert gaps == pytest.approx([10.0] * 9)


async def test_an_equal_value_is_not_sent_again() -> None:
    class Same(Scripted):
        async def value(self, n: int) -> Any:
            return {"n": 0}

    async with running(Same) as bench:
        await bench.open()
        await anyio.sleep(60)

        assert bench.values() == [{"n": 0}]


async def test_an_overrun_is_cancelled_counted_and_rescheduled() -> None:
    class Hangs(Scripted):
        async def value(self, n: int) -> Any:
            if n == 2:
                await anyio.sleep(3600)
            return {"n": n}

    async with running(Hangs) as bench:
        await bench.open()
        await anyio.sleep(35)

        assert {"n": 2} not in bench.values()
        assert bench.health().overruns == 1
        assert bench.health().condition == "ok"
        assert len(Hangs.instances) == 1


async def test_several_overruns_in_a_row_are_put_in_quarantine_and_let_out_again() -> None:
    class Hangs(Scripted):
        async def value(self, n: int) -> Any:
            if n <= 3:
                await anyio.sleep(3600)
            return {"n": n}

    async with running(Hangs) as bench:
        await bench.open()
        await anyio.sleep(45)
        health = bench.health()
        assert health.condition == "quarantined"
        assert health.overruns == 3
        await anyio.sleep(80)

        assert bench.health().condition == "ok"


async def test_a_deadline_is_measured_from_the_call() -> None:
    class JustInTime(Scripted):
        async def value(self, n: int) -> Any:
            await anyio.sleep(0.99)
            return {"n": n}

    async with running(JustInTime) as bench:
        await bench.open()
        await anyio.sleep(50)

        assert bench.health().overruns == 0


async def test_a_start_that_takes_too_long_ends_the_session_and_is_tried_again() -> None:
    class NeverStarts(Scripted):
        async def first(self) -> Any:
            await anyio.sleep(3600)

    async with running(NeverStarts) as bench:
        await bench.open("one")
        await anyio.sleep(5.1)
        (end,) = bench.sent()
        assert isinstance(end, SessionEnd)
        assert "start took longer than 5 s" in end.reason
        assert bench.health().condition == "failed"
        await anyio.sleep(4)
        await bench.open("two")

        assert len(NeverStarts.instances) == 2
        assert NeverStarts.instances[0].stopped


@pytest.mark.parametrize(
    ("error", "condition", "again"),
    [
        (NotReadyError("no device yet"), "failed", True),
        (RuntimeError("boom"), "failed", True),
        (SystemExit(3), "failed", True),
        (KeyboardInterrupt(), "failed", True),
        (RecursionError("deep"), "failed", True),
        (NotApplicableError("no disks here"), "not-applicable", False),
        (FatalStartError("no configuration"), "failed", False),
    ],
    ids=["not ready", "error", "exit", "interrupt", "recursion", "not applicable", "fatal"],
)
async def test_a_failed_start_is_tried_again_unless_that_is_useless(
    error: BaseException, condition: str, *, again: bool
) -> None:
    class Fails(Scripted):
        async def first(self) -> Any:
            raise error

    async with running(Fails) as bench:
        await bench.open()
        assert bench.health().condition == condition
        assert (str(error) or type(error).__name__) in bench.health().reason
        bench.sent()
        await anyio.sleep(3600)

        asked = [m for m in bench.sent() if isinstance(m, SessionCreateRequest)]
        assert bool(asked) is again


async def test_an_update_that_raises_ends_the_session_with_its_reason() -> None:
    class Breaks(Scripted):
        async def value(self, n: int) -> Any:
            raise ValueError("disk on fire")

    async with running(Breaks) as bench:
        await bench.open("one")
        await anyio.sleep(11)

        ends = [m for m in bench.sent() if isinstance(m, SessionEnd)]
        assert [end.reason for end in ends] == ["disk on fire"]
        assert Breaks.instances[0].stopped


async def test_a_fault_keeps_the_session_and_is_cleared_by_a_good_update() -> None:
    class Empty(Scripted):
        async def value(self, n: int) -> Any:
            if n == 1:
                raise DaemonFault("an OSS without an OST")
            return {"n": n}

    async with running(Empty) as bench:
        await bench.open()
        await anyio.sleep(10)
        assert bench.health().condition == "fault"
        assert bench.health().reason == "an OSS without an OST"
        assert bench.health().session == "active"
        await anyio.sleep(10)

        assert bench.health().condition == "ok"
        assert len(Empty.instances) == 1


async def test_what_is_not_json_ends_the_session_and_names_the_type() -> None:
    class Odd(Scripted):
        async def value(self, n: int) -> Any:
            return {"a": object()}

    async with running(Odd) as bench:
        await bench.open()
        await anyio.sleep(11)

        (end,) = [m for m in bench.sent() if isinstance(m, SessionEnd)]
        assert "not the JSON" in end.reason


async def test_a_value_too_large_for_a_message_is_a_fault_and_not_a_loop() -> None:
    class Huge(Scripted):
        async def value(self, n: int) -> Any:
            return "x" * (BIG_LIMITS.message_bytes + 1)

    async with running(Huge) as bench:
        await bench.open()
        await anyio.sleep(11)

        assert bench.health().condition == "fault"
        assert "over the limit" in bench.health().reason
        assert bench.health().session == "active"


async def test_nothing_is_sent_for_none() -> None:
    class Silent(Scripted):
        async def first(self) -> Any:
            return None

        async def value(self, n: int) -> Any:
            return None

    async with running(Silent) as bench:
        await bench.open()
        await anyio.sleep(60)

        assert bench.values() == []


async def test_a_change_is_reported_before_the_interval_is_over() -> None:
    class Watches(Scripted):
        async def watch_session(self) -> None:
            await anyio.sleep(2.5)
            self.context.wake()

    async with running(Watches) as bench:
        began = anyio.current_time()
        await bench.open()
        await anyio.sleep(2.6)

        first = Watches.instances[0].updates[0]
        assert first - began <= 2.6


async def test_a_watch_that_fails_ends_the_session() -> None:
    class Watches(Scripted):
        async def watch_session(self) -> None:
            raise OSError("socket closed")

    async with running(Watches) as bench:
        await bench.open()
        await anyio.wait_all_tasks_blocked()

        (end,) = [m for m in bench.sent() if isinstance(m, SessionEnd)]
        assert end.reason == "socket closed"


async def test_messages_are_handled_in_order_and_answered() -> None:
    class Listens(Scripted):
        async def receive(self, body: Any) -> Any:
            if body == "bad":
                raise ValueError("cannot")
            if body == "hang":
                await anyio.sleep(3600)
            return None if body == "quiet" else f"heard {body}"

    async with running(Listens) as bench:
        await bench.open()
        bench.sent()
        for body in ("a", "bad", "quiet", "hang", "b"):
            assert await bench.driver.deliver("one", body)
        await anyio.sleep(6)

        assert [value for value in bench.values() if "n" not in dict(value)] == [  # type: ignore[arg-type]
            {"Ok": "heard a"},
            {"Err": "cannot"},
            {"Err": "not handled within 5 s"},
            {"Ok": "heard b"},
        ]
        assert not await bench.driver.deliver("other", "x")


async def test_a_daemon_hears_what_the_manager_has_stored_in_order() -> None:
    heard: list[Any] = []

    class Events(Scripted):
        delivery = "every"

        async def delivered(self, payload: Any) -> None:
            heard.append(payload)

    async with running(Events) as bench:
        await bench.open()
        await anyio.sleep(25)
        assert heard == []
        sent = bench.values()
        await anyio.wait_all_tasks_blocked()

        assert heard == sent
        assert len(sent) >= 3


async def test_a_terminated_session_stops_its_instance_and_asks_again() -> None:
    async with running(Scripted) as bench:
        await bench.open("one")
        await anyio.sleep(20)
        bench.sent()
        bench.driver.handle(s.Terminated("one", "unknown session"))
        await bench.open("two")

        assert [one.stopped for one in Scripted.instances] == [True, False]
        assert bench.values() == [{"n": 0}]


async def test_a_replaced_session_stops_its_instance_before_the_new_one_begins() -> None:
    order: list[str] = []

    class Replaced(Scripted):
        async def first(self) -> Any:
            order.append("begins")

        async def stop_session(self) -> None:
            await anyio.sleep(0.5)
            order.append("stopped")

    async with running(Replaced) as bench:
        await bench.open("one")
        await anyio.sleep(20)
        bench.driver.handle(s.LinkRenewed())
        bench.driver.handle(s.Opened("two"))
        await anyio.sleep(5)

        assert order == ["begins", "stopped", "begins"]
        assert bench.book.session_of("scripted") == "two"


async def test_a_resumed_session_keeps_its_instance_and_its_numbers() -> None:
    async with running(Scripted) as bench:
        await bench.open("one")
        await anyio.sleep(15)
        last = bench.sent()[-1].session_seq
        bench.driver.handle(s.LinkRenewed())
        (request,) = bench.sent()
        assert request.resume == "one"
        bench.driver.handle(s.Opened("one"))
        await anyio.sleep(10)

        assert len(Scripted.instances) == 1
        assert [m.session_seq for m in bench.sent()] == [last + 1]


async def test_a_stopping_agent_tells_why_and_stops_the_instance() -> None:
    async with running(Scripted) as bench:
        await bench.open("one")
        bench.sent()
        bench.driver.handle(s.Stop("the agent stops"))
        await anyio.wait_all_tasks_blocked()

        (end,) = bench.sent()
        assert (end.session_id, end.reason) == ("one", "the agent stops")
        assert Scripted.instances[0].stopped


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_thread_that_cannot_be_cancelled_blocks_its_own_plugin_only() -> None:
    """In real time: a worker thread really hangs, and the test lets it go."""
    let_go = threading.Event()
    hangs = anyio.Event()

    class Stuck(Scripted):
        interval_s = 0.05
        deadline_s = 0.05

        async def value(self, n: int) -> Any:
            hangs.set()
            await anyio.to_thread.run_sync(let_go.wait)
            return {"n": n}

    class Fine(Scripted):
        name = "fine"
        interval_s = 0.05

    async with running(Stuck) as stuck, running(Fine) as fine:
        try:
            await stuck.open()
            await fine.open()
            with anyio.fail_after(30):
                await hangs.wait()
                while len(Fine.instances[0].updates) < 20:
                    await anyio.sleep(0.05)
            health = stuck.driver.health(anyio.current_time() + 60)
            assert health.condition == "stuck"
            assert health.since
            # A new session must wait for the instance that does not end: one call in flight, ever.
            stuck.driver.handle(s.Opened("two"))
            await anyio.sleep(0.1)
            assert len(Stuck.instances) == 1
        finally:
            let_go.set()
