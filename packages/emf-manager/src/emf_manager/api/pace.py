"""How much one caller may ask: token buckets over a bounded number of callers; no clock inside.

A caller may ask ``burst`` times at once and ``per_s`` times a second in the long run. Whoever has
asked for nothing lately is forgotten: its bucket is full again, so that forgetting changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from emf_manager.identity.wrong_tries import network

__all__ = ["Buckets", "Limiter", "Pace", "Rate"]

REMEMBERED = 10_000


@dataclass(frozen=True)
class Rate:
    """What one caller may ask."""

    per_s: float
    burst: int


class Buckets:
    """One bucket for each caller; times are monotonic seconds."""

    def __init__(self, rate: Rate, *, remembered: int = REMEMBERED) -> None:
        self.rate = rate
        self._remembered = remembered
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By caller: what was left, and when; who asked last stands last."""

    def __len__(self) -> int:
        return len(self._left)

    def wait_s(self, caller: str, now: float) -> float:
        """Return how long this caller has to wait before it may ask; 0 when it may."""
        missing = 1.0 - self._now_left(caller, now)
        return max(0.0, missing / self.rate.per_s)

    def take(self, caller: str, now: float) -> float:
        """Count a request, and return 0; or return how long to wait, and count nothing."""
        left = self._now_left(caller, now)
        wait_s = max(0.0, (1.0 - left) / self.rate.per_s)
        if wait_s == 0.0:
            self._left[caller] = (left - 1.0, now)
            self._left.move_to_end(caller)
            self._forget(now)
        return wait_s

    def _now_left(self, caller: str, now: float) -> float:
        left, at = self._left.get(caller, (float(self.rate.burst), now))
        return min(float(self.rate.burst), left + max(0.0, now - at) * self.rate.per_s)

    def _forget(self, now: float) -> None:
        """Drop who has waited long enough to be full, and the oldest where there are too many."""
        full_s = self.rate.burst / self.rate.per_s
        while self._left:
            caller, (_, at) = next(iter(self._left.items()))
            if now - at < full_s and len(self._left) <= self._remembered:
                return
            del self._left[caller]


@dataclass(frozen=True)
class Pace:
    """The limits of the API; generous: they are for what runs wild, not for people."""

    callers: Rate = Rate(per_s=50.0, burst=500)
    """Requests of one token, or of one login of the page; event streams do not count."""
    strangers: Rate = Rate(per_s=1.0, burst=60)
    """Requests of one address that show no valid token."""


@dataclass
class Limiter:
    """Who has asked how much; one per API."""

    pace: Pace = field(default_factory=Pace)
    callers: Buckets = field(init=False)
    strangers: Buckets = field(init=False)

    def __post_init__(self) -> None:
        self.callers = Buckets(self.pace.callers)
        self.strangers = Buckets(self.pace.strangers)

    def stranger_wait_s(self, address: str, now: float) -> float:
        """Return how long an address has to wait that was wrong too often; counts nothing."""
        return self.strangers.wait_s(network(address), now)

    def count_stranger(self, address: str, now: float) -> None:
        """Count a request without a valid credential."""
        self.strangers.take(network(address), now)

    def caller_wait_s(self, token_id: str, now: float) -> float:
        """Count a request of a known caller; return how long to wait where it is one too many."""
        return self.callers.take(token_id, now)
