"""One node's actions under crashes of either side and lost answers: the promises, over any history.

The agent is a model with a journal of three durable points; the manager is the real desk over a
ledger that keeps what a real store would. Either may die at any moment, any answer may be lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emf_agent.wire import (
    ActionAccepted,
    ActionResult,
    ActionStarted,
    AgentMessage,
    CancelState,
    Clocks,
    Hello,
    ManagerData,
    NodeData,
    Ok,
    SessionCreateRequest,
    SessionCreateResponse,
    SessionTerminate,
    encode_report,
)
from emf_manager import desk as d
from emf_manager.agents import values as v
from emf_manager.agents.rules import ACTION_RUNNER, LEASE_S
from emf_manager.desk_rules import step
from emf_manager.jobs import NO_CONTACT_S, Open
from emf_manager.records import Job, Node, Outcome, SessionRecord, Target
from emf_manager.store.changes import judge
from emf_manager.store.interface import Changes

OSS1 = "oss1.local"
WALL = 1_800_000_000.0
EXPIRES_S = 120.0
SELDOM = st.sampled_from([False, False, False, True])


@dataclass
class Ledger:
    """What a store keeps, as plain values."""

    node: Node
    sessions: dict[str, SessionRecord] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    envelopes: list[str] = field(default_factory=list)
    conflicts: int = 0

    def record(self, changes: Changes) -> None:
        if changes.envelope is not None:
            assert changes.envelope.id not in self.envelopes, "an envelope is taken once"
            self.envelopes.append(changes.envelope.id)
        for node in changes.nodes:
            self.node = node
        for session in changes.sessions:
            self.sessions[session.session_id] = session
        for news in changes.targets:
            target = self.targets[news.action_id]
            if target.outcome is None:
                moment: dict[str, Any] = {}
                if news.state is not None:
                    moment = {"state": news.state, news.state: news.at}
                self.targets[news.action_id] = replace(
                    target, **moment, cancel=news.cancel or target.cancel
                )
        for remark in changes.outcomes:
            self.settle(remark.outcome)

    def settle(self, outcome: Outcome) -> None:
        target = self.targets[outcome.action_id]
        verdict = judge(target, outcome).verdict
        assert verdict != "orphan"
        self.conflicts += verdict == "conflict"
        if verdict in ("recorded", "resolved"):
            self.targets[outcome.action_id] = replace(target, state="final", outcome=outcome)


@dataclass
class Entry:
    """One row of the agent's journal."""

    state: str
    expires: float
    result: ActionResult | None = None
    acknowledged: bool = False


