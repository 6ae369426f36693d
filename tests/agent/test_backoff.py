"""The retry schedule: bounded, growing, jittered, reproducible."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from emf_agent.backoff import Backoff

BACKOFF = Backoff(first_s=1.0, cap_s=60.0, floor_s=0.1)


@given(st.integers(0, 10_000), st.integers())
def test_a_wait_lies_between_floor_and_a_doubling_ceiling(attempt: int, seed: int) -> None:
    wait_s = BACKOFF.wait_s(attempt, Random(seed))

    assert 0.1 <= wait_s <= min(60.0, 2.0 ** min(attempt, 60))


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    assert [BACKOFF.ceiling_s(n) for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_two_nodes_do_not_wait_alike() -> None:
    waits = {BACKOFF.wait_s(5, Random(node)) for node in range(100)}

    assert len(waits) == 100
    assert min(waits) < 10 < max(waits)


def test_a_seed_gives_the_same_waits() -> None:
    assert [BACKOFF.wait_s(n, Random(7)) for n in range(5)] == [
        BACKOFF.wait_s(n, Random(7)) for n in range(5)
    ]
