"""Curves: scales, gaps, rates, and what is told to those who do not see them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.web.curves import Points, Series, plot, sparkline
from emf_manager.web.figures import NONE, per_second, quantity


def series(points: Points, kind: str = "gauge", unit: str = "bytes") -> Series:
    """Return a series."""
    return Series("s", kind, unit, points)


def test_a_curve_goes_from_one_edge_to_the_other() -> None:
    drawn = sparkline(series([(100, 0), (150, 10), (200, 5)]))

    assert drawn is not None
    assert drawn.line == "M0.0 26.0 L60.0 2.0 L120.0 14.0"
    assert drawn.words == "now 5 B, from 0 B to 10 B"


def test_a_gap_in_time_is_a_gap_in_the_curve() -> None:
    drawn = sparkline(series([(0, 1), (1, 1), (2, None), (3, 1), (4, 1)]))

    assert drawn is not None
    assert drawn.line.count("M") == 2


def test_a_counter_is_told_as_a_rate() -> None:
    drawn = sparkline(series([(0, 1024.0), (1, 2048.0)], kind="counter"))

    assert drawn is not None
    assert drawn.text == "2 KiB/s"


@pytest.mark.parametrize("points", [[], [(0, 1)], [(0, None), (1, None)], [(0, float("nan"))]])
def test_nothing_is_drawn_of_less_than_two_points(points: Any) -> None:
    assert sparkline(series(points)) is None
    assert plot([("x", series(points))]) is None


def test_a_plot_has_both_axes_and_its_figures_as_a_table() -> None:
    drawn = plot(
        [
            ("one", series([(0, 1.0), (3600, 100.0)])),
            ("two", series([(0, None), (3600, 50.0), (7200, 60.0)])),
            ("another unit", series([(0, 1.0), (1, 2.0)], unit="seconds")),
        ]
    )

    assert drawn is not None
    assert [line.label for line in drawn.lines] == ["one", "two"]
    assert [tick.text for tick in drawn.across] == ["00:00", "00:30", "01:00", "01:30", "02:00"]
    assert drawn.upward[0].text == "0 B"
    assert drawn.rows[0] == ("1970-01-01 02:00:00Z", (NONE, "60 B"))
    assert drawn.words == "one now 100 B; two now 60 B"


@given(
    st.lists(
        st.tuples(st.floats(0, 2e9), st.none() | st.floats(-1e30, 1e30) | st.just(float("inf"))),
        max_size=30,
    )
)
def test_any_points_are_drawn_inside(points: Any) -> None:
    points.sort(key=lambda one: one[0])
    one = series(points)
    for drawn in (sparkline(one), plot([("x", one)])):
        if drawn is not None:
            line = drawn.line if hasattr(drawn, "line") else drawn.lines[0].line
            numbers = [float(part) for part in line.replace("M", " ").replace("L", " ").split()]
            assert all(-0.2 <= x <= drawn.width + 0.2 for x in numbers[::2])
            assert all(-0.2 <= y <= drawn.height + 0.2 for y in numbers[1::2])


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "bytes", NONE),
        (float("nan"), "", NONE),
        (0, "bytes", "0 B"),
        (1536, "bytes", "1.5 KiB"),
        (10 * 1024**4, "bytes", "10 TiB"),
        (1_234_567, "inodes", "1.23M inodes"),
        (42, "", "42"),
        (12.5, "percent", "12.5 %"),
        (0.00002, "seconds", "20 µs"),
        (0.25, "seconds", "250 ms"),
        (90061, "seconds", "1 d 1 h"),
    ],
)
def test_a_quantity_is_short(value: float | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_seconds_per_second_are_a_share() -> None:
    assert per_second(0.5, "seconds") == "50 %"
    assert per_second(0.031, "seconds") == "3.1 %"
    assert per_second(2048, "bytes") == "2 KiB/s"
