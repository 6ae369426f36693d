"""Alerts over the real engine and the real store, with time that moves when told to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from pydantic import JsonValue

from emf_manager.alert_book import LOOK_EVERY_S, PAUSE_S, AlertBook, open_alerts
from emf_manager.alerts import rules
from emf_manager.alerts.conditions import Room
from emf_manager.alerts.rules import CALM_S
from emf_manager.alerts.values import Alert
from emf_manager.bus import Bus
from emf_manager.records import NewEvent
from emf_manager.store.alert_rows import AlertFilter, AlertStore, AlertsWritten
from emf_manager.store.interface import Changes, StoreFullError
from emf_manager.views import NotFoundError
from tests.manager.engine_bench import FQDN, Agent, Bench, manager

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The store has a thread, so the loop keeps real time; the manager's clock is a fake."""
    return "asyncio"


@dataclass
class Disk:
    free: int = 50

    def room(self) -> Room:
        return Room("/var/lib/emf-manager", 100, self.free)


class Fillable:
    """The store of alerts, whose disk can be full."""

    def __init__(self, real: AlertStore) -> None:
        self.real = real
        self.full = False
        self.refused = 0

    async def write(self, *new: Any, **more: Any) -> AlertsWritten:
        if self.full:
            self.refused += 1
            raise StoreFullError("the test's disk")
        return await self.real.write(*new, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@dataclass
class Scene:
    bench: Bench
    book: AlertBook
    disk: Disk
    store: Fillable
    agent: Agent = field(init=False)

    def __post_init__(self) -> None:
        self.agent = Agent(self.bench)

    async def alerts(self, state: Any = "current") -> tuple[Alert, ...]:
        return await self.book.listed(AlertFilter(state=state), before=None, limit=100)

    async def until(self, *kinds: str, state: Any = "current") -> tuple[Alert, ...]:
        """Wait until exactly these kinds are there, and the book has ended its turn."""
        with anyio.fail_after(30):
            while True:
                found = await self.alerts(state)
                if sorted(alert.key.kind for alert in found) == sorted(kinds):
                    async with self.book._turn:
                        return found
                await anyio.sleep(0.001)

    async def turned(self, kind: str, entry: type[rules.Entry], node: str | None = FQDN) -> None:
        """Wait until the watch has this entry for a kind: it has heard, and waits for time."""
        with anyio.fail_after(30):
            while not any(
                key.kind == kind and isinstance(each, entry)
                for key, each in self.book.watched(node).entries.items()
            ):
                await anyio.sleep(0.001)

    async def report(self, **more: Any) -> None:
        """Have the agent describe itself."""
        session = await self.agent.open("agent")
        said = {"plugins": [], "health": {"daemons": []}, **more}
        assert (await self.agent.say("agent", session, said)).status_code == 202


@asynccontextmanager
async def watched(bench: Bench, disk: Disk | None = None) -> AsyncGenerator[Scene, None]:
    disk = disk or Disk()
    store = Fillable(bench.store.alerts)
    async with open_alerts(
        cast(AlertStore, store), bench.store, bench.engine, clock=bench.clock, room=disk.room
    ) as book:
        yield Scene(bench, book, disk, store)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench, None]:
    async with manager(tmp_path / "manager.db") as running:
        yield running


@pytest.fixture
async def scene(bench: Bench) -> AsyncGenerator[Scene, None]:
    async with watched(bench) as scene:
        yield scene


async def events_of(bench: Bench) -> list[tuple[str, Any]]:
    events = await bench.store.events()
    return [
        (event.kind, event.body["kind"])
        for event in events
        if event.kind.startswith("alert.") and isinstance(event.body, dict)
    ]


async def test_a_silent_node_is_raised_acknowledged_and_cleared(scene: Scene) -> None:
    await scene.agent.open("host")
    scene.bench.clock.advance(61)
    (alert,) = await scene.until("node.silent")
    assert (alert.key.node, alert.severity, alert.state) == (FQDN, "critical", "open")
    assert scene.book.counts() == {FQDN: 1}

    seen = await scene.book.acknowledge(alert.id, by="maria", note="on my way")
    assert (seen.state, seen.acknowledged and seen.acknowledged.note) == (
        "acknowledged",
        "on my way",
    )
    assert scene.book.counts() == {}

    await scene.agent.post()
    await scene.turned("node.silent", rules.Leaving)
    scene.bench.clock.advance(CALM_S)
    await scene.until()
    (cleared,) = await scene.alerts("cleared")
    assert cleared.id == alert.id
    assert await events_of(scene.bench) == [
        ("alert.raised", "node.silent"),
        ("alert.acknowledged", "node.silent"),
        ("alert.cleared", "node.silent"),
    ]


