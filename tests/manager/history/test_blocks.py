"""Blocks: what goes in comes out with seven digits; bytes that are no block are named."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.history.blocks import Block, BlockError, Building, coarser, pack, unpack
from emf_manager.history.downsampling import Bucket, Point, gauge, merge
from emf_manager.series import Mark
from tests.manager.unhurried import unhurried

MARK = Mark("gauge", "bytes")
NAMES = ("load.one", "disks[sda].used", "é")
NUMBERS = st.floats(-(2.0**40), 2.0**40, width=32)
VALUES = st.lists(st.dictionaries(st.sampled_from(NAMES), NUMBERS), max_size=40)


def built(rows: list[dict[str, float]], *, start: float = 0.0, step: float = 10.0) -> Block:
    building = Building(dict.fromkeys(NAMES, MARK))
    for place, row in enumerate(rows):
        building.add(start + place * step, {name: gauge(value) for name, value in row.items()})
    return building.block()


@unhurried
@given(rows=VALUES)
def test_a_block_comes_out_as_it_went_in(rows: list[dict[str, float]]) -> None:
    block = built(rows)

    again = unpack(pack(block))

    assert again == block
    for name in NAMES:
        expected = [(n * 10.0, row[name]) for n, row in enumerate(rows) if name in row]
        assert [(point.at, point.bucket.last) for point in again.points(name)] == expected
    ends = {name: list(again.points(name))[-1] for name in again.series}
    assert {name: point for name, _, point in again.newest()} == ends


@unhurried
@given(rows=VALUES, step=st.sampled_from([20.0, 60.0, 120.0]))
def test_a_coarser_block_says_what_its_samples_said(
    rows: list[dict[str, float]], step: float
) -> None:
    coarse = coarser([built(rows[:13]), built(rows[13:], start=130.0)], step=step, start=0, end=360)

    again = unpack(pack(coarse))
    for name in NAMES:
        inside = [(n * 10.0, row[name]) for n, row in enumerate(rows[:36]) if name in row]
        points = list(again.points(name))
        assert sum(point.bucket.weight for point in points) == len(inside)
        for at, bucket in points:
            mine = [Point(t, gauge(v)) for t, v in inside if at <= t < at + step]
            expected = merge(mine)
            assert expected is not None
            assert (bucket.weight, *bucket[2:]) == (expected.weight, *expected[2:])
            assert bucket.mean == pytest.approx(expected.mean, rel=1e-5, abs=1e6)


def test_columns_that_say_the_same_are_kept_once() -> None:
    rows = [{"load.one": math.sin(n)} for n in range(60)]
    uneven = built(rows)
    uneven.high[0] += 1
    copy = Block(
        uneven.series,
        uneven.times,
        uneven.weight,
        uneven.mean,
        uneven.mean,
        uneven.high[:],
        uneven.mean,
    )

    assert len(pack(built(rows))) < len(pack(copy))


@pytest.mark.parametrize(
    "cut", [b"", b"nonsense", pack(built([{"é": 1}]))[:-9], pack(built([{"é": 1}]))[3:]]
)
def test_bytes_that_are_no_block_are_named(cut: bytes) -> None:
    with pytest.raises(BlockError, match="damaged"):
        unpack(cut)


@unhurried
@given(st.binary(max_size=200))
def test_no_bytes_can_hurt(kept: bytes) -> None:
    with suppress(BlockError):
        unpack(kept)


def test_an_empty_block_is_one() -> None:
    assert unpack(pack(built([]))).times == ()
    assert list(built([{"é": 1}]).points("none")) == []
    assert next(built([{"é": 1}]).points("é")).bucket == Bucket(1, 1, 1, 1, 1)
