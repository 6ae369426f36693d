"""Buckets: weight, sum, lowest and highest are kept however samples are grouped or ordered."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.history.downsampling import (
    LONGEST_STEP_S,
    Bucket,
    Point,
    gauge,
    merge,
    rate,
    resample,
    step_for,
)
from tests.manager.unhurried import unhurried

NUMBERS = st.floats(-1e12, 1e12)
SAMPLES = st.lists(st.tuples(st.floats(0, 1000), NUMBERS), min_size=1, max_size=40)


def points(samples: list[tuple[float, float]]) -> list[Point]:
    return [Point(at, gauge(value)) for at, value in samples]


@unhurried
@given(samples=SAMPLES)
def test_merging_keeps_sum_lowest_highest_and_last(samples: list[tuple[float, float]]) -> None:
    bucket = merge(points(samples))

    values = [value for _, value in samples]
    assert bucket is not None
    assert bucket.weight == len(values)
    assert bucket.weight * bucket.mean == pytest.approx(math.fsum(values), abs=1e-3)
    assert (bucket.low, bucket.high) == (min(values), max(values))
    assert bucket.last == max(samples)[1]
    assert bucket.low <= bucket.mean <= bucket.high


@unhurried
@given(samples=SAMPLES, seed=st.integers(0, 1000))
def test_the_order_of_samples_does_not_matter(
    samples: list[tuple[float, float]], seed: int
) -> None:
    mixed = points(samples)
    random.Random(seed).shuffle(mixed)

    assert merge(mixed) == merge(points(samples))


@unhurried
@given(samples=SAMPLES, groups=st.integers(1, 5))
def test_merging_in_steps_comes_to_the_same(
    samples: list[tuple[float, float]], groups: int
) -> None:
    ordered = sorted(points(samples))
    parts = [ordered[n::groups] for n in range(groups)]
    halves = [Point(part[-1].at, found) for part in parts if (found := merge(part)) is not None]

    once, twice = merge(ordered), merge(halves)
    assert once is not None
    assert twice is not None
    assert twice[:1] + twice[2:4] == once[:1] + once[2:4]
    assert twice.mean == pytest.approx(once.mean, rel=1e-9, abs=1e-3)


@unhurried
@given(
    values=st.lists(st.integers(0, 2**63), min_size=2, max_size=30),
    steps=st.lists(st.floats(0.2, 2 * LONGEST_STEP_S), min_size=30, max_size=30),
)
def test_a_rate_is_never_negative_and_adds_up_to_what_was_counted(
    values: list[int], steps: list[float]
) -> None:
    pairs = list(zip(values, values[1:], steps, strict=False))
    rates = [(rate(a, b, seconds), b - a, seconds) for a, b, seconds in pairs]

    for bucket, counted, seconds in rates:
        if counted < 0 or seconds > LONGEST_STEP_S:
            assert bucket is None
        else:
            assert bucket is not None
            assert bucket.mean >= 0
            assert bucket.mean * seconds == pytest.approx(counted)


@pytest.mark.parametrize("seconds", [0.0, -1.0, LONGEST_STEP_S + 1, math.nan])
def test_a_counter_says_nothing_about_time_that_is_none_or_too_long(seconds: float) -> None:
    assert rate(1, 2, seconds) is None


def test_a_reset_is_a_new_start() -> None:
    assert rate(1000, 3, 10) is None
    assert rate(3, 13, 10) == Bucket(10, 1, 1, 1, 1)


@unhurried
@given(samples=SAMPLES, start=st.floats(0, 500), step=st.floats(1, 300), count=st.integers(1, 20))
def test_each_sample_of_the_span_is_in_one_bucket(
    samples: list[tuple[float, float]], start: float, step: float, count: int
) -> None:
    buckets = resample(points(samples), start=start, step=step, count=count)

    inside = [at for at, _ in samples if 0 <= math.floor((at - start) / step) < count]
    assert len(buckets) == count
    assert sum(bucket.weight for bucket in buckets if bucket) == len(inside)


def test_a_gap_stays_visible() -> None:
    buckets = resample(points([(0, 1), (25, 3)]), start=0, step=10, count=3)

    assert [bucket and bucket.mean for bucket in buckets] == [1, None, 3]


@unhurried
@given(span=st.floats(1, 1e9), count=st.integers(1, 2000))
def test_a_step_is_round_and_gives_no_more_points_than_wanted(span: float, count: int) -> None:
    step = step_for(span, count)

    assert span / step <= count + 1e-6
    assert step == 1 or 60 % step == 0 or step % 60 == 0