async def test_two_who_acknowledge_at_once_leave_one_name(scene: Scene) -> None:
    await scene.agent.open("host")
    scene.bench.clock.advance(61)
    (alert,) = await scene.until("node.silent")
    told: list[Alert] = []

    async def acknowledge(who: str) -> None:
        told.append(await scene.book.acknowledge(alert.id, by=who, note=who))

    async with anyio.create_task_group() as tasks:
        for who in ("maria", "ann"):
            tasks.start_soon(acknowledge, who)

    assert len({each.acknowledged for each in told}) == 1
    assert [kind for kind, _ in await events_of(scene.bench)].count("alert.acknowledged") == 1


async def test_an_alert_that_is_not_there_is_named(scene: Scene) -> None:
    with pytest.raises(NotFoundError, match="alert '99'"):
        await scene.book.acknowledge(99, by="maria", note="")
    with pytest.raises(NotFoundError, match="alert '99'"):
        await scene.book.find(99)


async def test_what_the_agent_reports_is_raised_and_cleared(scene: Scene) -> None:
    stuck = {"name": "host", "session": "active", "condition": "stuck", "reason": "a dead mount"}
    await scene.report(health={"daemons": [stuck]}, clock_offset_s=400.0)
    await scene.turned("daemon.stuck", rules.Waiting)
    scene.bench.clock.advance(59)
    await scene.until("daemon.stuck")
    scene.bench.clock.advance(1)
    await scene.until("daemon.stuck", "clock.skew")

    await scene.report()
    await scene.turned("daemon.stuck", rules.Leaving)
    scene.bench.clock.advance(CALM_S)

    await scene.until()


async def test_what_happened_ends_with_its_acknowledgement(scene: Scene) -> None:
    conflict: JsonValue = {"action_id": "a.0", "job": "a", "first": "ok", "outcome": "failed"}
    written = await scene.bench.store.record(
        Changes(events=(NewEvent(1.0, "job.conflict", FQDN, conflict),))
    )
    scene.bench.engine.seats.announce(written.events)
    (alert,) = await scene.until("job.conflict")
    assert alert.key.subject == "a.0"

    ended = await scene.book.acknowledge(alert.id, by="maria", note="looked at")

    assert ended.state == "cleared"
    await scene.until()


async def test_a_killed_manager_misses_nothing_and_tells_nothing_twice(bench: Bench) -> None:
    async with watched(bench) as scene:
        await scene.agent.open("host")
        bench.clock.advance(61)
        (alert,) = await scene.until("node.silent")
    gap = NewEvent(1.0, "data.gap", FQDN, {"daemon": "host", "first": 3, "last": 4})
    await bench.store.record(Changes(events=(gap,)))  # the book is not there to hear of it

    for _ in range(2):
        await bench.restart()
        async with watched(bench) as scene:
            found = await scene.until("node.silent", "data.lost")
            assert alert.id in {each.id for each in found}

    assert sorted(await events_of(bench)) == [
        ("alert.raised", "data.lost"),
        ("alert.raised", "node.silent"),
    ]


async def test_what_ended_while_the_manager_was_away_is_cleared_at_its_start(bench: Bench) -> None:
    async with watched(bench) as scene:
        scene.disk.free = 1
        bench.clock.advance(LOOK_EVERY_S)
        await scene.until("store.filling")
    await bench.restart()
    async with watched(bench) as scene:
        await scene.turned("store.filling", rules.Leaving, None)
        bench.clock.advance(CALM_S)
        await scene.until()


async def test_a_certificate_that_was_not_renewed_is_told(scene: Scene) -> None:
    await scene.agent.open("host")
    scene.bench.clock.advance(86400 * 5 / 6 + 1)

    found = await scene.until("node.silent", "certificate.ending")

    assert all(alert.key.node == FQDN for alert in found)


async def test_a_removed_node_has_no_alerts(scene: Scene) -> None:
    await scene.agent.open("host")
    scene.bench.clock.advance(61)
    await scene.until("node.silent")

    await scene.bench.engine.remove_node(FQDN, requester="maria", reason="gone")

    await scene.until()
    assert scene.book.counts() == {}


async def test_where_event_streams_are_all_taken_alerts_come_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bench.engine, "subscribe", Bus(limit=0).subscribe)
        async with watched(bench) as scene:
            await anyio.wait_all_tasks_blocked()
            patch.undo()
            await bench.store.record(Changes(events=(NewEvent(1.0, "job.conflict", FQDN, {}),)))
            bench.clock.advance(PAUSE_S)
            await scene.until("job.conflict")


async def test_a_full_store_delays_an_alert_and_loses_none(scene: Scene) -> None:
    await scene.agent.open("host")
    scene.store.full = True
    scene.bench.clock.advance(61)
    await scene.bench.until(lambda: scene.store.refused)
    assert await scene.alerts() == ()

    scene.store.full = False
    scene.bench.clock.advance(10)

    await scene.until("node.silent")
