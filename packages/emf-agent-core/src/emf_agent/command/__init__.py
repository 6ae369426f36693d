"""The one way to start a program, for plugins and core alike. The public face of the room.

:func:`run` waits for a program and returns its output; :func:`open_command` reads a long output
line by line. Arguments are a list, never a shell's string; the environment is built, not
inherited; a cancelled or late program goes with its whole process tree. Called from an ``async
def``; a ``def`` action reaches it with ``anyio.from_thread.run``.
"""

from emf_agent.command.containment import (
    CgroupContainment,
    Containment,
    SessionContainment,
    choose_containment,
)
from emf_agent.command.failures import (
    CommandFailedError,
    CommandNotFoundError,
    CommandNotStartedError,
    CommandStuckError,
    CommandTimeoutError,
    OutputTruncatedError,
    StuckProcess,
)
from emf_agent.command.output import Completed, Line, Output
from emf_agent.command.program import FIXED_PATH, Argument
from emf_agent.command.running import run
from emf_agent.command.streaming import CommandStream, open_command
from emf_agent.command.surroundings import PROGRAM_PATH_VARIABLE, Surroundings, surroundings

__all__ = [
    "FIXED_PATH",
    "PROGRAM_PATH_VARIABLE",
    "Argument",
    "CgroupContainment",
    "CommandFailedError",
    "CommandNotFoundError",
    "CommandNotStartedError",
    "CommandStream",
    "CommandStuckError",
    "CommandTimeoutError",
    "Completed",
    "Containment",
    "Line",
    "Output",
    "OutputTruncatedError",
    "SessionContainment",
    "StuckProcess",
    "Surroundings",
    "choose_containment",
    "open_command",
    "run",
    "surroundings",
]
