"""Reads that the kernel may never answer: each in a thread of its own, and never waited for.

A mount whose server is gone, or a sensor behind a dead bus, holds the thread that asks. That thread
cannot be ended; so it is left behind, counted once, and said to be stuck since when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

__all__ = ["Answer", "Failed", "Probe", "Stuck", "Threads", "TooManyStuck"]

T = TypeVar("T")

MOST_THREADS = 64
MOST_STUCK = 32


@dataclass(frozen=True)
class Answer(Generic[T]):
    """The read came back."""

    value: T


@dataclass(frozen=True)
class Failed:
    """The read came back with an error."""

    why: str


@dataclass(frozen=True)
class Stuck:
    """The read has not come back."""

    since: datetime


@dataclass(frozen=True)
class TooManyStuck:
    """So many reads hang already that no thread is risked for another one."""


class Threads:
    """The threads that probes share; make one where the plugin is wired, for all its sessions."""

    def __init__(self) -> None:
        self.limiter = anyio.CapacityLimiter(MOST_THREADS)
        """Bounds them, apart from the threads of everybody else."""
        self.stuck = 0


class Probe(Generic[T]):
    """One blocking read; keep the instance for as long as the thing it reads is there."""

    def __init__(self, read: Callable[[], T], threads: Threads) -> None:
        self._read = read
        self._threads = threads
        self._since: datetime | None = None
        self._counted = False
        self._result: Answer[T] | Failed | None = None

    async def within(self, seconds: float) -> Answer[T] | Failed | Stuck | TooManyStuck:
        """Return what the read said, or since when it hangs; after ``seconds`` at the latest."""
        if self._since is None:
            if self._threads.stuck >= MOST_STUCK:
                return TooManyStuck()
            self._since = datetime.now(timezone.utc)
            self._result = None
            with anyio.move_on_after(seconds):
                await anyio.to_thread.run_sync(
                    self._in_thread, abandon_on_cancel=True, limiter=self._threads.limiter
                )
        result = self._result
        if result is None:
            if not self._counted:
                self._counted = True
                self._threads.stuck += 1
            return Stuck(self._since)
        self._since = None
        if self._counted:
            self._counted = False
            self._threads.stuck -= 1
        return result

    def _in_thread(self) -> None:
        """Read; what came late is taken by the next call."""
        try:
            self._result = Answer(self._read())
        except OSError as error:
            self._result = Failed(error.strerror or str(error))
        except Exception as error:  # noqa: BLE001 - else it would count as stuck for ever
            self._result = Failed(f"{type(error).__name__}: {error}")
