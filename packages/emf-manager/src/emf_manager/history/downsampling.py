"""Many samples become few buckets, and a counter becomes rates. Pure: time is an argument.

A bucket has a weight: how many samples of a gauge it stands for, or how many seconds of a counter.
Merging keeps weight, sum (weight times mean), lowest and highest, whatever the order and however
the samples are grouped. A counter that is smaller than before began anew: that step has no rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["LONGEST_STEP_S", "Bucket", "Point", "gauge", "merge", "rate", "resample", "step_for"]

LONGEST_STEP_S = 900.0
"""Two samples of a counter that are further apart say nothing about the time between."""
SHORTEST_S = 0.1
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
DAY_S = 86400


class Bucket(NamedTuple):
    """What is kept of the samples in a span of time; a counter's are rates per second."""

    weight: float
    mean: float
    low: float
    high: float
    last: float


class Point(NamedTuple):
    """A bucket, and when its span began."""

    at: float
    bucket: Bucket


def gauge(value: float) -> Bucket:
    """Return a sample of a gauge."""
    return Bucket(1.0, value, value, value, value)


def rate(before: float, value: float, seconds: float) -> Bucket | None:
    """Return what a counter did between two samples; None where that cannot be known.

    It cannot after a reset, over too long a time, and where time did not pass.
    """
    if value < before or not 0 < seconds <= LONGEST_STEP_S:
        return None
    per_second = (value - before) / seconds
    weight = max(SHORTEST_S, round(seconds, 1))
    return Bucket(weight, per_second, per_second, per_second, per_second)


def merge(points: Iterable[Point]) -> Bucket | None:
    """Return one bucket for all; None for none. ``last`` is that of the latest."""
    ordered = sorted(points)
    if not ordered:
        return None
    buckets = [bucket for _, bucket in ordered]
    weight = math.fsum(bucket.weight for bucket in buckets)
    low, high = min(b.low for b in buckets), max(b.high for b in buckets)
    mean = math.fsum(bucket.weight * bucket.mean for bucket in buckets) / weight
    return Bucket(weight, min(max(mean, low), high), low, high, buckets[-1].last)


def resample(
    points: Iterable[Point], *, start: float, step: float, count: int
) -> tuple[Bucket | None, ...]:
    """Return ``count`` buckets of ``step`` seconds; None where there is nothing in one."""
    slots: list[list[Point]] = [[] for _ in range(count)]
    for point in points:
        slot = math.floor((point.at - start) / step)
        if 0 <= slot < count:
            slots[slot].append(point)
    return tuple(merge(slot) for slot in slots)


def step_for(span: float, points: int) -> int:
    """Return the round number of seconds by which a span has at most so many points."""
    wanted = span / points
    for step in STEPS_S:
        if step >= wanted:
            return step
    return math.ceil(wanted / DAY_S) * DAY_S
