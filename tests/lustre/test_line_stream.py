"""Streams of lines: in order, once each, whatever the manager does; in virtual time."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emf_agent.errors import ManagerRefusedError, ManagerUnreachableError
from emf_plugins_lustre.mailboxes.line_stream import CHUNK_LINES, LineStream, chunks_of
from emf_plugins_lustre.mailboxes.sender import (
    Address,
    ChunkTooLargeError,
    StreamRewoundError,
    UnknownMailboxError,
)
from tests.lustre.mailbox_fakes import FakeMailboxes

MAILBOX = Address("mailbox", "mb1")


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


@given(st.lists(st.binary(max_size=40)))
def test_chunks_are_all_lines_in_order(lines: list[bytes]) -> None:
    assert [line for chunk in chunks_of(lines) for line in chunk] == lines


def test_chunks_are_bounded_in_count_and_size() -> None:
    assert [len(chunk) for chunk in chunks_of(numbered(2500))] == [1000, 1000, 500]
    big = b"x" * (700 * 1024)
    assert [len(chunk) for chunk in chunks_of([big, big, b"y"])] == [1, 2]


@pytest.mark.anyio
async def test_offsets_count_the_lines_of_the_stream() -> None:
    manager = FakeMailboxes()
    stream = LineStream(manager, MAILBOX)
    await stream.send(numbered(1500))
    await stream.send(numbered(10, 1500))
    await stream.finish()
    assert [chunk.offset for _, chunk in manager.chunks] == [0, 1000, 1500, 1510]
    assert manager.lines["mailbox mb1"] == numbered(1510)
    assert len(manager.ends) == 1
    assert stream.delivered == 1510


@pytest.mark.anyio
async def test_a_lost_answer_does_not_store_twice() -> None:
    manager = FakeMailboxes(failures=["lost answer"])
    await LineStream(manager, MAILBOX).send(numbered(5))
    assert manager.lines["mailbox mb1"] == numbered(5)
    assert len(manager.chunks) == 2


@pytest.mark.anyio
async def test_a_chunk_taken_in_part_is_gone_on_with() -> None:
    manager = FakeMailboxes(most_stored=300)
    await LineStream(manager, MAILBOX).send(numbered(CHUNK_LINES))
    assert manager.lines["mailbox mb1"] == numbered(CHUNK_LINES)
    assert [len(chunk.lines) for _, chunk in manager.chunks] == [1000, 700, 400, 100]


@pytest.mark.anyio
async def test_a_manager_that_has_more_is_not_sent_it_again() -> None:
    manager = FakeMailboxes()
    await LineStream(manager, MAILBOX, stream_id="s").send(numbered(1200))
    manager.chunks.clear()
    again = LineStream(manager, MAILBOX, stream_id="s")
    await again.send(numbered(1000))
    await again.send(numbered(600, 1000))
    assert manager.lines["mailbox mb1"] == numbered(1600)
    assert sum(len(chunk.lines) for _, chunk in manager.chunks) == 1000 + 400


@pytest.mark.anyio
async def test_a_manager_that_has_less_than_was_acknowledged_is_an_error_with_the_place() -> None:
    manager = FakeMailboxes()
    stream = LineStream(manager, MAILBOX)
    await stream.send(numbered(5))
    manager.forget()
    with pytest.raises(StreamRewoundError, match="has only 0 lines") as caught:
        await stream.send(numbered(5, 5))
    assert caught.value.offset == 0


@pytest.mark.anyio
async def test_a_manager_that_is_away_is_tried_again_with_growing_pauses() -> None:
    away = [ManagerUnreachableError("https://m", "away")] * 8
    manager = FakeMailboxes(failures=[*away])
    began = anyio.current_time()
    await LineStream(manager, MAILBOX).send(numbered(1))
    assert 0.5 * (0.5 * 2**7 - 0.5) < anyio.current_time() - began < 8 * 30
    assert manager.lines["mailbox mb1"] == numbered(1)


@pytest.mark.anyio
async def test_patience_ends() -> None:
    manager = FakeMailboxes(away=True)
    began = anyio.current_time()
    with pytest.raises(ManagerUnreachableError):
        await LineStream(manager, MAILBOX, patience_s=60).send(numbered(1))
    assert 30 <= anyio.current_time() - began <= 60


@pytest.mark.anyio
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(UnknownMailboxError(MAILBOX), id="unknown"),
        pytest.param(ManagerRefusedError("https://m", 403, "no"), id="refused"),
    ],
)
async def test_a_no_is_not_tried_again(error: UnknownMailboxError | ManagerRefusedError) -> None:
    manager = FakeMailboxes(failures=[error])
    with pytest.raises(type(error)):
        await LineStream(manager, MAILBOX).send(numbered(1))
    assert len(manager.chunks) == 1


@pytest.mark.anyio
async def test_a_chunk_that_is_too_large_is_halved() -> None:
    manager = FakeMailboxes(failures=[ChunkTooLargeError("large"), ChunkTooLargeError("large")])
    await LineStream(manager, MAILBOX).send(numbered(8))
    assert [len(chunk.lines) for _, chunk in manager.chunks] == [8, 4, 2, 6]
    assert manager.lines["mailbox mb1"] == numbered(8)


@pytest.mark.anyio
async def test_a_line_that_is_too_large_alone_is_an_error() -> None:
    manager = FakeMailboxes(failures=[ChunkTooLargeError("large")])
    with pytest.raises(ChunkTooLargeError):
        await LineStream(manager, MAILBOX).send(numbered(1))


@pytest.mark.anyio
async def test_an_older_manager_is_sent_no_empty_end() -> None:
    manager = FakeMailboxes(knows_streams=False)
    stream = LineStream(manager, MAILBOX)
    await stream.send(numbered(3))
    await stream.finish()
    assert len(manager.chunks) == 1


steps = st.lists(st.sampled_from(["ok", "lost answer", "away"]), max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.lists(st.integers(0, 1500), max_size=5), st.integers(1, 700))
def test_whatever_goes_wrong_every_line_is_stored_once_in_order(
    steps: list[str], sizes: list[int], most: int
) -> None:
    away = ManagerUnreachableError("https://m", "away")
    failures = [away if step == "away" else step for step in steps if step != "ok"]
    manager = FakeMailboxes(failures=[*failures], most_stored=most)

    async def main() -> None:
        stream = LineStream(manager, MAILBOX)
        sent = 0
        for size in sizes:
            await stream.send(numbered(size, sent))
            sent += size
        assert manager.lines.get("mailbox mb1", []) == numbered(sent)

    trio_testing = pytest.importorskip("trio.testing")
    clock = trio_testing.MockClock(autojump_threshold=0)
    anyio.run(main, backend="trio", backend_options={"clock": clock})
