"""The event stream: told once each, in order, resumed, and never held up by a slow reader."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from starlette.types import Message

from emf_manager.api import event_stream
from emf_manager.api.event_stream import EventStream
from emf_manager.bus import Bus
from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import FakeEngine
from tests.manager.api.in_memory import StreamedBody

pytestmark = pytest.mark.anyio

THOUSAND = 1000
LONG_S = 3600
"""In virtual time: an hour costs nothing, and nothing takes that long unless it hangs."""


class Reader:
    """One open stream, read message by message."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._text = ""

    async def block(self) -> dict[str, str]:
        """Return the fields of the next message, comments and retry hints too."""
        with anyio.fail_after(LONG_S):
            while "\n\n" not in self._text:
                try:
                    self._text += (await self._pieces.__anext__()).decode()
                except StopAsyncIteration:
                    return {"end": self._text}
        block, _, self._text = self._text.partition("\n\n")
        pairs = [line.partition(":") for line in block.split("\n")]
        return {name: value.strip() for name, _, value in pairs}

    async def event(self) -> tuple[int | None, str, Any]:
        """Return number, kind and data of the next event."""
        while "data" not in (fields := await self.block()):
            assert "end" not in fields, "the stream ended"
        number = int(fields["id"]) if "id" in fields else None
        return number, fields["event"], json.loads(fields["data"])


@asynccontextmanager
async def opened(desk: Desk, query: str = "", **headers: str) -> AsyncIterator[Reader]:
    request = httpx.Request(
        "GET",
        f"http://manager.example.com/api/v1/events/stream{query}",
        headers={"Authorization": "Bearer viewer-token", **headers},
    )
    answer = await desk.transport.handle_async_request(request)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert isinstance(answer.stream, StreamedBody)
    try:
        reader = Reader(answer.stream.__aiter__())
        assert "retry" in await reader.block()
        yield reader
    finally:
        await answer.stream.aclose()


async def test_what_happens_from_now_on_is_told(desk: Desk) -> None:
    desk.engine.happen("node.online", "oss01.example.com")
    async with opened(desk) as reader:
        desk.engine.happen("node.silent", "oss02.example.com", reason="no contact")

        number, kind, data = await reader.event()

    assert (number, kind) == (2, "node.silent")
    assert data["node"] == "oss02.example.com"
    assert data["body"] == {"reason": "no contact"}
    assert data["sequence"] == 2


async def test_a_reader_that_comes_back_gets_what_it_missed_once_and_in_order(desk: Desk) -> None:
    for count in range(1, 1201):
        desk.engine.happen("tick", n=count)
    engine = desk.engine
    engine.on_subscribe = partial(engine.happen, "tick", n=1201)
    async with opened(desk, **{"Last-Event-ID": "100"}) as reader:
        told = [(await reader.event())[0] for _ in range(1101)]
        engine.happen("tick", n=1202)
        told.append((await reader.event())[0])

    assert told == list(range(101, 1203))


async def test_after_works_as_last_event_id_does_and_the_header_wins(desk: Desk) -> None:
    for number in range(1, 6):
        desk.engine.happen("tick", n=number)

    async with opened(desk, "?after=3") as reader:
        assert (await reader.event())[0] == 4
    async with opened(desk, "?after=1", **{"Last-Event-ID": "4"}) as reader:
        assert (await reader.event())[0] == 5


async def test_events_no_longer_kept_are_owned_up_to(desk: Desk) -> None:
    for count in range(1, 11):
        desk.engine.happen("tick", n=count)
    desk.engine.forgotten = 6

    async with opened(desk, "?after=2") as reader:
        number, kind, data = await reader.event()
        assert (number, kind) == (6, "gap")
        assert (data["first"], data["last"]) == (3, 6)
        assert (await reader.event())[0] == 7


async def test_a_number_from_another_life_of_the_manager_is_a_gap(desk: Desk) -> None:
    desk.engine.happen("tick")

    async with opened(desk, "?after=99") as reader:
        assert (await reader.event())[:2] == (1, "gap")
        desk.engine.happen("tick")
        assert (await reader.event())[0] == 2


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("kind=node.silent", [3, 5]),
        ("node=oss02.example.com", [2, 4, 5]),
        ("kind=node.silent&node=oss01.example.com", [3]),
    ],
)
async def test_events_are_filtered_and_keep_their_numbers(
    desk: Desk, query: str, told: list[int]
) -> None:
    desk.engine.happen("node.online", "oss01.example.com")
    desk.engine.happen("node.online", "oss02.example.com")
    desk.engine.happen("node.silent", "oss01.example.com")
    desk.engine.happen("data", "oss02.example.com")
    desk.engine.happen("node.silent", "oss02.example.com")

    async with opened(desk, f"?after=0&{query}") as reader:
        assert [(await reader.event())[0] for _ in told] == told
    listed = (await desk.call("GET", f"events?{query}")).json()["items"]
    assert [event["sequence"] for event in listed] == told


async def test_a_job_is_followed_with_the_silence_of_its_nodes(desk: Desk) -> None:
    body = {"nodes": "oss01", "action": "start_unit", "args": {"unit": "x"}}
    job = (await desk.call("POST", "jobs", json=body)).json()["id"]
    async with opened(desk, f"?job={job}") as reader:
        desk.engine.happen("node.silent", "oss02.example.com")
        desk.engine.happen("node.silent", "oss01.example.com")
        desk.engine.happen("job.target", "oss01.example.com", job="job-0000")
        desk.engine.move(job, "oss01.example.com", outcome="ok")

        assert (await reader.event())[0:2] == (2, "node.silent")
        assert (await reader.event())[0:2] == (4, "job.target")


