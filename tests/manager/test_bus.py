"""The bus: everyone hears what is published, nobody can slow the publisher down."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest
from anyio.abc import TaskStatus

from emf_agent.errors import RefusedError
from emf_manager.bus import Bus, Subscription, TooSlowError

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Event:
    sequence: int
    node: str = "oss1"


async def drain(events: Subscription[Event], into: list[int]) -> None:
    async for event in events:
        into.append(event.sequence)  # noqa: PERF401 - what came before an error counts too


async def test_every_subscriber_hears_what_is_published_after_it_came() -> None:
    bus: Bus[Event] = Bus()
    bus.publish(Event(1))
    with bus.subscribe(after=1) as one, bus.subscribe(after=1) as two:
        bus.publish(Event(2))
        bus.publish(Event(3))
        bus.close()

        assert [event.sequence async for event in one] == [2, 3]
        assert [event.sequence async for event in two] == [2, 3]


async def test_a_slow_subscriber_is_cut_off_and_told_where_to_resume() -> None:
    bus: Bus[Event] = Bus(queue=3)
    with bus.subscribe(after=10) as slow, bus.subscribe(after=10) as other:
        for sequence in range(11, 20):
            bus.publish(Event(sequence))
        heard: list[int] = []
        with pytest.raises(TooSlowError) as cut:
            await drain(slow, heard)

        assert heard == [11, 12, 13]
        assert cut.value.resume_after == 13
        assert bus.cut_off == 2
        assert len(bus) == 0
        del other


async def test_one_that_was_cut_off_before_it_read_anything_resumes_where_it_came_in() -> None:
    bus: Bus[Event] = Bus(queue=0)
    with bus.subscribe(after=7) as slow:
        bus.publish(Event(8))
        with pytest.raises(TooSlowError) as cut:
            _ = [event async for event in slow]

    assert cut.value.resume_after == 7


async def test_only_what_is_wanted_is_queued() -> None:
    bus: Bus[Event] = Bus(queue=1)
    with bus.subscribe(after=0, wanted=lambda event: event.node == "mds1") as mds:
        for sequence in range(1, 9):
            bus.publish(Event(sequence))
        bus.publish(Event(9, node="mds1"))
        bus.close()

        assert [event.sequence async for event in mds] == [9]


async def test_leaving_ends_the_subscription() -> None:
    bus: Bus[Event] = Bus()
    with bus.subscribe(after=0):
        assert len(bus) == 1

    assert len(bus) == 0
    bus.publish(Event(1))


async def test_a_waiting_reader_ends_when_the_bus_closes() -> None:
    bus: Bus[Event] = Bus()
    heard: list[int] = []

    async def read(*, task_status: TaskStatus[None]) -> None:
        with bus.subscribe(after=0) as events:
            task_status.started()
            heard.extend([event.sequence async for event in events])

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await tasks.start(read)
            bus.publish(Event(1))
            bus.close()

    assert heard == [1]
    with bus.subscribe(after=1) as late:
        assert [event async for event in late] == []


async def test_too_many_subscribers_are_refused() -> None:
    bus: Bus[Event] = Bus(limit=1)
    with bus.subscribe(after=0), pytest.raises(RefusedError, match="1 event streams"):
        bus.subscribe(after=0).__enter__()
