"""Where time enters the manager: a monotonic clock, a wall clock, and a bounded wait."""

from __future__ import annotations

import math
import time
from typing import Protocol

import anyio

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What the engine asks the time of; durations never come from the wall clock (REL13)."""

    def now(self) -> float:
        """Return monotonic seconds."""
        ...

    def wall(self) -> float:
        """Return seconds since the epoch."""
        ...

    async def wait(self, event: anyio.Event, until: float | None) -> bool:
        """Wait for an event, at most until a monotonic moment; tell whether it came."""
        ...


class SystemClock:
    """The real time, of the running event loop and of the machine."""

    def now(self) -> float:
        """Return monotonic seconds."""
        return anyio.current_time()

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    async def wait(self, event: anyio.Event, until: float | None) -> bool:
        """Wait for an event, at most until a monotonic moment; tell whether it came."""
        with anyio.CancelScope(deadline=math.inf if until is None else until):
            await event.wait()
        return event.is_set()
