"""One session's rules: the table, and invariants over any history."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emf_agent import session_state as s

RULES = s.Rules(answer_within_s=30.0, between_sessions_s=5.0)
EMPTY = s.Empty(due=10.0, failures=2)
PENDING = s.Pending(generation=3, since=10.0, failures=2)
ACTIVE = s.Active("one", since=10.0, generation=3)
RESUMING = s.Active("one", since=10.0, generation=3, asked_at=20.0)


def stop(reason: str, *, tell: bool) -> s.StopInstance:
    return s.StopInstance("one", reason, tell_manager=tell)


@dataclass(frozen=True)
class Row:
    name: str
    before: s.State
    event: s.Event
    now: float
    after: s.State
    orders: tuple[s.Order, ...] = ()


TABLE = [
    Row("too early to ask", EMPTY, s.Tick(), 9.0, EMPTY),
    Row("asks when due", EMPTY, s.Tick(), 10.0, s.Pending(0, 10.0, 2), (s.Ask(0),)),
    Row("a renewed link keeps an earned pause", EMPTY, s.LinkRenewed(), 1.0, EMPTY),
    Row(
        "a renewed link cuts a plain wait short",
        s.Empty(due=15.0),
        s.LinkRenewed(),
        11.0,
        s.Empty(due=11.0),
    ),
    Row(
        "an answer to a given-up request is handed back",
        EMPTY,
        s.Opened("one"),
        1.0,
        EMPTY,
        (stop("not asked for any more", tell=True),),
    ),
    Row("a late failure means nothing", EMPTY, s.AskFailed(3, "x", 1.0), 1.0, EMPTY),
    Row("nothing to terminate", EMPTY, s.Terminated(None), 1.0, EMPTY),
    Row("empty for good", EMPTY, s.Stop("bye"), 1.0, s.Empty(math.inf, 2, "bye")),
    Row("waits for the answer", PENDING, s.Tick(), 39.9, PENDING),
    Row("asks again", PENDING, s.Tick(), 40.0, s.Pending(4, 40.0, 2), (s.Ask(4),)),
    Row(
        "asks a renewed manager again",
        PENDING,
        s.LinkRenewed(),
        11.0,
        s.Pending(4, 11.0, 2),
        (s.Ask(4),),
    ),
    Row(
        "becomes active",
        PENDING,
        s.Opened("one"),
        11.0,
        s.Active("one", 11.0, 3, 2),
        (s.StartInstance("one"),),
    ),
    Row(
        "pauses when the request failed",
        PENDING,
        s.AskFailed(3, "no", 4.0),
        11.0,
        s.Empty(15.0, 3, "no"),
    ),
    Row("ignores an older failure", PENDING, s.AskFailed(2, "no", 4.0), 11.0, PENDING),
    Row("is not what is terminated", PENDING, s.Terminated("one"), 11.0, PENDING),
    Row(
        "asks again when all was terminated",
        PENDING,
        s.Terminated(None),
        11.0,
        s.Pending(4, 11.0, 2),
        (s.Ask(4),),
    ),
    Row("gives up at the end", PENDING, s.Stop("bye"), 11.0, s.Empty(math.inf, 2, "bye")),
    Row("needs no tick", ACTIVE, s.Tick(), 1e9, ACTIVE),
    Row(
        "asks a renewed manager to resume",
        ACTIVE,
        s.LinkRenewed(),
        20.0,
        s.Active("one", 10.0, 4, asked_at=20.0),
        (s.Ask(4, resume="one"),),
    ),
    Row("waits to be resumed", RESUMING, s.Tick(), 49.9, RESUMING),
    Row(
        "asks to be resumed again",
        RESUMING,
        s.Tick(),
        50.0,
        s.Active("one", 10.0, 4, asked_at=50.0),
        (s.Ask(4, resume="one"),),
    ),
    Row("is resumed", RESUMING, s.Opened("one"), 21.0, ACTIVE),
    Row(
        "is replaced",
        RESUMING,
        s.Opened("two"),
        21.0,
        s.Active("two", 21.0, 3),
        (stop("replaced by a new session", tell=False), s.StartInstance("two")),
    ),
    Row("a failed request leaves it alive", RESUMING, s.AskFailed(3, "x", 1.0), 21.0, RESUMING),
    Row(
        "is terminated",
        ACTIVE,
        s.Terminated("one", "why"),
        20.0,
        s.Empty(20.0, reason="why"),
        (stop("why", tell=False),),
    ),
    Row(
        "is terminated with everything, soon after it began",
        ACTIVE,
        s.Terminated(None),
        11.0,
        s.Empty(15.0, reason="terminated by the manager"),
        (stop("terminated by the manager", tell=False),),
    ),
    Row("another session's end is not ours", ACTIVE, s.Terminated("two"), 20.0, ACTIVE),
    Row(
        "a good start forgives",
        s.Active("one", 10.0, 3, failures=2),
        s.InstanceStarted("one"),
        11.0,
        ACTIVE,
    ),
    Row("an older start means nothing", ACTIVE, s.InstanceStarted("zero"), 11.0, ACTIVE),
    Row(
        "pauses after a failure",
        s.Active("one", 10.0, 3, failures=2),
        s.InstanceFailed("one", "boom", "retry", 8.0),
        20.0,
        s.Empty(28.0, 3, "boom"),
        (stop("boom", tell=True),),
    ),
    Row(
        "never tries a fatal failure again",
        ACTIVE,
        s.InstanceFailed("one", "boom", "fatal", 8.0),
        20.0,
        s.Empty(math.inf, 1, "boom"),
        (stop("boom", tell=True),),
    ),
    Row(
        "never tries what is not applicable",
        ACTIVE,
        s.InstanceFailed("one", "no disks", "not-applicable", 8.0),
        20.0,
        s.Empty(math.inf, 1, "no disks"),
        (stop("no disks", tell=True),),
    ),
    Row(
        "an older failure means nothing",
        ACTIVE,
        s.InstanceFailed("zero", "boom", "retry", 8.0),
        20.0,
        ACTIVE,
    ),
    Row(
        "says goodbye",
        ACTIVE,
        s.Stop("bye"),
        20.0,
        s.Empty(math.inf, reason="bye"),
        (stop("bye", tell=True),),
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_a_session_steps(row: Row) -> None:
    assert s.step(row.before, row.event, row.now, RULES) == (row.after, row.orders)


@pytest.mark.parametrize(
    ("state", "due"),
    [(EMPTY, 10.0), (PENDING, 40.0), (ACTIVE, math.inf), (RESUMING, 50.0)],
    ids=["empty", "pending", "active", "resuming"],
)
def test_the_next_tick_is_known(state: s.State, due: float) -> None:
    assert s.next_tick(state, RULES) == due


PAUSES = st.floats(0, 100)
IDS = st.sampled_from(["a", "b", "c"])


class OneSession(RuleBasedStateMachine):
    """Any order of events, with a shell that carries the orders out."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.state: s.State = s.Empty(due=0.0)
        self.alive: list[str] = []
        self.generations: list[int] = []
        self.stopped = False

    def feed(self, event: s.Event) -> None:
        self.state, orders = s.step(self.state, event, self.now, RULES)
        for order in orders:
            match order:
                case s.StartInstance(session_id):
                    self.alive.append(session_id)
                case s.StopInstance(session_id):
                    if session_id in self.alive:
                        self.alive.remove(session_id)
                case s.Ask(generation):
                    assert not self.stopped
                    self.generations.append(generation)

    @rule(seconds=st.floats(0, 60))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.feed(s.Tick())

    @rule(session_id=IDS)
    def opened(self, session_id: str) -> None:
        self.feed(s.Opened(session_id))

    @rule(generation=st.integers(0, 5), pause_s=PAUSES)
    def ask_failed(self, generation: int, pause_s: float) -> None:
        self.feed(s.AskFailed(generation, "no", pause_s))

    @rule(session_id=IDS | st.none())
    def terminated(self, session_id: str | None) -> None:
        self.feed(s.Terminated(session_id))

    @rule()
    def link_renewed(self) -> None:
        self.feed(s.LinkRenewed())

    @rule(session_id=IDS)
    def started(self, session_id: str) -> None:
        self.feed(s.InstanceStarted(session_id))

    @rule(session_id=IDS, kind=st.sampled_from(["retry", "fatal", "not-applicable"]), wait=PAUSES)
    def failed(self, session_id: str, kind: s.FailureKind, wait: float) -> None:
        self.feed(s.InstanceFailed(session_id, "boom", kind, wait))

    @rule()
    @precondition(lambda self: self.generations)
    def stop(self) -> None:
        self.feed(s.Stop("bye"))
        self.stopped = True

    @invariant()
    def an_instance_lives_exactly_while_active(self) -> None:
        wanted = [self.state.session_id] if isinstance(self.state, s.Active) else []
        assert self.alive == wanted

    @invariant()
    def nothing_waits_for_ever_without_a_reason(self) -> None:
        if isinstance(self.state, s.Pending):
            assert s.next_tick(self.state, RULES) <= self.state.since + RULES.answer_within_s
        if isinstance(self.state, s.Empty) and math.isinf(self.state.due):
            assert self.state.reason is not None

    @invariant()
    def after_the_end_nothing_begins(self) -> None:
        if self.stopped:
            assert isinstance(self.state, s.Empty)


TestOneSession = OneSession.TestCase
