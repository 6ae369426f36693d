"""The recorder: gauges as they are, counters as rates, few enough, and nothing lost in between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emf_manager.history.recorder import Recorder
from emf_manager.series import Mark, Sample
from tests.manager.unhurried import unhurried

USED, SENT = Mark("gauge", "bytes"), Mark("counter", "bytes")


def said(recorder: Recorder, at: float, **values: float) -> int:
    marks = {"used": USED}
    samples = [Sample(name, marks.get(name, SENT), value) for name, value in values.items()]
    return recorder.take(at, samples)


def kept(recorder: Recorder, name: str) -> list[tuple[float, float]]:
    return [(point.at, point.bucket.mean) for point in recorder.rows.block().points(name)]


def test_a_gauge_is_kept_as_it_is_and_a_counter_as_its_rate() -> None:
    recorder = Recorder(most=9)
    for n in range(3):
        said(recorder, n * 10.0, used=n, sent=n * 50)

    assert kept(recorder, "used") == [(0, 0), (10, 1), (20, 2)]
    assert kept(recorder, "sent") == [(10, 5), (20, 5)]
    assert recorder.newest["sent"].value == 100
    assert recorder.newest["sent"].shown == 5


def test_a_reset_and_a_gap_are_holes_not_rates() -> None:
    recorder = Recorder(most=9)
    for at, value in ((0, 100), (10, 200), (20, 5), (30, 15), (5000, 1_000_000), (5010, 1_000_010)):
        said(recorder, float(at), sent=value)

    assert kept(recorder, "sent") == [(10, 10), (30, 1), (5010, 1)]


def test_a_series_that_was_not_there_for_a_while_begins_anew() -> None:
    recorder = Recorder(most=9)
    said(recorder, 0.0, sent=1)
    said(recorder, 10.0, used=1)
    said(recorder, 20.0, sent=1000)
    said(recorder, 30.0, sent=1010)

    assert kept(recorder, "sent") == [(30, 1)]


def test_a_rate_goes_on_over_what_was_handed_over() -> None:
    recorder = Recorder(most=9)
    said(recorder, 0.0, sent=1)
    recorder.hand_over()
    said(recorder, 10.0, sent=11)

    assert kept(recorder, "sent") == [(10, 1)]


def test_values_in_a_rush_are_passed_over_and_counted_by_the_next() -> None:
    recorder = Recorder(most=9)
    said(recorder, 0.0, sent=0)
    assert [said(recorder, n / 100, sent=n) for n in range(1, 100)] == [0] * 99
    said(recorder, 10.0, sent=1000)

    assert kept(recorder, "sent") == [(10, 100)]


def test_no_more_series_than_there_may_be() -> None:
    recorder = Recorder(most=2)
    for n in range(50):
        said(recorder, n * 10.0, used=1, **{f"s{n}": 1.0, f"s{n + 1}": n * 10.0})

    assert len(recorder.rows.series) == 2


def test_a_clock_that_was_set_back_keeps_the_order() -> None:
    recorder = Recorder(most=9)
    for at in (1000.0, 1010.0, 400.0, 410.0):
        said(recorder, at, used=at)

    assert [at for at, _ in kept(recorder, "used")] == [1000, 1010, 1010, 1010]


@unhurried
@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e6), st.dictionaries(st.sampled_from("abcdef"), st.floats(-1e30, 1e30))
        ),
        max_size=30,
    )
)
def test_whatever_is_said_makes_a_block_of_rates_that_are_never_negative(
    values: list[tuple[float, dict[str, float]]],
) -> None:
    recorder = Recorder(most=4)
    for at, row in values:
        said(recorder, at, **row)

    block = recorder.rows.block()
    for name in block.series:
        assert all(point.bucket.mean >= 0 for point in block.points(name))
