"""Rollouts under anything that may happen, with a manager that dies between any two writes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emf_manager import rollouts as r
from emf_manager.records import Job, Outcome, Target

SHARES = st.builds(r.Share, st.integers(1, 12)) | st.builds(
    r.Share, st.integers(1, 100), percent=st.just(True)
)
KINDS = ["ok", "ok", "ok", "failed", "cancelled", "timed_out", "refused", "expired", "unknown"]


class Fleet(RuleBasedStateMachine):
    """The store is a dictionary; the manager's memory may be lost at any moment."""

    @initialize(
        total=st.integers(1, 24),
        clusters=st.integers(1, 8),
        batch=st.none() | SHARES,
        canary=st.none() | SHARES,
        fail_limit=st.none() | SHARES,
        spread=st.sampled_from([None, "ha"]),
        deadline=st.none() | st.floats(1, 40),
    )
    def order(self, total: int, clusters: int, deadline: float | None, **options: Any) -> None:
        self.now = 0.0
        self.rollout = r.Rollout(**options)
        nodes = [f"n{number}" for number in range(total)]
        spread = options["spread"] == "ha"
        apart = {node: f"c{int(node[1:]) % clusters}" for node in nodes} if spread else {}
        batches = r.plan(nodes, self.rollout, apart).batches
        told = r.write_rollout(self.rollout)
        self.job = Job("j", "a", None, "m", 0.0, 60.0, rollout=told, deadline=deadline)
        self.store = {
            node: Target(
                node,
                "j",
                node,
                state="queued" if number == 1 else "held",
                batch=number,
                apart=apart.get(node),
            )
            for number, batch in enumerate(batches, 1)
            for node in batch
        }
        self.released = dict.fromkeys(batches[0], 0.0)
        self.asked_to_end = False
        self.start()

    def start(self) -> None:
        self.rolling = r.resume(self.job, self.store.values())
        self.take(r.Tick())

    def take(self, event: r.Event, *, dies_after: int | None = None) -> None:
        rolling, orders = r.step(self.rolling, event, self.now)
        for place, order in enumerate(orders):
            if place == dies_after:
                self.start()
                return
            self.carry_out(order)
        self.rolling = rolling

    def carry_out(self, order: r.Order) -> None:
        for action_id in order.action_ids:
            target = self.store[action_id]
            assert target.state == "held"
            if isinstance(order, r.Release):
                self.judge_release(target)
                self.store[action_id] = replace(target, state="queued")
                self.released[action_id] = self.now
            else:
                self.settle(action_id, order.kind, order.reason)

    def settle(self, action_id: str, kind: Any, reason: str | None) -> None:
        by_manager = Outcome(action_id, action_id, kind, self.now, by="manager", reason=reason)
        self.store[action_id] = replace(self.store[action_id], state="final", outcome=by_manager)

    def judge_release(self, target: Target) -> None:
        ended = [one.outcome for one in self.store.values() if one.outcome is not None]
        stopped = {"fail-limit", "canary-failed", "deadline"}
        assert not self.asked_to_end
        assert not stopped & {outcome.reason for outcome in ended}
        assert self.job.deadline is None or self.now < self.job.deadline
        for other in self.store.values():
            if other.batch < target.batch:
                assert other.state == "final"
            if target.apart is not None and other.apart == target.apart and other is not target:
                assert other.state in ("held", "final")
                assert other.outcome is None or other.outcome.reason != "no-contact"
        if self.rollout.fail_limit is not None:
            failed = [o for o in ended if o.kind not in ("ok", "cancelled")]
            assert len(failed) < self.rollout.fail_limit.of(len(self.store))
        if self.rollout.canary is not None:
            first = [one for one in self.store.values() if one.batch == 1]
            assert all(one.outcome is not None and one.outcome.kind == "ok" for one in first)

    @rule(data=st.data(), kind=st.sampled_from(KINDS), dies=st.none() | st.integers(0, 2))
    def a_node_ends(self, data: st.DataObject, kind: Any, dies: int | None) -> None:
        running = [one.action_id for one in self.store.values() if one.state == "queued"]
        if not running:
            return
        action_id = data.draw(st.sampled_from(running))
        reason = "no-contact" if kind == "unknown" else None
        self.settle(action_id, kind, reason)
        self.take(r.Ended(action_id, kind, reason), dies_after=dies)

    @rule(data=st.data())
    def a_node_is_removed(self, data: st.DataObject) -> None:
        left = [one for one in self.store.values() if one.state != "final"]
        if not left:
            return
        target = data.draw(st.sampled_from(left))
        kind: Any = "cancelled" if target.state == "held" else "unknown"
        self.settle(target.action_id, kind, "node-removed")
        self.take(r.Ended(target.action_id, kind, "node-removed"))

    @rule()
    def somebody_cancels(self) -> None:
        self.take(r.Cancelled())
        self.asked_to_end = True

    @rule()
    def the_manager_is_killed(self) -> None:
        self.start()

    @rule(seconds=st.floats(0.1, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        moment = r.due(self.rolling)
        if moment is not None and moment <= self.now:
            self.take(r.Tick())

    @invariant()
    def memory_says_what_the_store_says(self) -> None:
        held = {one.action_id for one in self.store.values() if one.state == "held"}
        assert {piece.action_id for piece in self.rolling.held} == held

    @invariant()
    def something_goes_as_long_as_something_is_held(self) -> None:
        states = {one.state for one in self.store.values()}
        assert "held" not in states or "queued" in states


Fleet.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_rollouts_keep_their_promises = Fleet.TestCase
