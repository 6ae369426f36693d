"""One host against agent processes that come, go, lose answers and speak out of turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emf_agent.wire import (
    ActionStart,
    AgentMessage,
    ManagerData,
    ManagerMessage,
    NodeData,
    SessionCreateRequest,
    SessionCreateResponse,
)
from emf_manager.agents import values as v
from emf_manager.agents.outgoing import MAX_LETTERS, ready
from emf_manager.agents.rules import LEASE_S, MAX_SUPERSEDED, step

OSS1 = "oss1.local"
WHICH = st.sampled_from([0, 0, 0, 1, 2])
"""Which process, or which poll, counted from the newest; mostly that."""
DAEMONS = st.sampled_from(["action_runner", "ntp"])


@dataclass
class Process:
    """An agent process as it sees itself."""

    instance: str
    protocol: int
    last_number: int | None = None
    sessions: dict[str, str] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    envelopes: list[v.Posted] = field(default_factory=list)

    @property
    def contact(self) -> v.Contact:
        return v.Contact(self.instance, "boot", self.protocol)

    def take(self, messages: tuple[ManagerMessage, ...]) -> None:
        for message in messages:
            if message.seq is not None:
                if message.seq <= (self.last_number or 0):
                    continue
                self.last_number = message.seq
            if isinstance(message, SessionCreateResponse):
                self.sessions[message.plugin] = message.session_id
                self.counters[message.plugin] = 0
            elif isinstance(message, ManagerData):
                assert isinstance(message.body, dict)
                self.actions.append(str(message.body["id"]))


class OneHost(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.host = v.Host(OSS1)
        self.now = 0.0
        self.serial = 0
        self.processes: list[Process] = []
        self.woken: set[int] = set()
        self.hanging: dict[int, Process] = {}
        self.sent: dict[str, str] = {}
        """Actions that were taken for sending: by id, the session they were for."""
        self.received: set[tuple[str, int]] = set()
        self.covered: dict[str, int] = {}

    def do(self, event: v.Event) -> tuple[v.Order, ...]:
        self.host, orders = step(self.host, event, self.now)
        for order in orders:
            match order:
                case v.Wake(poll):
                    self.woken.add(poll)
                case v.Received(session, _, _):
                    key = (session.id, session.sequence)
                    assert key not in self.received, "no value is taken twice"
                    self.received.add(key)
                    self.covered[session.id] = self.covered.get(session.id, 0) + 1
                case v.Missing(session, first, last):
                    assert first <= last
                    self.covered[session.id] = self.covered.get(session.id, 0) + last - first + 1
                case _:
                    pass
        return orders

    def fresh(self, kind: str) -> str:
        self.serial += 1
        return f"{kind}{self.serial}"

    def post(self, process: Process, *messages: AgentMessage) -> None:
        posted = v.Posted(
            process.contact,
            tuple(enumerate(messages)),
            envelope_id=self.fresh("e") if process.protocol == 2 else None,
            fresh_ids=tuple(self.fresh("s") for _ in messages),
        )
        process.envelopes.append(posted)
        orders = self.do(posted)
        answers = [order for order in orders if isinstance(order, v.Accept | v.Refuse)]
        assert len(answers) == 1
        zombie = process is not self.processes[-1]
        assert isinstance(answers[0], v.Refuse) == zombie, "only the newest process is heard"

    @rule(protocol=st.sampled_from([1, 2]))
    def a_process_starts(self, protocol: int) -> None:
        if len(self.processes) >= MAX_SUPERSEDED:
            return
        self.processes.append(Process(self.fresh("start"), protocol))
        self.post(self.processes[-1])

    @precondition(lambda self: self.processes)
    @rule(which=WHICH, daemon=DAEMONS, resume=st.booleans())
    def it_asks_for_a_session(self, which: int, daemon: str, resume: bool) -> None:
        process = self.processes[-1 - which % len(self.processes)]
        known = process.sessions.get(daemon) if resume else None
        before = self.host.sessions.get(daemon)
        self.post(process, SessionCreateRequest(fqdn=OSS1, plugin=daemon, resume=known))
        if process is self.processes[-1]:
            resumed = before is not None and known == before.id
            after = self.host.sessions[daemon]
            assert (before is not None and after.id == before.id) == resumed

    @rule(protocol=st.sampled_from([1, 2, 2]))
    def an_agent_settles(self, protocol: int) -> None:
        self.a_process_starts(protocol)
        for daemon in ("action_runner", "ntp"):
            self.it_asks_for_a_session(which=0, daemon=daemon, resume=False)
        for _ in range(2):
            self.it_polls(which=0)
            self.a_poll_is_answered(which=0, lost=False)

    @precondition(lambda self: self.host.sessions)
    @rule(lost=st.booleans())
    def an_action_goes_out(self, lost: bool) -> None:
        self.an_action_is_sent()
        self.it_polls(which=0)
        self.a_poll_is_answered(which=0, lost=lost)

    @precondition(lambda self: self.processes)
    @rule(which=WHICH, daemon=DAEMONS, skip=st.integers(0, 2))
    def it_sends_a_value(self, which: int, daemon: str, skip: int) -> None:
        process = self.processes[-1 - which % len(self.processes)]
        if daemon not in process.sessions or daemon == "action_runner":
            return
        process.counters[daemon] += 1 + skip
        message = NodeData(
            fqdn=OSS1,
            plugin=daemon,
            session_id=process.sessions[daemon],
            session_seq=process.counters[daemon],
            body=None,
        )
        self.post(process, message)

    @precondition(lambda self: self.processes and self.processes[-1].envelopes)
    @rule(which=st.integers(0, 5))
    def it_repeats_an_envelope(self, which: int) -> None:
        process = self.processes[-1]
        posted = process.envelopes[-1 - which % len(process.envelopes)]
        if posted.envelope_id is None:
            return
        before = self.host.sessions
        (answer,) = [o for o in self.do(posted) if isinstance(o, v.Accept)]
        assert answer.repeated
        assert {s.id for s in before.values()} == {s.id for s in self.host.sessions.values()}

    @precondition(lambda self: self.processes)
    @rule(which=WHICH)
    def it_polls(self, which: int) -> None:
        process = self.processes[-1 - which % len(self.processes)]
        before = self.host.poll
        orders = self.do(v.Polled(process.contact, process.last_number))
        hangs = [order for order in orders if isinstance(order, v.Hang)]
        assert bool(hangs) == (process is self.processes[-1])
        if hangs:
            assert not before or before in self.woken, "a replaced poll is woken"
            self.hanging[hangs[0].poll] = process

    @precondition(lambda self: self.hanging)
    @rule(which=WHICH, lost=st.booleans())
    def a_poll_is_answered(self, which: int, lost: bool) -> None:
        poll = sorted(self.hanging)[-1 - which % len(self.hanging)]
        process = self.hanging.pop(poll)
        (answer,) = [o for o in self.do(v.Collect(poll)) if isinstance(o, v.Answer)]
        if process is not self.processes[-1] or poll < self.host.polls:
            assert answer.messages == (), "a GET that was replaced takes nothing"
        if process.protocol == 2 and lost:
            return
        process.take(answer.messages)

    @precondition(lambda self: self.hanging)
    @rule(which=WHICH)
    def a_client_goes_away(self, which: int) -> None:
        poll = sorted(self.hanging)[-1 - which % len(self.hanging)]
        del self.hanging[poll]
        self.do(v.Abandoned(poll))

    @rule()
    def an_action_is_sent(self) -> None:
        action_id = self.fresh("a")
        session = self.host.sessions.get("action_runner")
        body = ActionStart(action="x", args=None, id=action_id).model_dump(mode="json")
        orders = self.do(v.Send("action_runner", body, action_id))
        unsent = any(isinstance(order, v.Unsent) for order in orders)
        assert unsent == (session is None)
        if session is not None:
            self.sent[action_id] = session.id

    @rule()
    def a_nudge(self) -> None:
        self.do(v.Nudge())

    @rule(seconds=st.sampled_from([1.0, LEASE_S / 2, LEASE_S, 10 * LEASE_S]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.do(v.Tick())
        if self.host.instance is not None and seconds >= LEASE_S:
            assert self.host.silent

    @invariant()
    def each_daemon_has_one_session(self) -> None:
        for daemon, session in self.host.sessions.items():
            assert session.daemon == daemon
            assert session.lost == self.host.silent

    @invariant()
    def everything_is_bounded(self) -> None:
        assert len(self.host.outgoing.letters) <= MAX_LETTERS
        assert len(self.host.superseded) <= MAX_SUPERSEDED

    @invariant()
    def no_wake_up_is_missed(self) -> None:
        if self.host.poll and (self.host.greeting_due or ready(self.host.outgoing)):
            assert self.host.poll in self.woken

    @invariant()
    def an_action_for_a_living_session_waits_or_has_arrived(self) -> None:
        if not self.processes:
            return
        living = {session.id for session in self.host.sessions.values()}
        waiting = {letter.action_id for letter in self.host.outgoing.letters}
        for action_id, session_id in self.sent.items():
            if session_id in living:
                assert action_id in waiting or action_id in self.processes[-1].actions

    @invariant()
    def no_action_arrives_twice_or_at_another_process(self) -> None:
        arrived = [action_id for process in self.processes for action_id in process.actions]
        assert len(arrived) == len(set(arrived))

    @invariant()
    def every_number_is_received_or_named_as_missing(self) -> None:
        for session in self.host.sessions.values():
            assert self.covered.get(session.id, 0) == session.sequence


TestOneHost = OneHost.TestCase
TestOneHost.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
