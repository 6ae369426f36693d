"""What all commands of an agent share: where programs are, and how process trees are held.

Not an argument of every call: a plugin does not choose it. The agent enters its surroundings once
around its main task group, and all its tasks inherit them; a simulated node enters its own.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import anyio

from emf_agent.command.containment import Containment, SessionContainment
from emf_agent.command.program import FIXED_PATH

__all__ = ["PROGRAM_PATH_VARIABLE", "Haste", "Surroundings", "surroundings"]

PROGRAM_PATH_VARIABLE = "EMF_AGENT_PROGRAM_PATH"

_entered: ContextVar[Surroundings] = ContextVar("emf_agent.command.surroundings")


def default_search_path() -> tuple[str, ...]:
    """Return the fixed path, or the directories that ``EMF_AGENT_PROGRAM_PATH`` names instead.

    Separated by colons; it is how a test or a simulated node puts programs of its own in place.
    """
    named = os.environ.get(PROGRAM_PATH_VARIABLE, "")
    return tuple(part for part in named.split(":") if part.startswith("/")) or FIXED_PATH


class Haste:
    """Whether the agent ends, and process trees get no more time to tidy up."""

    def __init__(self) -> None:
        self._due = False
        self._graces: set[anyio.CancelScope] = set()

    def begin(self) -> None:
        """End the time of those that have some, and give none to those that come."""
        self._due = True
        for scope in self._graces:
            scope.cancel()

    @contextmanager
    def grace(self, seconds: float) -> Generator[None, None, None]:
        """Bound what waits for a tree that was asked to end."""
        with anyio.move_on_after(0 if self._due else seconds) as scope:
            self._graces.add(scope)
            try:
                yield
            finally:
                self._graces.discard(scope)


@dataclass(frozen=True)
class Surroundings:
    """Where bare program names are looked up, and what holds a process tree together.

    A process that has not gone ``kill_deadline_s`` after SIGKILL is given up as stuck. The agent
    begins the ``haste`` when it ends.
    """

    search_path: tuple[str, ...] = field(default_factory=default_search_path)
    containment: Containment = field(default_factory=SessionContainment)
    kill_deadline_s: float = 2.0
    haste: Haste = field(default_factory=Haste, repr=False, compare=False)

    @contextmanager
    def entered(self) -> Generator[Surroundings, None, None]:
        """Let every command within the ``with``, and the tasks started in it, use these."""
        token = _entered.set(self)
        try:
            yield self
        finally:
            _entered.reset(token)


def surroundings() -> Surroundings:
    """Return those entered; else the default ones of this moment."""
    return _entered.get(None) or Surroundings()
