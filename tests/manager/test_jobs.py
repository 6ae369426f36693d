"""The rules of one target, as a table, and over any history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emf_agent.wire import (
    ActionAccepted,
    ActionProgress,
    ActionResult,
    ActionStarted,
    CancelState,
    Err,
    Ok,
)
from emf_manager import jobs
from emf_manager.jobs import CONFIRM_GRACE_S, NO_CONTACT_S, Finish, Keep, Open, step
from emf_manager.portraits import count_targets
from emf_manager.records import Job, Outcome, Target

NOW, WALL = 100.0, 5000.0
ID = "job.0"
JOB = Job("job", "a", {"x": 1}, "maria", WALL, WALL + 60, timeout_s=30.0)
QUEUED = Open(JOB, Target(ID, "job", "oss1", queued=WALL), expires_at=NOW + 60)
WAITING = replace(QUEUED, waits=True)


def at(state: str, *, protocol: int = 2, cancel: str | None = None, **rest: Any) -> Open:
    target = replace(QUEUED.target, state=state, cancel=cancel)  # type: ignore[arg-type]
    return replace(QUEUED, target=target, protocol=protocol, offered_at=NOW, waits=True, **rest)


OFFERED, ACCEPTED, STARTED = at("offered"), at("accepted"), at("started")
OLD = at("offered", protocol=1)
ASKED = at("started", cancel="asked", cancel_sent=True)


def result(value: Any = 3, outcome: Any = "ok", **rest: Any) -> jobs.Report:
    return jobs.Report(ActionResult(id=ID, result=Ok(value=value), outcome=outcome, **rest))


def ended(orders: tuple[jobs.Order, ...]) -> Outcome:
    (outcome,) = [order.outcome for order in orders if isinstance(order, Finish)]
    return outcome


def names(orders: tuple[jobs.Order, ...]) -> list[str]:
    return [type(order).__name__ for order in orders]


@pytest.mark.parametrize(
    ("before", "event", "orders", "state"),
    [
        pytest.param(QUEUED, jobs.Ready(2), ["SendStart"], "queued", id="sent when ready"),
        pytest.param(WAITING, jobs.Ready(2), [], "queued", id="sent once"),
        pytest.param(WAITING, jobs.Unsent(), [], "queued", id="no room"),
        pytest.param(WAITING, jobs.Delivered(2), ["Keep"], "offered", id="delivered"),
        pytest.param(OFFERED, jobs.Delivered(2), [], "offered", id="delivered again"),
        pytest.param(OFFERED, jobs.Ready(2), [], "offered", id="waits in the same session"),
        pytest.param(
            replace(OFFERED, waits=False),
            jobs.Ready(2),
            ["SendStart"],
            "offered",
            id="offered again in a new session",
        ),
        pytest.param(
            replace(OLD, waits=False), jobs.Ready(1), [], "offered", id="never twice to an ancestor"
        ),
        pytest.param(ACCEPTED, jobs.Ready(2), [], "accepted", id="taken is not offered again"),
        pytest.param(OFFERED, jobs.Over(), [], "offered", id="session over"),
        pytest.param(QUEUED, jobs.JournalLost(), [], "queued", id="journal lost, not given yet"),
        pytest.param(
            OFFERED, jobs.Report(ActionAccepted(id=ID)), ["Keep"], "accepted", id="accepted"
        ),
        pytest.param(
            STARTED, jobs.Report(ActionAccepted(id=ID)), [], "started", id="accepted comes late"
        ),
        pytest.param(
            ACCEPTED, jobs.Report(ActionStarted(id=ID)), ["Keep"], "started", id="started"
        ),
        pytest.param(
            STARTED,
            jobs.Report(ActionProgress(id=ID, fraction=0.5)),
            ["Keep"],
            "started",
            id="progress",
        ),
        pytest.param(
            STARTED,
            jobs.Cancel("maria"),
            ["Keep", "Withdraw", "SendCancel"],
            "started",
            id="cancel is asked",
        ),
        pytest.param(
            replace(ASKED, cancel_sent=False),
            jobs.Ready(2),
            ["SendCancel"],
            "started",
            id="cancel is sent again in a new session",
        ),
        pytest.param(ASKED, jobs.Ready(2), [], "started", id="cancel is sent once a session"),
        pytest.param(
            ASKED,
            jobs.Report(CancelState(id=ID, state="taken")),
            ["Keep"],
            "started",
            id="cancel is taken",
        ),
        pytest.param(
            at("started", cancel="taken"), jobs.Cancel("bob"), [], "started", id="cancel again"
        ),
        pytest.param(
            STARTED,
            jobs.Report(CancelState(id=ID, state="unknown_id")),
            [],
            "started",
            id="cancel state nobody asked for",
        ),
        pytest.param(STARTED, jobs.Tick(None), [], "started", id="nothing is due"),
    ],
)
def test_a_target_goes_on(before: Open, event: jobs.Event, orders: list[str], state: str) -> None:
    after, done = step(before, event, NOW, WALL)

    assert after is not None
    assert names(done) == orders
    assert after.target.state == state


@pytest.mark.parametrize(
    ("before", "event", "later", "kind", "reason", "by"),
    [
        pytest.param(STARTED, result(), 0, "ok", None, "node", id="ok"),
        pytest.param(QUEUED, result(), 0, "ok", None, "node", id="a node that knows better"),
        pytest.param(
            STARTED,
            result(None, "unknown", reason="agent-restart"),
            0,
            "unknown",
            "agent-restart",
            "node",
            id="the node's own unknown",
        ),
        pytest.param(
            QUEUED,
            jobs.Cancel("maria"),
            0,
            "cancelled",
            "before it was offered",
            "manager",
            id="cancelled before it was offered",
        ),
        pytest.param(
            at("offered", cancel="asked"),
            jobs.Report(CancelState(id=ID, state="unknown_id")),
            0,
            "cancelled",
            "before the node took it",
            "node",
            id="cancelled before the node took it",
        ),
        pytest.param(
            ASKED,
            jobs.Report(CancelState(id=ID, state="unknown_id")),
            0,
            "unknown",
            "not-known-to-node",
            "manager",
            id="the node forgot it",
        ),
        pytest.param(
            QUEUED,
            jobs.Tick(None),
            60,
            "expired",
            "the node did not take it in time",
            "manager",
            id="expired",
        ),
        pytest.param(
            OFFERED,
            jobs.Tick(None),
            60 + CONFIRM_GRACE_S,
            "unknown",
            "not-confirmed",
            "manager",
            id="never confirmed",
        ),
        pytest.param(
            STARTED,
            jobs.Tick(NOW),
            NO_CONTACT_S,
            "unknown",
            "no-contact",
            "manager",
            id="no contact",
        ),
        pytest.param(
            ACCEPTED, jobs.JournalLost(), 0, "unknown", "journal-lost", "manager", id="journal lost"
        ),
        pytest.param(
            OLD, jobs.Over(), 0, "unknown", "session-ended", "manager", id="ancestor's session over"
        ),
        pytest.param(
            replace(QUEUED, job=replace(JOB, dry_run=True)),
            jobs.Ready(1),
            0,
            "refused",
            "an ancestor's agent knows no dry run and would do it",
            "manager",
            id="no dry run on an ancestor",
        ),
    ],
)
def test_a_target_ends(
    before: Open, event: jobs.Event, later: float, kind: str, reason: str | None, by: str
) -> None:
    after, orders = step(before, event, NOW + later, WALL)

    assert after is None
    outcome = ended(orders)
    assert (outcome.kind, outcome.reason, outcome.by) == (kind, reason, by)


@pytest.mark.parametrize(
    ("value", "cancel", "kind"),
    [
        pytest.param(Ok(value=1), None, "ok", id="ok"),
        pytest.param(Ok(value=None), None, "ok", id="null without a cancel"),
        pytest.param(Err(text="no"), None, "failed", id="failed"),
        pytest.param(Ok(value=1), "asked", "ok", id="finished first"),
        pytest.param(Ok(value=None), "asked", "unknown", id="cancelled or finished, nobody knows"),
        pytest.param(Err(text="no"), "asked", "failed", id="failed first"),
    ],
)
def test_an_ancestors_result_is_read_for_what_it_is(
    value: Any, cancel: str | None, kind: str
) -> None:
    before = at("offered", protocol=1, cancel=cancel)

    _, orders = step(before, jobs.Report(ActionResult(id=ID, result=value)), NOW, WALL)

    assert ended(orders).kind == kind


def test_an_ancestor_gets_only_the_fields_it_knows() -> None:
    _, orders = step(QUEUED, jobs.Ready(1), NOW, WALL)

    (start,) = orders
    assert isinstance(start, jobs.SendStart)
    assert start.body == {"type": "ACTION_START", "action": "a", "args": {"x": 1}, "id": ID}


def test_protocol_2_carries_what_is_left_of_the_time() -> None:
    _, orders = step(QUEUED, jobs.Ready(2), NOW + 20, WALL)

    (start,) = orders
    assert isinstance(start, jobs.SendStart)
    assert isinstance(start.body, dict)
    assert start.body["expires_in"] == 40
    assert start.body["timeout"] == 30
    assert start.body["requester"] == "maria"
    assert "dry_run" not in start.body


def test_the_manager_keeps_the_timeout_for_an_ancestor() -> None:
    assert jobs.due(OLD, None) == NOW + 30

    after, orders = step(OLD, jobs.Tick(None), NOW + 30, WALL)

    assert after is not None
    assert after.target.cancel_requester == jobs.TIMEOUT_REQUESTER
    assert names(orders) == ["Keep", "Withdraw", "SendCancel"]
    assert jobs.due(after, None) is None


def test_progress_is_bounded_and_keeps_what_it_does_not_say() -> None:
    before = at("started")
    one, _ = step(before, jobs.Report(ActionProgress(id=ID, fraction=7.0)), NOW, WALL)
    assert one is not None

    two, orders = step(one, jobs.Report(ActionProgress(id=ID, message="m", log=("l",))), NOW, WALL)

    assert two is not None
    assert (two.target.fraction, two.target.message) == (1.0, "m")
    assert orders == (Keep(two.target, ("l",)),)


EVENTS = st.one_of(
    st.sampled_from(
        [
            jobs.Ready(1),
            jobs.Ready(2),
            jobs.Delivered(1),
            jobs.Delivered(2),
            jobs.Unsent(),
            jobs.Over(),
            jobs.JournalLost(),
            jobs.Cancel("maria"),
            jobs.Report(ActionAccepted(id=ID)),
            jobs.Report(ActionStarted(id=ID)),
            jobs.Report(ActionProgress(id=ID, fraction=0.1)),
            jobs.Report(CancelState(id=ID, state="taken")),
            jobs.Report(CancelState(id=ID, state="too_late")),
            jobs.Report(CancelState(id=ID, state="unknown_id")),
            jobs.Report(ActionResult(id=ID, result=Ok(value=None))),
            jobs.Tick(None),
            jobs.Tick(NOW),
        ]
    )
)
STEPS = st.lists(st.tuples(EVENTS, st.sampled_from([0.0, 1.0, 40.0, 700.0])), max_size=25)
ORDER = ["queued", "offered", "accepted", "started"]


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=4))
def test_whatever_happens_the_counts_add_up_and_each_target_ends_once(
    histories: list[list[tuple[jobs.Event, float]]],
) -> None:
    kinds: list[tuple[str, Any, int]] = []
    for history in histories:
        open_: Open | None = QUEUED
        now, outcomes, starts = NOW, 0, 0
        for event, seconds in history:
            if open_ is None:
                break
            now += seconds
            before = open_
            open_, orders = step(before, event, now, WALL)
            outcomes += sum(isinstance(order, Finish) for order in orders)
            for order in orders:
                if isinstance(order, jobs.SendStart):
                    starts += before.protocol == 1
                if isinstance(order, Finish):
                    kinds.append(("final", order.outcome.kind, 1))
            if open_ is not None:
                states = ORDER.index(before.target.state), ORDER.index(open_.target.state)
                assert states[0] <= states[1], "the state never goes back"
                moment = jobs.due(open_, None)
                if isinstance(event, jobs.Tick) and event.silent_since is None:
                    assert moment is None or moment > now, "what was due has been done"
        assert outcomes == (open_ is None)
        assert starts == 0, "an ancestor never gets it twice"
        if open_ is not None:
            kinds.append((open_.target.state, None, 1))

    counts = count_targets(kinds)
    others = [getattr(counts, name) for name in counts.__dataclass_fields__ if name != "targeted"]
    assert counts.targeted == len(histories) == sum(others)
