"""The stream of one value: the newest always, nothing twice, and no reader holds up another."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest

from emf_manager import views as v
from emf_manager.api import event_stream
from emf_manager.api.data_stream import DataStream
from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import NOW, FakeEngine
from tests.manager.api.in_memory import StreamedBody
from tests.manager.api.test_event_stream import LONG_S, Reader, Stuck

pytestmark = pytest.mark.anyio

NODE = "oss01.example.com"


def says(engine: FakeEngine, sequence: int, value: Any, *, stale: bool = False) -> None:
    """Have the daemon ``host`` of a node say something."""
    view = v.DataView(NODE, "host", "s-1", sequence, NOW, 0.0, stale, value)
    engine.values[NODE, "host"] = view
    engine.watch.wake(NODE, "host")


@asynccontextmanager
async def opened(desk: Desk, **headers: str) -> AsyncIterator[Reader]:
    request = httpx.Request(
        "GET",
        f"http://manager.example.com/api/v1/data/{NODE}/host/stream",
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


async def told(reader: Reader) -> tuple[str, str, Any]:
    """Return id, kind and data of the next event."""
    while "data" not in (fields := await reader.block()):
        assert "end" not in fields, "the stream ended"
    return fields.get("id", ""), fields["event"], json.loads(fields["data"])


async def test_the_value_is_told_at_once_and_whenever_it_has_changed(desk: Desk) -> None:
    says(desk.engine, 1, {"load": 1})
    async with opened(desk) as reader:
        number, kind, item = await told(reader)
        assert (number, kind, item["value"]) == ("s-1:1", "value", {"load": 1})

        says(desk.engine, 2, {"load": 2})
        number, _, item = await told(reader)
        assert (number, item["sequence"], item["value"]) == ("s-1:2", 2, {"load": 2})


async def test_a_reader_that_has_the_value_is_told_the_next_one_only(desk: Desk) -> None:
    says(desk.engine, 7, "old")
    async with opened(desk, **{"Last-Event-ID": "s-1:7"}) as reader:
        says(desk.engine, 8, "new")
        assert (await told(reader))[2]["value"] == "new"


async def test_a_session_that_ends_is_told_with_the_value_it_leaves(desk: Desk) -> None:
    says(desk.engine, 1, "last words")
    async with opened(desk) as reader:
        await told(reader)
        desk.engine.values[NODE, "host"] = replace(desk.engine.values[NODE, "host"], stale=True)
        desk.engine.watch.wake(NODE, "host")

        assert (await told(reader))[2]["stale"] is True


async def test_a_node_that_is_removed_ends_the_stream_with_a_word(desk: Desk) -> None:
    says(desk.engine, 1, "here")
    async with opened(desk) as reader:
        await told(reader)
        del desk.engine.values[NODE, "host"]
        desk.engine.watch.wake(NODE, "host")

        assert (await told(reader))[1] == "gone"
        assert "end" in await reader.block()


async def test_a_quiet_value_has_a_heartbeat(desk: Desk) -> None:
    says(desk.engine, 1, "still")
    start = anyio.current_time()
    async with opened(desk) as reader:
        await told(reader)
        assert await reader.block() == {"": "alive"}
    assert anyio.current_time() - start == pytest.approx(event_stream.HEARTBEAT_S, abs=1)


async def test_a_stream_ends_in_time_so_that_its_reader_is_looked_at_again(desk: Desk) -> None:
    says(desk.engine, 1, "still")
    async with opened(desk) as reader:
        assert [(await told(reader))[1] for _ in range(2)] == ["value", "resume"]
        assert "end" in await reader.block()


async def test_the_stream_ends_with_the_manager(desk: Desk) -> None:
    says(desk.engine, 1, "still")
    async with opened(desk) as reader:
        await told(reader)
        desk.engine.watch.close()
        assert "end" in await reader.block()


async def test_a_slow_reader_gets_the_newest_value_and_not_those_between() -> None:
    engine, stuck = FakeEngine(), Stuck(after=2)
    says(engine, 0, 0)
    stream = DataStream(engine, NODE, "host", seen=None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream, {"type": "http"}, stuck.receive, stuck.send)
        await anyio.wait_all_tasks_blocked()
        for number in range(1, 200):
            says(engine, number, number)
        stuck.go_on.set()
        await anyio.wait_all_tasks_blocked()
        engine.watch.close()

    values = [json.loads(s.split(b"data: ")[1])["value"] for s in stuck.sent if b"data: " in s]
    assert values == [0, 199]
    assert len(engine.watch) == 0


async def test_a_reader_that_takes_nothing_at_all_is_let_go() -> None:
    engine, stuck = FakeEngine(), Stuck(after=2)
    says(engine, 0, 0)
    start = anyio.current_time()

    await DataStream(engine, NODE, "host", seen=None)({}, stuck.receive, stuck.send)

    assert anyio.current_time() - start <= 2 * event_stream.SEND_S
    assert len(engine.watch) == 0


async def test_too_many_streams_are_refused_not_piled_up(desk: Desk) -> None:
    says(desk.engine, 1, 1)
    desk.engine.watch._limit = 0

    answer = await desk.call("GET", f"data/{NODE}/host/stream")

    assert answer.status_code == 503
    assert answer.json()["type"].endswith(":busy")


@pytest.mark.parametrize(("node", "daemon"), [("oss1.example.com", "host"), (NODE, "hots")])
async def test_a_value_that_is_none_is_named(desk: Desk, node: str, daemon: str) -> None:
    says(desk.engine, 1, 1)

    with anyio.fail_after(LONG_S):
        answer = await desk.call("GET", f"data/{node}/{daemon}/stream")

    assert answer.status_code == 404
    assert "did you mean" in answer.json()["detail"]
