"""The retry schedule: exponential, with full jitter, a pure function of the attempt."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

__all__ = ["Backoff"]


@dataclass(frozen=True)
class Backoff:
    """Waits before the n-th repetition: anything between ``floor_s`` and a doubling ceiling.

    Full jitter keeps a fleet that lost its manager from coming back in step.
    """

    first_s: float = 1.0
    """Ceiling of the first wait."""
    cap_s: float = 60.0
    """Ceiling of every wait."""
    floor_s: float = 0.1

    def ceiling_s(self, attempt: int) -> float:
        """Return the longest wait before repetition ``attempt``, counted from 0."""
        return min(self.cap_s, self.first_s * 2.0 ** min(attempt, 60))

    def wait_s(self, attempt: int, random: Random) -> float:
        """Return a wait in seconds before repetition ``attempt``, counted from 0."""
        return max(self.floor_s, random.uniform(0.0, self.ceiling_s(attempt)))
