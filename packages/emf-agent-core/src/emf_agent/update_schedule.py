"""The rules of one instance's updates: when the next is due, and when it is put in quarantine.

A fixed rate without drift (W-A11): due moments are ``phase + n * interval``; a node's phase is its
own and stable, so that a fleet does not report in step. Time is an argument.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

__all__ = ["Quarantine", "Schedule", "phase_s"]


def phase_s(fqdn: str, daemon: str, interval_s: float) -> float:
    """Return this node's offset within the interval: stable, and spread over a fleet."""
    digest = hashlib.sha256(f"{fqdn}/{daemon}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * interval_s


@dataclass(frozen=True)
class Quarantine:
    """Growing pauses for a daemon that overruns its deadline several times in a row."""

    after: int = 3
    """Overruns in a row until the first pause."""
    first_s: float = 30.0
    cap_s: float = 600.0

    def pause_s(self, overruns: int) -> float:
        """Return the pause after this many overruns in a row; 0 while there is none."""
        if overruns < self.after:
            return 0.0
        return min(self.cap_s, self.first_s * 2.0 ** min(overruns - self.after, 30))


@dataclass(frozen=True)
class Schedule:
    """When the next update is due, and how the last ones went."""

    interval_s: float
    phase_s: float
    quarantine: Quarantine
    due: float
    last: float
    """When the last update ended, or the instance began."""
    overruns: int = 0
    """Overruns in a row."""

    @classmethod
    def begin(
        cls, interval_s: float, phase_s: float, quarantine: Quarantine, now: float
    ) -> Schedule:
        """Return the schedule of an instance that has just started."""
        fresh = cls(interval_s, phase_s, quarantine, due=now, last=now)
        return replace(fresh, due=fresh.slot_after(now))

    def slot_after(self, moment: float) -> float:
        """Return the first regular moment after ``moment``."""
        n = math.floor((moment - self.phase_s) / self.interval_s) + 1
        slot = self.phase_s + n * self.interval_s
        return slot if slot > moment else slot + self.interval_s

    @property
    def quarantined(self) -> bool:
        """Tell whether the next update stands behind a pause."""
        return self.quarantine.pause_s(self.overruns) > 0

    def updated(self, now: float) -> Schedule:
        """Return the schedule after an update that was in time."""
        return replace(self, due=self.slot_after(now), last=now, overruns=0)

    def overran(self, now: float) -> Schedule:
        """Return the schedule after an update that was cancelled at its deadline."""
        overruns = self.overruns + 1
        pause_s = self.quarantine.pause_s(overruns)
        return replace(self, due=self.slot_after(now + pause_s), last=now, overruns=overruns)

    def wanted_now(self, now: float) -> Schedule:
        """Return the schedule after the daemon saw a change.

        A burst of changes costs one update a tenth of the interval, and a quarantine is not cut
        short.
        """
        if self.quarantined:
            return self
        soon = max(now, self.last + self.interval_s / 10)
        return replace(self, due=min(self.due, soon))
