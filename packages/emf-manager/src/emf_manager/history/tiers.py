"""How coarse history is, and for how long it is kept. Pure.

Values are written as they came; later each tier is made from the one below it, when that one has
all that it will get of a span.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["TIERS", "Tier", "choose", "complete_until", "kept_for"]

WRITTEN_LATE_S = 120.0


@dataclass(frozen=True)
class Tier:
    """One of them."""

    step: int
    """Seconds a bucket; 0 where each value is one."""
    block_s: float
    """What one row of the store covers."""
    keep_s: float


TIERS = (
    Tier(step=0, block_s=300.0, keep_s=2 * 3600.0),
    Tier(step=60, block_s=1800.0, keep_s=86400.0),
    Tier(step=600, block_s=6 * 3600.0, keep_s=30 * 86400.0),
)


def kept_for(seconds: float) -> tuple[Tier, ...]:
    """Return the tiers of a history that is kept for so long, a day at least."""
    *finer, coarsest = TIERS
    return (*finer, replace(coarsest, keep_s=max(seconds, finer[-1].keep_s)))


def choose(tiers: Sequence[Tier], *, step: float, age_s: float) -> int:
    """Return which tier answers: the coarsest that is fine enough and old enough.

    Where none of those that are fine enough reaches back so far, a coarser one answers.
    """
    place = max(at for at, tier in enumerate(tiers) if tier.step <= step or at == 0)
    while age_s > tiers[place].keep_s and place + 1 < len(tiers):
        place += 1
    return place


def complete_until(tiers: Sequence[Tier], place: int, now: float) -> float:
    """Return up to when a tier can be made from the one below it, at whole blocks."""
    late = sum(tier.block_s + WRITTEN_LATE_S for tier in tiers[:place])
    block_s = tiers[place].block_s
    return math.floor((now - late) / block_s) * block_s
