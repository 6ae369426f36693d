"""One running program: its pipes, its end, and the end of everything it started.

Built on file descriptors that the event loop watches, not on a loop's own subprocess support: that
kills the direct child only, and waits for a pipe that a daemonised grandchild holds (security,
section 9.1).
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import math
import os
import resource
import subprocess
import termios
import uuid
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread

from emf_agent.command.containment import COMMAND_TAG, Enclosure, describe_process
from emf_agent.command.failures import (
    CommandNotFoundError,
    CommandNotStartedError,
    CommandStuckError,
)
from emf_agent.command.program import Call, build_environment, find_program
from emf_agent.command.surroundings import Surroundings, surroundings

__all__ = ["Child", "Pipe", "start_child"]

T = TypeVar("T")
Ends = tuple[int, int, int]

CHUNK_BYTES = 65_536
PIPE_GRACE_S = 0.2


class Pipe:
    """The reading end of a child's stdout or stderr."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._owed: int | None = None
        self._deadline = math.inf
        self._waiting: anyio.CancelScope | None = None

    async def read(self) -> bytes:
        """Return some bytes; none at the end, or when the child is gone and its grace is over."""
        await anyio.lowlevel.checkpoint()
        while self._owed is None or self._owed > 0 or anyio.current_time() < self._deadline:
            try:
                data = os.read(self._descriptor, CHUNK_BYTES)
            except BlockingIOError:
                with anyio.CancelScope(deadline=self._deadline) as self._waiting:
                    await anyio.wait_readable(self._descriptor)
                    continue
                return b""
            if self._owed is not None:
                self._owed -= len(data)
            return data
        return b""

    def child_ended(self) -> None:
        """Read what is in the pipe now, and for a short time what grandchildren add."""
        if self._owed is not None:
            return
        size = array.array("i", [0])
        fcntl.ioctl(self._descriptor, termios.FIONREAD, size)
        self._owed = size[0]
        self._deadline = anyio.current_time() + PIPE_GRACE_S
        if self._waiting is not None:
            self._waiting.deadline = self._deadline

    def close(self) -> None:
        """Close our end: who still writes gets EPIPE."""
        os.close(self._descriptor)


class Child:
    """A started program and what holds its tree together."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        enclosure: Enclosure,
        ends: Ends,
        around: Surroundings,
    ) -> None:
        self._process = process
        self._enclosure = enclosure
        self._stdin = ends[0]
        self.stdout = Pipe(ends[1])
        self.stderr = Pipe(ends[2])
        self._watch = process_descriptor(process.pid)
        self._kill_deadline_s = around.kill_deadline_s
        self._haste = around.haste

    @property
    def pid(self) -> int:
        """Return the process id of the program."""
        return self._process.pid

    @property
    def returncode(self) -> int:
        """Return the exit code, or minus the signal that ended it; only after it has ended."""
        if self._process.returncode is not None:
            return self._process.returncode
        end = self._end()
        assert end is not None, "ended() comes first"
        return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status

    @property
    def has_ended(self) -> bool:
        """Return whether the program itself has ended."""
        return self._process.returncode is not None or self._end() is not None

    def _end(self) -> os.waitid_result | None:
        # It stays a zombie until close(): till then no stranger can get its process id, and be
        # taken for the leader of the tree.
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options)

    async def ended(self) -> None:
        """Wait for the program, not for what it has started."""
        pause_s = 0.002
        while not self.has_ended:
            if self._watch is not None:
                await anyio.wait_readable(self._watch)
            else:
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.05)
        self.stdout.child_ended()
        self.stderr.child_ended()

    async def feed(self, data: bytes) -> None:
        """Write the program's standard input and close it; one that does not read is no error."""
        view = memoryview(data)
        try:
            while view:
                try:
                    view = view[os.write(self._stdin, view[:CHUNK_BYTES]) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._stdin)
        except BrokenPipeError:
            return
        finally:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    async def stop(
        self, grace_s: float, program: str, drain: Callable[[Pipe], Coroutine[Any, Any, None]]
    ) -> None:
        """End the whole tree: SIGTERM, ``grace_s``, SIGKILL; runs to its end even if cancelled.

        ``drain`` reads a pipe to its end meanwhile: a program must not hang on its last words.
        Raises CommandStuckError with what SIGKILL did not end in time.
        """
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(drain, self.stdout)
                tasks.start_soon(drain, self.stderr)
                if grace_s > 0:
                    await self._in_thread(self._enclosure.terminate)
                    with self._haste.grace(grace_s):
                        await self._emptied()
                left: list[int] = []
                with anyio.move_on_after(self._kill_deadline_s) as limit:
                    await self._killed()
                if limit.cancelled_caught:
                    left = await self._members()
                self.stdout.child_ended()
                self.stderr.child_ended()
        if left:
            raise CommandStuckError(program, [describe_process(pid) for pid in left])

    async def _emptied(self) -> None:
        pause_s = 0.002
        while await self._members():
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)

    async def _killed(self) -> None:
        pause_s = 0.002
        while await self._members():
            await self._in_thread(self._enclosure.kill)
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)

    async def _members(self) -> list[int]:
        return list(await self._in_thread(self._enclosure.members))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        # A limit of its own: blocked actions may hold every thread of the common one.
        return await anyio.to_thread.run_sync(call, limiter=anyio.CapacityLimiter(1))

    def close(self) -> None:
        """Reap the program if it has ended, and give back descriptors and enclosure."""
        if self.has_ended:
            self._process.wait()
        self.stdout.close()
        self.stderr.close()
        self._close_stdin()
        if self._watch is not None:
            os.close(self._watch)
        self._enclosure.close()


