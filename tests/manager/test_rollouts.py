"""Rollouts: how nodes are laid out in batches, and what is released when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager import rollouts as r
from emf_manager.records import Job, Outcome, Target

NODES = tuple(f"n{number}" for number in range(10))
PAIRS = {node: f"pair{place // 2}" for place, node in enumerate(NODES)}


def share(text: str) -> r.Share:
    return r.Share(int(text.rstrip("%")), percent=text.endswith("%"))


def rollout(**options: Any) -> r.Rollout:
    shares = {name: share(text) for name, text in options.items() if name != "spread"}
    return r.Rollout(**shares, spread=options.get("spread"))


@pytest.mark.parametrize(
    ("text", "total", "number"),
    [("3", 10, 3), ("25%", 10, 3), ("1%", 10, 1), ("100%", 10, 10), ("50%", 1, 1), ("30", 10, 30)],
)
def test_a_share_is_a_number_or_a_percentage_rounded_up(text: str, total: int, number: int) -> None:
    assert share(text).of(total) == number


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, [10]),
        ({"batch": "4"}, [4, 4, 2]),
        ({"batch": "50%"}, [5, 5]),
        ({"batch": "30"}, [10]),
        ({"limit": "3"}, [3]),
        ({"limit": "25%", "batch": "2"}, [2, 1]),
        ({"canary": "1"}, [1, 9]),
        ({"canary": "10%", "batch": "4"}, [1, 4, 4, 1]),
        ({"spread": "ha"}, [5, 5]),
        ({"spread": "ha", "batch": "3"}, [3, 3, 2, 2]),
        ({"spread": "ha", "canary": "4"}, [4, 5, 1]),
    ],
)
def test_nodes_are_laid_out_in_batches(options: dict[str, Any], sizes: list[int]) -> None:
    laid_out = r.plan(NODES, rollout(**options), PAIRS)

    assert [len(batch) for batch in laid_out.batches] == sizes


def test_a_limit_takes_the_first_nodes_in_their_order() -> None:
    laid_out = r.plan(NODES, rollout(limit="3"), {})

    assert laid_out == r.Plan((NODES[:3],), NODES[3:])


@given(
    total=st.integers(1, 60),
    clusters=st.integers(1, 20),
    batch=st.none() | st.sampled_from(["1", "3", "7", "20%", "100%"]),
    canary=st.none() | st.sampled_from(["1", "5", "10%"]),
    spread=st.sampled_from([None, "ha"]),
)
def test_every_node_goes_once_and_never_beside_one_of_its_cluster(
    total: int, clusters: int, batch: str | None, canary: str | None, spread: str | None
) -> None:
    nodes = [f"n{number}" for number in range(total)]
    apart = {node: f"c{place % clusters}" for place, node in enumerate(nodes) if place % 3}
    given_ = {"batch": batch, "canary": canary, "spread": spread}
    options = {name: text for name, text in given_.items() if text}
    chosen = rollout(**options)

    batches = r.plan(nodes, chosen, apart).batches

    assert sorted(node for one in batches for node in one) == sorted(nodes)
    size = total if chosen.batch is None else chosen.batch.of(total)
    rest = batches if chosen.canary is None else batches[1:]
    assert all(0 < len(one) <= size for one in rest)
    if chosen.canary is not None:
        assert 0 < len(batches[0]) <= chosen.canary.of(total)
    if spread:
        for one in batches:
            here = [apart[node] for node in one if node in apart]
            assert len(here) == len(set(here))


@pytest.mark.parametrize(
    ("options", "field"), [({"canary": "11"}, "canary"), ({"fail_limit": "11"}, "fail_limit")]
)
def test_more_than_there_are_nodes_is_refused(options: dict[str, str], field: str) -> None:
    with pytest.raises(r.RolloutError, match="at most the 10 nodes of the job, got 11") as refused:
        r.judge_sizes(rollout(**options), 10)

    assert refused.value.field == field


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch": "3"},
        {"batch": "10%", "limit": "5", "canary": "1%", "fail_limit": "2"},
        {"spread": "ha"},
    ],
)
def test_what_was_written_down_is_read_again(options: dict[str, Any]) -> None:
    assert r.read_rollout(r.write_rollout(rollout(**options))) == rollout(**options)


# While it runs


def job(deadline: float | None = None, **options: Any) -> tuple[Job, list[Target]]:
    """Return a job over ``NODES``, the first batch released."""
    chosen = rollout(**options)
    spread = PAIRS if chosen.spread else {}
    ordered = Job("j", "a", None, "maria", 0.0, 60.0, deadline=deadline)
    targets = [
        Target(
            node,
            "j",
            node,
            state="queued" if number == 1 else "held",
            batch=number,
            apart=spread.get(node),
        )
        for number, batch in enumerate(r.plan(NODES, chosen, spread).batches, 1)
        for node in batch
    ]
    return replace(ordered, rollout=r.write_rollout(chosen)), targets


def rolling(**options: Any) -> r.Rolling:
    return r.resume(*job(**options))


def end(state: r.Rolling, *nodes: str, kind: Any = "ok", reason: str | None = None) -> Any:
    orders: tuple[r.Order, ...] = ()
    for node in nodes:
        state, more = r.step(state, r.Ended(node, kind, reason), 0.0)
        orders += more
    return state, orders


def test_the_next_batch_goes_when_every_node_before_has_its_outcome() -> None:
    state, orders = end(rolling(batch="4"), *NODES[:3])
    assert orders == ()

    state, orders = end(state, NODES[3], kind="failed")
    assert orders == (r.Release(2, NODES[4:8]),)

    state, orders = end(state, *NODES[4:8])
    assert orders == (r.Release(3, NODES[8:]),)
    assert state.held == ()


def test_nothing_goes_once_as_many_as_the_limit_have_not_succeeded() -> None:
    state, orders = end(rolling(batch="4", fail_limit="20%"), NODES[0], kind="failed")
    assert orders == ()

    state, orders = end(state, NODES[1], kind="timed_out")

    assert orders == (r.Stop(NODES[4:], "cancelled", "fail-limit"),)
    assert end(state, *NODES[2:4])[1] == ()


def test_an_unknown_outcome_that_turns_out_well_is_no_failure_any_more() -> None:
    state, _ = end(rolling(batch="4", fail_limit="2"), NODES[0], kind="unknown")
    state, _ = end(state, NODES[0])

    assert end(state, NODES[1], kind="failed")[1] == ()


@pytest.mark.parametrize("kind", ["failed", "cancelled", "unknown", "expired", "refused"])
def test_the_rest_never_goes_where_the_canary_did_not_succeed(kind: str) -> None:
    _, orders = end(rolling(canary="2", batch="3"), NODES[0], kind=kind)

    assert orders == (r.Stop(NODES[2:], "cancelled", "canary-failed"),)


def test_the_rest_goes_when_all_of_the_canary_succeeded() -> None:
    state, orders = end(rolling(canary="2", batch="3"), NODES[0])
    assert orders == ()

    assert end(state, NODES[1])[1] == (r.Release(2, NODES[2:5]),)


def test_what_is_held_at_the_deadline_has_expired() -> None:
    state = rolling(batch="4", deadline=50.0)
    assert r.due(state) == 50.0
    assert r.step(state, r.Tick(), 49.9) == (state, ())

    state, orders = r.step(state, r.Tick(), 50.0)

    assert orders == (r.Stop(NODES[4:], "expired", "deadline"),)
    assert r.due(state) is None


def test_what_is_cancelled_is_never_released() -> None:
    state, orders = r.step(rolling(batch="4"), r.Cancelled(), 0.0)

    assert orders == (r.Stop(NODES[4:], "cancelled", "before it was released"),)
    assert end(state, *NODES[:4])[1] == ()


def test_some_nodes_can_be_cancelled_and_the_others_go_on() -> None:
    state, orders = r.step(rolling(batch="4"), r.Cancelled({NODES[4], NODES[0]}), 0.0)
    assert orders == (r.Stop((NODES[4],), "cancelled", "before it was released"),)

    assert end(state, *NODES[:4])[1] == (r.Release(2, NODES[5:8]),)


def test_a_held_node_that_is_removed_does_not_hold_up_the_others() -> None:
    state, _ = end(rolling(batch="4"), NODES[5], kind="cancelled", reason="node-removed")

    assert end(state, *NODES[:4])[1] == (r.Release(2, (NODES[4], *NODES[6:8])),)


def test_the_partner_of_a_node_that_may_still_run_is_not_released() -> None:
    state = rolling(spread="ha")
    state, _ = end(state, "n0", kind="unknown", reason="no-contact")
    state, orders = end(state, "n2", "n4", "n6", "n8")

    assert orders == (
        r.Stop(("n1",), "cancelled", "ha-partner-unknown"),
        r.Release(2, ("n3", "n5", "n7", "n9")),
    )


def test_the_partner_of_a_node_that_is_no_more_is_released() -> None:
    state, _ = end(rolling(spread="ha"), "n0", kind="unknown", reason="node-removed")

    _, orders = end(state, "n2", "n4", "n6", "n8")

    assert orders == (r.Release(2, ("n1", "n3", "n5", "n7", "n9")),)


def test_a_job_is_as_it_was_when_it_is_read_again() -> None:
    ordered, targets = job(batch="4", fail_limit="3", spread="ha")
    live = r.resume(ordered, targets)
    outcome = Outcome("", "", "failed", 1.0)
    for place, target in enumerate(targets[:2]):
        live, _ = end(live, target.action_id, kind="failed")
        targets[place] = replace(
            target, state="final", outcome=replace(outcome, action_id=target.action_id)
        )

    assert r.resume(ordered, targets) == live
