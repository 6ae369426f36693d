"""When updates are due: without drift, spread over nodes, slower for those that overrun."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emf_agent.update_schedule import Quarantine, Schedule, phase_s

QUARANTINE = Quarantine(after=3, first_s=30.0, cap_s=100.0)


def begin(now: float = 0.0, phase: float = 3.0) -> Schedule:
    return Schedule.begin(10.0, phase, QUARANTINE, now)


def test_updates_keep_a_fixed_rate_however_long_each_takes() -> None:
    schedule, due = begin(), []
    for took in (0.0, 0.9, 0.3, 0.7):
        due.append(schedule.due)
        schedule = schedule.updated(schedule.due + took)

    assert due == [3.0, 13.0, 23.0, 33.0]


def test_a_missed_moment_is_skipped_and_not_made_up_for() -> None:
    assert begin().updated(47.0).due == 53.0


@given(st.text(min_size=1), st.text(min_size=1), st.floats(0.1, 3600))
def test_a_phase_is_stable_and_lies_within_the_interval(
    fqdn: str, daemon: str, interval_s: float
) -> None:
    assert 0 <= phase_s(fqdn, daemon, interval_s) < interval_s
    assert phase_s(fqdn, daemon, interval_s) == phase_s(fqdn, daemon, interval_s)


def test_a_fleet_is_spread_over_the_interval() -> None:
    tenths = {int(phase_s(f"oss{n}", "host", 10.0)) for n in range(200)}

    assert tenths == set(range(10))


@given(st.floats(0, 1e9), st.floats(0.1, 1e4), st.floats(0, 1))
def test_the_next_moment_is_never_in_the_past_nor_far(
    now: float, interval_s: float, share: float
) -> None:
    schedule = Schedule.begin(interval_s, share * interval_s, QUARANTINE, now)

    assert now < schedule.due <= now + 2 * interval_s


def test_overruns_in_a_row_earn_growing_pauses_and_one_good_update_forgives() -> None:
    schedule, pauses, now = begin(), [], 0.0
    for _ in range(6):
        now = schedule.due + 1.0
        schedule = schedule.overran(now)
        pauses.append((schedule.quarantined, schedule.due - now))

    assert [quarantined for quarantined, _ in pauses] == [False, False, True, True, True, True]
    assert pauses[2][1] >= 30.0
    assert pauses[3][1] >= 60.0
    assert pauses[4][1] >= 100.0
    assert not schedule.updated(now).quarantined


def test_a_change_is_seen_at_once_but_a_burst_costs_one_update() -> None:
    quiet = begin(now=0.0)
    assert quiet.wanted_now(2.0).due == 2.0
    just_updated = quiet.updated(2.0)
    assert just_updated.wanted_now(2.1).due == 3.0


def test_a_quarantine_is_not_cut_short_by_a_change() -> None:
    schedule = begin()
    for _ in range(3):
        schedule = schedule.overran(schedule.due + 1.0)

    assert schedule.wanted_now(schedule.last + 1.0) == schedule
