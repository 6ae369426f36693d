"""Rate limits: a bucket for each caller, generous, bounded, and said in the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.api.guard import Guard
from emf_manager.api.pace import Buckets, Limiter, Pace, Rate
from tests.manager.api.conftest import Desk

RATE = Rate(per_s=2.0, burst=4)


def test_a_burst_is_taken_and_then_the_rate() -> None:
    buckets = Buckets(RATE)

    assert [buckets.take("maria", 0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.0, 0.5]
    assert buckets.take("maria", 0.25) == 0.25
    assert buckets.take("maria", 0.5) == 0.0
    assert buckets.take("maria", 0.5) == 0.5


def test_callers_do_not_slow_each_other() -> None:
    buckets = Buckets(RATE)
    for _ in range(9):
        buckets.take("maria", 0.0)

    assert buckets.take("ann", 0.0) == 0.0


def test_a_question_counts_nothing() -> None:
    buckets = Buckets(RATE)
    for _ in range(9):
        assert buckets.wait_s("maria", 0.0) == 0.0

    assert buckets.take("maria", 0.0) == 0.0


def test_a_clock_that_goes_back_gives_nothing_away_and_takes_nothing() -> None:
    buckets = Buckets(RATE)
    for _ in range(4):
        buckets.take("maria", 100.0)

    assert buckets.take("maria", 0.0) == 0.5


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=60),
)
def test_nobody_gets_more_than_burst_and_rate(asks: list[tuple[str, float]]) -> None:
    buckets, now = Buckets(RATE), 0.0
    let_in: dict[str, int] = {}
    for caller, pause_s in asks:
        now += pause_s
        let_in[caller] = let_in.get(caller, 0) + (buckets.take(caller, now) == 0.0)

        assert let_in[caller] <= RATE.burst + RATE.per_s * now + 1e-6


@given(st.lists(st.integers(0, 50), max_size=200))
def test_memory_is_bounded_whoever_asks(callers: list[int]) -> None:
    buckets = Buckets(RATE, remembered=8)
    for place, caller in enumerate(callers):
        buckets.take(str(caller), place / 10)

        assert len(buckets) <= 8


def test_whoever_is_full_again_is_forgotten() -> None:
    buckets = Buckets(RATE)
    buckets.take("maria", 0.0)
    buckets.take("ann", 10.0)

    assert len(buckets) == 1


@pytest.mark.anyio
async def test_one_request_too_many_is_told_when_to_come_back(desk: Desk) -> None:
    guarded(desk, Pace(callers=Rate(per_s=0.5, burst=2)))

    answers = [await desk.call("GET", "me") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].headers["retry-after"] == "2"
    problem = answers[-1].json()
    assert problem["type"] == "urn:emf-agent:problem:too-many"
    assert "this token of admin; wait 2 s" in problem["detail"]
    assert (await desk.call("GET", "me", "viewer")).status_code == 200, "another token is free"


@pytest.mark.anyio
async def test_an_address_that_guesses_tokens_is_not_listened_to(desk: Desk) -> None:
    guarded(desk, Pace(strangers=Rate(per_s=0.1, burst=3)))
    tried: list[str] = []

    async def authenticate(token: str) -> None:
        tried.append(token)

    desk.guard._authenticate = authenticate
    answers = [
        await desk.http.get("me", headers={"Authorization": f"Bearer guess-{number}"})
        for number in range(6)
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429, 429]
    assert len(tried) == 3
    assert answers[-1].headers["retry-after"] == "10"


@pytest.mark.anyio
async def test_event_streams_do_not_count(desk: Desk) -> None:
    guarded(desk, Pace(callers=Rate(per_s=0.01, burst=1)))
    await desk.call("GET", "me")

    for _ in range(3):
        async with desk.http.stream(
            "GET", "events/stream", headers={"Authorization": "Bearer admin-token"}
        ) as answer:
            assert answer.status_code == 200


def guarded(desk: Desk, pace: Pace) -> None:
    desk.guard = Guard(
        desk.routes,
        authenticate=desk.accounts.authenticate,
        audit=desk.accounts.audit,
        limiter=Limiter(pace),
    )
    desk.transport.app = desk.guard
