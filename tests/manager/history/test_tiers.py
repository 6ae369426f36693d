"""Tiers: the finest that is wanted and still there answers, and nothing is made too early."""

from __future__ import annotations

import pytest

from emf_manager.history.tiers import TIERS, choose, complete_until, kept_for

HOUR, DAY = 3600.0, 86400.0


@pytest.mark.parametrize(
    ("step", "age_s", "place"),
    [
        (1, 60, 0),
        (59, HOUR, 0),
        (60, HOUR, 1),
        (599, HOUR, 1),
        (600, HOUR, 2),
        (10**6, HOUR, 2),
        (1, 3 * HOUR, 1),
        (1, 2 * DAY, 2),
        (60, 2 * DAY, 2),
        (1, 400 * DAY, 2),
    ],
)
def test_the_coarsest_that_is_fine_enough_answers_unless_it_is_gone(
    step: float, age_s: float, place: int
) -> None:
    assert choose(TIERS, step=step, age_s=age_s) == place


@pytest.mark.parametrize("now", [0.0, 1_800_000_000.0, 1_800_001_799.0])
def test_a_tier_is_made_of_whole_blocks_that_the_finer_one_has_all_of(now: float) -> None:
    for place in (1, 2):
        until = complete_until(TIERS, place, now)
        assert until % TIERS[place].block_s == 0
        assert now - until >= sum(tier.block_s for tier in TIERS[:place])


def test_each_tier_is_kept_until_the_next_is_made_of_it() -> None:
    for place, tier in enumerate(TIERS[:-1]):
        late = sum(finer.block_s for finer in TIERS[: place + 1]) + 10 * 60
        assert tier.keep_s >= TIERS[place + 1].block_s + late


def test_how_long_the_history_is_kept_is_said_of_the_coarsest_tier() -> None:
    assert [tier.keep_s for tier in kept_for(HOUR)] == [2 * HOUR, DAY, DAY]
    assert [tier.keep_s for tier in kept_for(365 * DAY)] == [2 * HOUR, DAY, 365 * DAY]
