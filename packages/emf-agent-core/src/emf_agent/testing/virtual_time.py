"""An asyncio loop on virtual time: waiting costs nothing, and nothing is flaky."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

__all__ = ["VirtualTimeLoop"]

REAL_WAIT_S = 30.0


class AdvancingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timeout, adds it to the loop's clock.

    A wait without a timeout is for another thread, and real; it is bounded, so that a test that
    waits for what never comes fails instead of hanging.
    """

    def __init__(self) -> None:
        super().__init__()
        self.advanced_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready; if nothing is, let the timeout pass at once."""
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            ready = super().select(REAL_WAIT_S)
            if not ready:
                raise RuntimeError("nothing left to wait for: the test would hang")
            return ready
        self.advanced_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs coroutines as fast as they can; ``sleep(3600)`` ends at once, an hour later.

    Not for code that waits for threads or sockets together with timers: use real time there.
    """

    def __init__(self) -> None:
        self._advancing = AdvancingSelector()
        super().__init__(self._advancing)

    def time(self) -> float:
        """Return the virtual clock, in seconds."""
        return self._advancing.advanced_s
