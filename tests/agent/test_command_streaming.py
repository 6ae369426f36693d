"""Long outputs are read line by line, at the reader's pace, and end with their reader."""

from __future__ import annotations

import itertools
import os

import anyio
import pytest

from emf_agent.command import CommandFailedError, CommandNotFoundError, open_command
from emf_agent.command.child import Pipe
from emf_agent.command.containment import process_lives, process_stat

pytestmark = pytest.mark.anyio

LONG_S = 60.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Real time: real processes take part."""
    return str(request.param)


async def test_every_line_comes_in_order_whatever_the_size() -> None:
    numbers = itertools.count(1)
    async with open_command(["seq", "200000"]) as stream:
        async for line in stream.lines():
            assert line == str(next(numbers))
        done = await stream.finished()
    assert next(numbers) == 200_001
    assert done.returncode == 0


async def test_a_slow_reader_slows_the_program_down() -> None:
    async with open_command(["yes"], grace_s=0.0) as stream:
        assert await stream.read()
        # A pipe's worth at most was written ahead: the program waits, it does not spin.
        with anyio.fail_after(LONG_S):
            while not waits_in_pipe(stream.pid):
                await anyio.sleep(0.001)


def waits_in_pipe(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] == "S"


async def test_a_follower_gets_lines_before_the_program_ends() -> None:
    with anyio.fail_after(LONG_S):
        async with open_command(["sh", "-c", "echo one; exec sleep 600"]) as stream:
            assert await stream.lines().__anext__() == "one"
            assert process_lives(stream.pid)
    assert not process_lives(stream.pid)


async def test_a_failure_is_raised_when_the_end_is_asked_for() -> None:
    async with open_command(["sh", "-c", "echo out; echo broken >&2; exit 4"]) as stream:
        assert [line async for line in stream.lines()] == ["out"]
        with pytest.raises(CommandFailedError, match=r"^exit code: 4, stdout: , stderr: broken\n$"):
            await stream.finished()


async def test_an_error_in_the_body_comes_out_as_it_was_raised() -> None:
    async def fail() -> None:
        async with open_command(["sh", "-c", "exit 4"]) as stream:
            await stream.finished()

    with pytest.raises(CommandFailedError):
        await fail()


async def test_the_process_id_stays_taken_until_the_stream_is_left() -> None:
    async with open_command(["sh", "-c", "kill -9 $$"]) as stream:
        assert (await stream.finished(ok_codes=(-9,))).status == "signal: 9"
        leader = process_stat(stream.pid)
        assert leader is not None
        assert leader.state == "Z"
    assert process_stat(stream.pid) is None


async def test_output_that_nobody_read_does_not_hold_up_the_end() -> None:
    with anyio.fail_after(LONG_S):
        async with open_command(["head", "-c", "1000000", "/dev/zero"]) as stream:
            assert (await stream.finished()).returncode == 0


async def test_much_on_standard_error_does_not_hold_up_the_lines() -> None:
    script = "head -c 1000000 /dev/zero >&2; echo done"
    with anyio.fail_after(LONG_S):
        async with open_command(["sh", "-c", script]) as stream:
            assert [line async for line in stream.lines()] == ["done"]
            done = await stream.finished()
    assert done.stderr.size_bytes == 1_000_000


async def test_a_line_without_end_is_cut_and_counted() -> None:
    script = "head -c 1000000 /dev/zero; echo; echo next"
    async with open_command(["sh", "-c", script], line_limit_bytes=10) as stream:
        lines = [line async for line in stream.lines()]
    assert lines == [r"\x00" * 10, "next"]
    assert stream.cut_lines == 1


async def test_a_daemonised_grandchild_does_not_hold_the_lines() -> None:
    with anyio.fail_after(LONG_S):
        async with open_command(["sh", "-c", "setsid sleep 600 & echo $!"]) as stream:
            [pid] = [line async for line in stream.lines()]
    assert not process_lives(int(pid))


async def test_a_late_reader_gets_all_that_was_written_before_the_end() -> None:
    script = "head -c 60000 /dev/zero; sleep 600 &"
    with anyio.fail_after(LONG_S):
        async with open_command(["sh", "-c", script]) as stream:
            # The grandchild holds both pipes: this is set when the time for them is over.
            await stream._errors_read.wait()
            size = 0
            while data := await stream.read():
                size += len(data)
    assert size == 60_000


async def test_each_read_lets_others_run_even_if_bytes_are_there() -> None:
    reading, writing = os.pipe()
    pipe = Pipe(reading)
    os.write(writing, b"there")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await pipe.read()
    assert scope.cancelled_caught
    assert await pipe.read() == b"there"
    os.close(writing)
    assert await pipe.read() == b""
    pipe.close()


async def test_what_cannot_be_started_is_raised_at_once() -> None:
    with pytest.raises(CommandNotFoundError):
        async with open_command(["no-such-program"]):
            pytest.fail("nothing was started")


async def test_cancel_ends_a_stream() -> None:
    with anyio.fail_after(LONG_S), anyio.CancelScope() as scope:
        async with open_command(["sh", "-c", "echo one; exec sleep 600"]) as stream:
            async for _ in stream.lines():
                scope.cancel()
    assert scope.cancelled_caught
    assert not process_lives(stream.pid)
