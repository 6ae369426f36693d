"""How a command can fail; the texts follow the ancestor's display forms (wire protocol, 5.1)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emf_agent.errors import CommandError

if TYPE_CHECKING:
    from emf_agent.command.output import Completed

__all__ = [
    "CommandFailedError",
    "CommandNotFoundError",
    "CommandNotStartedError",
    "CommandStuckError",
    "CommandTimeoutError",
    "OutputTruncatedError",
    "StuckProcess",
]


class CommandNotStartedError(CommandError):
    """The program could not be started; ``why`` says what the system, or our check, said."""

    def __init__(self, program: str, why: str) -> None:
        super().__init__(f"{program}: {why}")
        self.program = program
        self.why = why

    @classmethod
    def from_os(cls, program: str, error: OSError) -> CommandNotStartedError:
        """Return the error for what the system answered to the start."""
        number = error.errno or 0
        return cls(program, f"{os.strerror(number)} (os error {number})")


class CommandNotFoundError(CommandNotStartedError):
    """There is no such program on this node."""

    def __init__(self, program: str, searched: Sequence[str] = ()) -> None:
        why = "No such file or directory (os error 2)"
        super().__init__(program, f"{why}, looked in {':'.join(searched)}" if searched else why)


class CommandFailedError(CommandError):
    """The program ended with a status that is not one of ``ok_codes``.

    The text is ``exit code: 2, stdout: ..., stderr: ...`` or ``signal: 9, stdout: ...``.
    """

    def __init__(self, completed: Completed) -> None:
        super().__init__(
            f"{completed.status}, stdout: {completed.stdout.excerpt()},"
            f" stderr: {completed.stderr.excerpt()}"
        )
        self.completed = completed


class CommandTimeoutError(CommandError):
    """The program ran out of time, and is gone with all that it had started."""

    def __init__(self, completed: Completed, timeout_s: float) -> None:
        super().__init__(
            f"{completed.argv[0]}: timed out after {timeout_s:g} s,"
            f" stdout: {completed.stdout.excerpt()}, stderr: {completed.stderr.excerpt()}"
        )
        self.completed = completed
        self.timeout_s = timeout_s


@dataclass(frozen=True)
class StuckProcess:
    """A process that SIGKILL did not end, and the kernel function it waits in."""

    pid: int
    name: str
    state: str
    wchan: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid}, state {self.state}, in {self.wchan})"


class CommandStuckError(CommandError):
    """Processes outlived SIGKILL: they sit in the kernel, most often on a hung mount."""

    def __init__(self, program: str, processes: Sequence[StuckProcess]) -> None:
        listed = ", ".join(map(str, processes))
        super().__init__(f"{program} could not be stopped: {listed}")
        self.processes = tuple(processes)


class OutputTruncatedError(CommandError):
    """A program said more than was kept, and its whole text was asked for."""

    def __init__(self, omitted: int) -> None:
        super().__init__(
            f"{omitted} bytes in the middle of the output were not kept;"
            " raise output_limit_bytes or read it with open_command"
        )
        self.omitted = omitted
