"""Read a program's output line by line while it runs: journals that are followed, long listings."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio

from emf_agent.command.child import Child, Pipe, start_child
from emf_agent.command.failures import CommandFailedError
from emf_agent.command.output import Completed, Keeper, LineSplitter, Output, Redaction, visible
from emf_agent.command.program import Argument, Call, build_call

__all__ = ["CommandStream", "open_command"]

STDERR_LIMIT_BYTES = 16_384


class Lines:
    """Iterates over lines; no generator, so that a loop may be left without closing it."""

    def __init__(self, pipe: Pipe, splitter: LineSplitter) -> None:
        self._pipe = pipe
        self._splitter = splitter
        self._whole: deque[bytes] = deque()

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        while not self._whole:
            data = await self._pipe.read()
            self._whole.extend(self._splitter.feed(data) if data else self._splitter.finish())
            if not data and not self._whole:
                raise StopAsyncIteration
        return visible(self._whole.popleft())


class CommandStream:
    """A running program whose standard output is read by the caller, at the caller's pace.

    A caller that reads slowly slows the program down: nothing piles up in between.
    """

    def __init__(self, child: Child, call: Call, line_limit_bytes: int) -> None:
        self._child = child
        self._call = call
        self._redaction = Redaction(call.secrets)
        self._splitter = LineSplitter(line_limit_bytes)
        self._stderr = Keeper(STDERR_LIMIT_BYTES)
        self._errors_read = anyio.Event()
        self._began = anyio.current_time()

    @property
    def pid(self) -> int:
        """Return the process id of the program."""
        return self._child.pid

    @property
    def cut_lines(self) -> int:
        """Return how many lines were longer than the limit, and lost their end."""
        return self._splitter.cut_lines

    async def read(self) -> bytes:
        """Return the next bytes of standard output, undecoded; none at its end."""
        return await self._child.stdout.read()

    def lines(self) -> Lines:
        """Return an iterator over the lines of standard output, without their ends."""
        return Lines(self._child.stdout, self._splitter)

    async def finished(self, ok_codes: Collection[int] = (0,)) -> Completed:
        """Wait for the end and return it, with what went to standard error and no ``stdout``.

        Output that was not read is thrown away. Raises CommandFailedError.
        """
        await throw_away(self._child.stdout)
        await self._errors_read.wait()
        completed = Completed(
            argv=self._call.shown,
            returncode=self._child.returncode,
            stdout=Output(),
            stderr=self._stderr.output(self._redaction),
            seconds=anyio.current_time() - self._began,
        )
        if completed.returncode not in ok_codes:
            raise CommandFailedError(completed)
        return completed

    async def watch(self) -> None:
        """Keep standard error and notice the end; the owner of the stream runs this."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_errors)
            await self._child.ended()
        self._errors_read.set()

    async def _keep_errors(self) -> None:
        while data := await self._child.stderr.read():
            self._stderr.add(data)


async def throw_away(pipe: Pipe) -> None:
    """Read a pipe that nobody wants any more."""
    while await pipe.read():
        pass


@asynccontextmanager
async def open_command(
    argv: Sequence[Argument],
    *,
    line_limit_bytes: int = 1024 * 1024,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] = "/",
    secrets: Sequence[str] = (),
    grace_s: float = 5.0,
) -> AsyncGenerator[CommandStream, None]:
    """Start a program whose output is read with ``stream.lines()``.

    Its whole process tree is gone when the ``async with`` is left, however that happens; lines
    longer than ``line_limit_bytes`` lose their end and are counted. The other arguments, and what
    is raised, are those of :func:`emf_agent.command.run`.
    """
    call = build_call(argv, secrets)
    child = start_child(call, env=env, cwd=cwd, feeds=False)
    stream = CommandStream(child, call, line_limit_bytes)
    trouble: Exception | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.watch)
            try:
                yield stream
            except Exception as error:  # noqa: BLE001 - raised below, outside the task group
                trouble = error
            tasks.cancel_scope.cancel()
        if trouble is not None:
            raise trouble
    finally:
        try:
            await child.stop(0.0 if child.has_ended else grace_s, call.shown[0], throw_away)
        finally:
            child.close()
