"""Notices, from an OS thread, that the event loop does not turn, and says whose call holds it.

A blocking call in a plugin stops everything on the loop, this agent's own timers included; only
another thread can tell (P11, R25). It also ends a shutdown that takes too long.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import anyio

__all__ = ["StallWatch"]

logger = logging.getLogger(__name__)

BEAT_S = 1.0
LOOK_EVERY_S = 0.5


class StallWatch:
    """Beats on the loop, watches from a thread."""

    def __init__(self, *, threshold_s: float = 0.5, on_beat: Callable[[], object] | None = None):
        self._threshold_s = threshold_s
        self._on_beat = on_beat
        self._last_beat = time.monotonic()
        self._loop_thread = threading.get_ident()
        self._over = threading.Event()
        self.longest_s = 0.0
        self.stalled_by: str | None = None

    async def run(self) -> None:
        """Beat once a second while a thread watches; ends when cancelled."""
        self._loop_thread = threading.get_ident()
        self._last_beat = time.monotonic()
        thread = threading.Thread(target=self._watch, name="stall watch", daemon=True)
        thread.start()
        try:
            while True:
                await anyio.sleep(BEAT_S)
                self._last_beat = time.monotonic()
                if self._on_beat is not None:
                    self._on_beat()
        finally:
            self._over.set()

    def look(self) -> str | None:
        """Return who holds the loop now, or None while it turns."""
        late_s = time.monotonic() - self._last_beat - BEAT_S
        if late_s < self._threshold_s:
            return None
        frame = sys._current_frames().get(self._loop_thread)
        owner = owner_of(frame)
        if late_s > self.longest_s:
            self.longest_s = round(late_s, 3)
            self.stalled_by = owner or "the agent itself"
        return owner or "the agent itself"

    def _watch(self) -> None:
        told = False
        while not self._over.wait(LOOK_EVERY_S):
            owner = self.look()
            if owner is not None and not told:
                logger.warning("the event loop does not turn: blocked by %s", owner)
            told = owner is not None


def owner_of(frame: FrameType | None) -> str | None:
    """Return the plugin whose call a stack is inside of.

    The callers of plugin code keep its name in a local variable ``stall_owner``.
    """
    while frame is not None:
        owner = frame.f_locals.get("stall_owner")
        if isinstance(owner, str):
            return owner
        frame = frame.f_back
    return None
