"""What waits between the journal and the manager: bounded, in order, with drops counted. Sans-IO.

What is old is paced, what is live is dropped: after an outage the past is read at the permitted
rate, and the journal keeps what waits; in a storm the present is thinned out, or it would become
the past faster than it can be sent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from emf_plugins_host.journal_entries import DAEMON_FACILITY, Entry

__all__ = ["Batch", "Intake", "JournalSettings"]

LIVE_S = 30.0
OVERHEAD_BYTES = 128


class JournalSettings(BaseModel):
    """The table ``[plugin."host.journal"]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entries_per_second: float = Field(default=500.0, gt=0)
    """Entries that are sent in the long run; live ones beyond that are dropped and counted."""
    burst_entries: int = Field(default=5000, ge=1)
    """Entries that may come at once."""
    first_entries: int = Field(default=1000, ge=0)
    """Old entries that a node sends which never sent any."""
    batch_entries: int = Field(default=1000, ge=1)
    batch_bytes: int = Field(default=256 * 1024, ge=1024)
    least_priority: Literal[0, 1, 2, 3, 4, 5, 6, 7] = 7
    """Entries less urgent than that (7 is debug) are not read."""


@dataclass(frozen=True)
class Batch:
    """Entries that go out together, and where the journal is to be read on from after them."""

    entries: tuple[Entry, ...]
    cursor: str


class Intake:
    """Takes entries as they are read, and gives batches."""

    def __init__(self, settings: JournalSettings) -> None:
        self._settings = settings
        self._waiting: deque[Entry] = deque()
        self._tokens = float(settings.burst_entries)
        self._refilled_at: float | None = None
        self._dropped = 0
        self._last_dropped: Entry | None = None

    @property
    def is_full(self) -> bool:
        """Tell whether reading should wait until a batch was taken."""
        return len(self._waiting) >= 2 * self._settings.batch_entries

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to send."""
        return not self._waiting and self._last_dropped is None

    def offer(self, entry: Entry, *, now: float, wall_clock: float) -> float:
        """Take an entry; returns the seconds to wait before offering it again, 0 if it was taken.

        ``now`` is the loop's clock, ``wall_clock`` the seconds since 1970.
        """
        self._refill(now)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            self._say_dropped()
            self._waiting.append(entry)
            return 0.0
        if wall_clock - entry.seconds > LIVE_S:
            return (1.0 - self._tokens) / self._settings.entries_per_second
        self._dropped += 1
        self._last_dropped = entry
        return 0.0

    def _refill(self, now: float) -> None:
        if self._refilled_at is not None:
            passed_s = max(0.0, now - self._refilled_at)
            earned = passed_s * self._settings.entries_per_second
            self._tokens = min(float(self._settings.burst_entries), self._tokens + earned)
        self._refilled_at = now

    def _say_dropped(self) -> None:
        """Put a line in the place of what was dropped."""
        last = self._last_dropped
        if last is None:
            return
        self._waiting.append(
            Entry(
                cursor=last.cursor,
                seconds=last.seconds,
                nanoseconds=last.nanoseconds,
                severity="Warning",
                facility=DAEMON_FACILITY,
                source="emf-agent",
                message=f"{self._dropped} journal entries were left out: more than "
                f"{self._settings.entries_per_second:g} a second",
            )
        )
        self._dropped, self._last_dropped = 0, None

    def take(self) -> Batch | None:
        """Return the next entries, as many as fit into a batch; None where there are none."""
        if not self._waiting:
            self._say_dropped()
        taken: list[Entry] = []
        size = 0
        while self._waiting and len(taken) < self._settings.batch_entries:
            size += len(self._waiting[0].message) + OVERHEAD_BYTES
            if taken and size > self._settings.batch_bytes:
                break
            taken.append(self._waiting.popleft())
        return Batch(tuple(taken), taken[-1].cursor) if taken else None