def start_child(
    call: Call, *, env: Mapping[str, str] | None, cwd: str | os.PathLike[str], feeds: bool
) -> Child:
    """Start a program in an enclosure of its own; raises CommandNotStartedError.

    Blocks the loop for the millisecond that a start takes, as the loops' own support does.
    """
    around = surroundings()
    program = find_program(call.argv[0], around.search_path)
    command_id = uuid.uuid4().hex
    environment = {**build_environment(around.search_path, env), COMMAND_TAG: command_id}
    with contextlib.ExitStack() as undo:
        try:
            enclosure = around.containment.enclose(command_id)
            undo.callback(enclosure.close)
            with contextlib.ExitStack() as handed_over, no_core_dumps():
                ours, theirs = open_pipes(undo, handed_over, feeds=feeds)
                process = subprocess.Popen(  # noqa: S603 - a checked program, a list of arguments
                    enclosure.wrap([program, *call.argv[1:]]),
                    stdin=theirs[0],
                    stdout=theirs[1],
                    stderr=theirs[2],
                    env=environment,
                    cwd=cwd,
                    umask=0o077,
                    start_new_session=True,
                )
        except FileNotFoundError as error:
            # The program was there a moment ago: it is the directory, or a script's interpreter.
            if os.path.isdir(cwd):  # noqa: PTH112 - cwd may be any path-like
                raise CommandNotFoundError(program) from error
            raise CommandNotStartedError(program, f"no directory {os.fspath(cwd)}") from error
        except OSError as error:
            raise CommandNotStartedError.from_os(program, error) from error
        undo.pop_all()
    limit_core_dumps(process.pid)
    enclosure.opened(process.pid)
    return Child(process, enclosure, ours, around)


def open_pipes(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack, *, feeds: bool
) -> tuple[Ends, Ends]:
    """Return our ends and the child's of stdin, stdout and stderr; the stacks close them."""

    def owned(stack: contextlib.ExitStack, descriptor: int) -> int:
        stack.callback(os.close, descriptor)
        return descriptor

    def pipe() -> tuple[int, int]:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        return reading, writing

    reading, writing = pipe()
    out = owned(ours, reading), owned(theirs, writing)
    reading, writing = pipe()
    err = owned(ours, reading), owned(theirs, writing)
    if feeds:
        reading, writing = pipe()
        os.set_blocking(writing, False)
        fed = owned(ours, writing), owned(theirs, reading)
    else:
        fed = -1, owned(theirs, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    return (fed[0], out[0], err[0]), (fed[1], out[1], err[1])


@contextlib.contextmanager
def no_core_dumps() -> Generator[None, None, None]:
    """Let a child inherit a core limit of 0 without code between fork and exec.

    The limit is the whole process's, for the length of one start, and only lowered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def limit_core_dumps(pid: int) -> None:
    """Take the child's right to raise its core limit again."""
    with contextlib.suppress(OSError):
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


def process_descriptor(pid: int) -> int | None:
    """Return a descriptor that is readable when the process ends; None before Linux 5.3."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