class Fleet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.serial = 0
        self.ledger = Ledger(Node(OSS1))
        self.desk = d.restore(self.ledger.node, self.now, WALL + self.now)
        self.poll_hangs = 0
        # the agent
        self.journal: dict[str, Entry] = {}
        self.journal_id = "j1"
        self.lost_journals: dict[str, Entry] = {}
        self.runs: list[str] = []
        self.agent_starts()
        self.all_is_well()

    # The manager

    def apply(self, event: d.Event, *, dies: bool = False) -> tuple[d.Effect, ...] | None:
        turn = step(self.desk, event, self.now, WALL + self.now, lease_s=LEASE_S)
        if dies:
            self.manager_restarts()
            return None
        self.ledger.record(turn.changes)
        self.desk = turn.desk
        return turn.effects

    @rule()
    def manager_restarts(self) -> None:
        desk = d.restore(
            self.ledger.node,
            self.now,
            WALL + self.now,
            sessions=[s for s in self.ledger.sessions.values() if s.state != "ended"],
            envelopes=tuple(self.ledger.envelopes),
        )
        opened = {
            t.action_id: Open(
                self.ledger.jobs[t.job_id],
                t,
                self.ledger.jobs[t.job_id].expires - WALL,
                protocol=None if t.state == "queued" else 2,
            )
            for t in self.ledger.targets.values()
            if t.outcome is None
        }
        self.desk = replace(desk, open=opened)

    @rule()
    def a_job_is_ordered(self) -> None:
        self.serial += 1
        job = Job(
            f"job{self.serial}", "a", None, "maria", WALL + self.now, WALL + self.now + EXPIRES_S
        )
        target = Target(f"{job.id}.0", job.id, OSS1, queued=WALL + self.now)
        self.ledger.jobs[job.id] = job
        self.ledger.targets[target.action_id] = target
        self.apply(d.Added((Open(job, target, self.now + EXPIRES_S),)))

    @rule(lost=SELDOM)
    def a_job_goes_out(self, lost: bool) -> None:
        self.a_job_is_ordered()
        self.agent_polls(lost=lost, dies=False)

    @rule()
    def a_long_silence(self) -> None:
        self.time_passes(LEASE_S)
        self.time_passes(NO_CONTACT_S)

    @precondition(lambda self: self.ledger.targets)
    @rule(which=st.integers(0, 3))
    def a_job_is_cancelled(self, which: int) -> None:
        ids = sorted(self.ledger.targets)
        self.apply(d.CancelActions((ids[-1 - which % len(ids)],), "maria"))

    @rule(seconds=st.sampled_from([1.0, 30.0, LEASE_S, EXPIRES_S]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.apply(v.Tick())

    # The agent

    @rule()
    def agent_starts(self) -> None:
        """Start, or crash and start again: what had been started is unknown, honestly."""
        self.serial += 1
        self.contact = v.Contact(f"start{self.serial}", "boot", 2)
        self.session: str | None = None
        self.counter = 0
        self.handled: int | None = None
        self.unsent: list[Any] = []
        self.in_flight: v.Posted | None = None
        self.greeted = False
        for action_id, entry in self.journal.items():
            if entry.state == "started":
                entry.state = "finished"
                entry.result = ActionResult(
                    id=action_id,
                    result=Ok(value=None),
                    outcome="unknown",
                    reason="agent-restart",
                )

    @rule()
    def agent_loses_its_journal(self) -> None:
        self.lost_journals |= self.journal
        self.journal = {}
        self.serial += 1
        self.journal_id = f"j{self.serial}"
        self.agent_starts()

    @rule(lost=SELDOM, dies=SELDOM)
    def agent_posts(self, lost: bool, dies: bool) -> None:
        if self.in_flight is None:
            self.in_flight = self.envelope()
        effects = self.apply(self.in_flight, dies=dies)
        if effects is None or lost:
            return
        sent, self.in_flight = self.in_flight, None
        (answer,) = [e for e in effects if isinstance(e, v.Accept | v.Refuse)]
        assert isinstance(answer, v.Accept)
        self.greeted = True
        refused = {verdict.index for verdict in answer.verdicts}
        for index, message in sent.messages:
            if isinstance(message, NodeData) and isinstance(message.body, dict):
                wrapped = message.body.get("Ok")
                if index in refused:
                    self.session = None
                elif isinstance(wrapped, dict) and str(wrapped["id"]) in self.journal:
                    self.journal[str(wrapped["id"])].acknowledged = True

    def envelope(self) -> v.Posted:
        messages: list[AgentMessage] = []
        if self.session is None:
            messages.append(SessionCreateRequest(fqdn=OSS1, plugin=ACTION_RUNNER))
        else:
            kept = [e.result for e in self.journal.values() if e.result and not e.acknowledged]
            for report in (*self.unsent, *kept):
                self.counter += 1
                messages.append(
                    NodeData(
                        fqdn=OSS1,
                        plugin=ACTION_RUNNER,
                        session_id=self.session,
                        session_seq=self.counter,
                        body=encode_report(report),
                    )
                )
            self.unsent = []
        self.serial += 1
        hello = Hello(
            agent_version="0",
            protocol=2,
            journal_id=self.journal_id,
            journal_sequence=len(self.journal),
            clocks=Clocks(wall=0.0, monotonic=0.0),
            boot_id="b",
            catalogue_digest="d",
        )
        return v.Posted(
            self.contact,
            tuple(enumerate(messages)),
            envelope_id=f"e{self.serial}",
            hello=None if self.greeted else hello,
            fresh_ids=tuple(f"s{self.serial}-{place}" for place in range(len(messages))),
        )

    @rule(lost=SELDOM, dies=SELDOM)
    def agent_polls(self, lost: bool, dies: bool) -> None:
        if not self.greeted:
            return
        effects = self.apply(v.Polled(self.contact, self.handled))
        assert effects is not None
        (hang,) = [e for e in effects if isinstance(e, v.Hang)]
        effects = self.apply(v.Collect(hang.poll), dies=dies)
        if effects is None or lost:
            return
        (answer,) = [e for e in effects if isinstance(e, v.Answer)]
        for message in answer.messages:
            assert message.seq is not None
            if message.seq > (self.handled or 0):
                self.handled = message.seq
                self.take(message)

    def take(self, message: Any) -> None:
        match message:
            case SessionCreateResponse():
                self.session, self.counter = message.session_id, 0
            case SessionTerminate() if message.session_id == self.session:
                self.session = None
            case ManagerData() if message.session_id == self.session:
                body: Any = message.body
                if body["type"] == "ACTION_START":
                    self.take_start(body["id"], body["expires_in"])
                else:
                    self.take_cancel(body["id"])

    def take_start(self, action_id: str, expires_in: float) -> None:
        entry = self.journal.setdefault(action_id, Entry("accepted", self.now + expires_in))
        if entry.result is None:
            self.unsent.append(ActionAccepted(id=action_id))
        entry.acknowledged = False

    def take_cancel(self, action_id: str) -> None:
        entry = self.journal.get(action_id)
        if entry is None:
            self.unsent.append(CancelState(id=action_id, state="unknown_id"))
        elif entry.result is not None:
            self.unsent.append(CancelState(id=action_id, state="too_late"))
        else:
            self.unsent.append(CancelState(id=action_id, state="taken"))
            self.finish(action_id, "cancelled")

    @rule()
    def agent_works(self) -> None:
        for action_id, entry in self.journal.items():
            if entry.state == "started":
                self.finish(action_id, "ok")
            elif entry.state == "accepted" and self.now >= entry.expires:
                self.finish(action_id, "expired")
            elif entry.state == "accepted":
                entry.state = "started"
                self.runs.append(action_id)
                self.unsent.append(ActionStarted(id=action_id))

    def finish(self, action_id: str, outcome: Any) -> None:
        entry = self.journal[action_id]
        entry.state = "finished"
        entry.result = ActionResult(id=action_id, result=Ok(value=None), outcome=outcome)

    # All is well for a while

    @rule()
    def all_is_well(self) -> None:
        for _ in range(4):
            self.agent_posts(lost=False, dies=False)
            self.agent_polls(lost=False, dies=False)
            self.agent_works()

    def teardown(self) -> None:
        self.all_is_well()
        self.all_is_well()
        for target in self.ledger.targets.values():
            in_time = WALL + self.now < self.ledger.jobs[target.job_id].expires
            assert target.outcome is not None or not in_time, "with contact, an action ends"
        self.now += EXPIRES_S
        for _ in range(3):
            self.all_is_well()
        self.now += LEASE_S + NO_CONTACT_S
        self.apply(v.Tick())
        self.now += NO_CONTACT_S
        self.apply(v.Tick())
        for action_id, target in self.ledger.targets.items():
            assert target.outcome is not None, "every action ends"
            entry = self.journal.get(action_id)
            if entry is not None and entry.result is not None:
                told = target.outcome
                assert told.kind == entry.result.outcome, "what the node recorded is what is told"
                assert told.by == "node"
        assert not self.desk.open

    @invariant()
    def nothing_runs_twice(self) -> None:
        assert len(self.runs) == len(set(self.runs))

    @invariant()
    def no_outcome_contradicts_another(self) -> None:
        assert self.ledger.conflicts == 0

    @invariant()
    def what_is_open_here_is_open_on_disk(self) -> None:
        on_disk = {i for i, target in self.ledger.targets.items() if target.outcome is None}
        assert set(self.desk.open) == on_disk

    @invariant()
    def success_is_only_what_the_node_recorded(self) -> None:
        for action_id, target in self.ledger.targets.items():
            if target.outcome is not None and target.outcome.kind == "ok":
                entry = self.journal.get(action_id) or self.lost_journals[action_id]
                assert entry.result is not None
                assert entry.result.outcome == "ok"


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