async def test_a_job_that_is_none_cannot_be_followed(desk: Desk) -> None:
    assert (await desk.call("GET", "events/stream?job=nothing")).status_code == 404


@pytest.mark.parametrize("bad", ["-1", "x", "1.5", "9" * 30])
async def test_a_bad_last_event_id_is_refused(desk: Desk, bad: str) -> None:
    answer = await desk.call("GET", "events/stream", headers={"Last-Event-ID": bad})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "header.Last-Event-ID"


async def test_a_quiet_stream_has_a_heartbeat(desk: Desk) -> None:
    async with opened(desk) as reader:
        start = anyio.current_time()

        assert await reader.block() == {"": "alive"}
        assert await reader.block() == {"": "alive"}

        assert anyio.current_time() - start == pytest.approx(2 * event_stream.HEARTBEAT_S)


async def test_a_stream_ends_in_time_so_that_its_reader_is_looked_at_again(desk: Desk) -> None:
    start = anyio.current_time()
    async with opened(desk) as reader:
        number, kind, _ = await reader.event()
        assert (number, kind) == (None, "resume")
        while "end" not in (fields := await reader.block()):
            assert fields == {"": "alive"}
    assert anyio.current_time() - start == pytest.approx(event_stream.LASTS_S, abs=1)


async def test_the_stream_ends_when_the_manager_shuts_down(desk: Desk) -> None:
    async with opened(desk) as reader:
        start = anyio.current_time()
        desk.engine.bus.close()

        assert await reader.block() == {"end": ""}
        assert anyio.current_time() - start < 1


async def test_a_reader_that_leaves_is_forgotten(desk: Desk) -> None:
    async with opened(desk):
        assert len(desk.engine.bus) == 1
    with anyio.fail_after(LONG_S):
        while len(desk.engine.bus):
            await anyio.sleep(0.01)


class Stuck:
    """A connection whose far side takes nothing until it is told to go on."""

    def __init__(self, *, after: int) -> None:
        self.sent: list[bytes] = []
        self.go_on = anyio.Event()
        self._after = after

    async def send(self, message: Message) -> None:
        if len(self.sent) >= self._after:
            await self.go_on.wait()
        self.sent.append(message.get("body", b""))

    async def receive(self) -> Message:
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_slow_reader_is_cut_off_and_told_to_resume() -> None:
    engine = FakeEngine()
    stuck = Stuck(after=2)
    stream = EventStream(engine, after=None, wanted=lambda event: True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream, {"type": "http"}, stuck.receive, stuck.send)
        await anyio.wait_all_tasks_blocked()
        for number in range(200):
            engine.happen("tick", n=number)
        stuck.go_on.set()

    assert engine.bus.cut_off == 1
    assert b"event: resume" in stuck.sent[-2]
    assert b"id:" not in stuck.sent[-2], "it comes back after the last event it was told"


async def test_a_reader_that_takes_nothing_at_all_is_let_go() -> None:
    engine = FakeEngine()
    stuck = Stuck(after=2)
    stream = EventStream(engine, after=None, wanted=lambda event: True)
    start = anyio.current_time()
    engine.on_subscribe = partial(engine.happen, "tick")

    await stream({"type": "http"}, stuck.receive, stuck.send)

    assert anyio.current_time() - start <= 2 * event_stream.SEND_S
    assert len(engine.bus) == 0


async def test_too_many_streams_are_refused_not_piled_up(desk: Desk) -> None:
    desk.engine.bus._limit = 0

    answer = await desk.call("GET", "events/stream")

    assert answer.status_code == 503
    assert answer.json()["type"].endswith(":busy")


@pytest.mark.slow(reason="a thousand streams are three thousand tasks")
async def test_a_thousand_streams_are_told_and_one_slow_reader_holds_up_none() -> None:
    engine = FakeEngine()
    engine.bus = Bus(queue=4)
    readers = [Stuck(after=1000) for _ in range(THOUSAND - 1)]
    slow = Stuck(after=2)
    async with anyio.create_task_group() as tasks:
        for reader in [slow, *readers]:
            stream = EventStream(engine, after=None, wanted=lambda event: True)
            tasks.start_soon(stream, {"type": "http"}, reader.receive, reader.send)
        await anyio.sleep(1)
        assert len(engine.bus) == THOUSAND
        for number in range(1, 9):
            engine.happen("tick", n=number)
            await anyio.sleep(0.1)

        assert engine.bus.cut_off == 1
        assert all(b"id: 8\n" in reader.sent[-1] for reader in readers)
        slow.go_on.set()
        await anyio.sleep(0.1)
        assert b"event: resume" in slow.sent[-2]
        engine.bus.close()


async def test_stored_events_are_listed_page_by_page(desk: Desk) -> None:
    for number in range(1, 1301):
        desk.engine.happen("rare" if number % 600 == 0 else "tick", n=number)

    first = (await desk.call("GET", "events?limit=1000")).json()
    second = (await desk.call("GET", f"events?limit=1000&cursor={first['next']}")).json()
    rare = (await desk.call("GET", "events?kind=rare")).json()

    told = [event["sequence"] for event in first["items"] + second["items"]]
    assert told == list(range(1, 1301))
    assert second["next"] is None
    assert [event["sequence"] for event in rare["items"]] == [600, 1200]
    assert rare["next"] is None
