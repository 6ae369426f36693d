"""Run a program to its end and return what it said."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Literal

import anyio

from emf_agent.command.child import Child, Pipe, start_child
from emf_agent.command.failures import CommandFailedError, CommandTimeoutError
from emf_agent.command.output import Completed, Keeper, Line, LineSplitter, Redaction, visible
from emf_agent.command.program import Argument, Call, build_call
from emf_agent.plugin.secret import Secret

__all__ = ["OUTPUT_LIMIT_BYTES", "run"]

logger = logging.getLogger(__name__)

OUTPUT_LIMIT_BYTES = 65_536
LINE_LIMIT_BYTES = 16_384


async def run(
    argv: Sequence[Argument],
    *,
    timeout_s: float | None = None,
    stdin: bytes | str | Secret | None = None,
    ok_codes: Collection[int] = (0,),
    output_limit_bytes: int = OUTPUT_LIMIT_BYTES,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] = "/",
    on_output: Callable[[Line], object] | None = None,
    secrets: Sequence[str] = (),
    grace_s: float = 5.0,
) -> Completed:
    """Run a program and return its output; cancelled or late, it goes with its whole tree.

    Args:
        argv: The program, by bare name or absolute path, and its arguments. No shell reads them;
            put ``"--"`` before operands that a caller chose. A Secret is shown as ``***``, but a
            node's users see arguments in /proc: give it on ``stdin`` where the program allows.
        timeout_s: No time of its own where None: the caller's scope bounds it.
        stdin: What the program reads; /dev/null where None.
        ok_codes: The exit codes that are no failure.
        output_limit_bytes: How much of each stream is kept at its head, and as much at its tail.
        env: Added to the fixed set (PATH, LANG, LC_ALL, HOME, TZ, EMF_COMMAND_ID).
        on_output: Called with each line as it comes, from both streams; must not block.
        secrets: Texts hidden in errors, logs, ``shown`` and lines; ``text`` and ``raw`` keep them.
        grace_s: How long the tree may tidy up between SIGTERM and SIGKILL.

    What the program leaves running when it ends well is left alone: it may have been asked to.

    Raises CommandFailedError, CommandTimeoutError, CommandNotFoundError, CommandNotStartedError,
    and CommandStuckError where processes outlived SIGKILL, even in answer to a cancellation.
    """
    call = build_call(argv, secrets)
    if isinstance(stdin, Secret):
        call = Call(call.argv, call.shown, (*call.secrets, stdin.reveal()))
        stdin = stdin.reveal()
    fed = stdin.encode() if isinstance(stdin, str) else stdin
    began = anyio.current_time()
    child = start_child(call, env=env, cwd=cwd, feeds=fed is not None)
    attempt = Attempt(child, call, output_limit_bytes, on_output)
    try:
        in_time = await attempt.follow(fed or b"", math.inf if timeout_s is None else timeout_s)
    finally:
        try:
            if not attempt.over:
                await child.stop(grace_s, call.shown[0], attempt.drain)
        finally:
            child.close()
    completed = attempt.completed(anyio.current_time() - began)
    logger.debug("command argv=%s status=%s", completed.argv, completed.status)
    if not in_time and timeout_s is not None:
        raise CommandTimeoutError(completed, timeout_s)
    if completed.returncode not in ok_codes:
        raise CommandFailedError(completed)
    return completed


class Attempt:
    """One run, while it lasts."""

    def __init__(
        self,
        child: Child,
        call: Call,
        output_limit_bytes: int,
        on_output: Callable[[Line], object] | None,
    ) -> None:
        self._child = child
        self._call = call
        self._redaction = Redaction(call.secrets)
        self._keepers = {
            child.stdout: Keeper(output_limit_bytes),
            child.stderr: Keeper(output_limit_bytes),
        }
        self._on_output = on_output
        self._trouble: Exception | None = None
        self.over = False
        """Whether the program ended by itself, and its pipes were read."""

    async def follow(self, fed: bytes, timeout_s: float) -> bool:
        """Feed, read and wait; return whether the program ended in time."""
        with anyio.move_on_after(timeout_s):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._child.feed, fed)
                async with anyio.create_task_group() as readers:
                    stop = tasks.cancel_scope.cancel
                    readers.start_soon(self._read, self._child.stdout, "stdout", stop)
                    readers.start_soon(self._read, self._child.stderr, "stderr", stop)
                    await self._child.ended()
                tasks.cancel_scope.cancel()
        if self._trouble is not None:
            raise self._trouble
        # What ended while its pipes were still read was in time.
        self.over = self._child.has_ended
        return self.over

    async def _read(
        self, pipe: Pipe, name: Literal["stdout", "stderr"], stop: Callable[[], None]
    ) -> None:
        keeper = self._keepers[pipe]
        tell = None if self._on_output is None else partial(self._tell, self._on_output, name)
        lines = LineSplitter(LINE_LIMIT_BYTES)
        try:
            while data := await pipe.read():
                keeper.add(data)
                if tell is not None:
                    tell(lines.feed(data))
            if tell is not None:
                tell(lines.finish())
        except Exception as error:  # noqa: BLE001 - the caller's callback failed; follow raises it
            self._trouble = error
            stop()

    def _tell(
        self,
        on_output: Callable[[Line], object],
        name: Literal["stdout", "stderr"],
        lines: Sequence[bytes],
    ) -> None:
        for line in lines:
            on_output(Line(name, self._redaction(visible(line))))

    async def drain(self, pipe: Pipe) -> None:
        """Keep a program's last words."""
        while data := await pipe.read():
            self._keepers[pipe].add(data)

    def completed(self, seconds: float) -> Completed:
        """Return the whole of it; only after the child was closed."""
        return Completed(
            argv=self._call.shown,
            returncode=self._child.returncode,
            stdout=self._keepers[self._child.stdout].output(self._redaction),
            stderr=self._keepers[self._child.stderr].output(self._redaction),
            seconds=seconds,
        )
