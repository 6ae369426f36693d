"""The rules of one host, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import pytest

from emf_agent.wire import (
    ActionStart,
    AgentMessage,
    Clocks,
    Dropped,
    Hello,
    ManagerData,
    ManagerMessage,
    NodeData,
    SessionCreateRequest,
    SessionCreateResponse,
    SessionEnd,
    SessionTerminate,
    SessionTerminateAll,
    Unreadable,
)
from emf_manager.agents import values as v
from emf_manager.agents.outgoing import MAX_LETTERS
from emf_manager.agents.rules import LEASE_S, MAX_SESSIONS, due, step

O = TypeVar("O", bound=v.Order)  # noqa: E741 - an order

OSS1 = "oss1.local"
FIRST = v.Contact("start-1", "boot-1", 2)
SECOND = v.Contact("start-2", "boot-1", 2)
OLD_FIRST = v.Contact("start-1", "boot-1", 1)
OLD_SECOND = v.Contact("start-2", "boot-1", 1)


class Bench:
    """One host, driven event by event; keeps the last orders."""

    def __init__(self) -> None:
        self.host = v.Host(OSS1)
        self.now = 1000.0
        self.orders: tuple[v.Order, ...] = ()
        self.ids = 0

    def do(self, event: v.Event) -> tuple[v.Order, ...]:
        self.host, self.orders = step(self.host, event, self.now)
        return self.orders

    def post(self, contact: v.Contact, *messages: AgentMessage, **rest: Any) -> None:
        self.ids += 1
        fresh = tuple(f"s{self.ids}-{place}" for place in range(len(messages)))
        self.do(v.Posted(contact, tuple(enumerate(messages)), fresh_ids=fresh, **rest))

    def poll(self, contact: v.Contact, acknowledged: int | None = None) -> int:
        self.do(v.Polled(contact, acknowledged))
        return self.one(v.Hang).poll

    def collect(self, poll: int) -> tuple[ManagerMessage, ...]:
        self.do(v.Collect(poll))
        return self.one(v.Answer).messages

    def get(
        self, contact: v.Contact, acknowledged: int | None = None
    ) -> tuple[ManagerMessage, ...]:
        return self.collect(self.poll(contact, acknowledged))

    def open(self, contact: v.Contact, daemon: str = "ntp", resume: str | None = None) -> str:
        self.post(contact, SessionCreateRequest(fqdn=OSS1, plugin=daemon, resume=resume))
        return self.host.sessions[daemon].id

    def all(self, kind: type[O]) -> list[O]:
        return [order for order in self.orders if isinstance(order, kind)]

    def one(self, kind: type[O]) -> O:
        (order,) = self.all(kind)
        return order

    def start(self, action_id: str, *, within: float = 60.0) -> None:
        body = ActionStart(action="a", args=None, id=action_id, expires_in=within)
        self.do(v.Send("action_runner", body.model_dump(mode="json"), action_id, self.now + within))


def data(
    session_id: str, seq: int, body: Any = None, *, daemon: str = "ntp", **rest: Any
) -> NodeData:
    return NodeData(
        fqdn=OSS1, plugin=daemon, session_id=session_id, session_seq=seq, body=body, **rest
    )


def hello(journal: str = "j1", sequence: int = 0) -> Hello:
    return Hello(
        agent_version="0.1",
        protocol=2,
        journal_id=journal,
        journal_sequence=sequence,
        clocks=Clocks(wall=0.0, monotonic=0.0),
        boot_id="b",
        catalogue_digest="d",
    )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_create_request_is_answered_over_the_next_get(bench: Bench) -> None:
    session = bench.open(FIRST)
    assert bench.one(v.Opened).session.id == session

    assert bench.get(FIRST) == (
        SessionCreateResponse(fqdn=OSS1, plugin="ntp", session_id=session, seq=1),
    )


def test_what_is_not_acknowledged_is_delivered_again_with_its_number(bench: Bench) -> None:
    bench.open(FIRST)
    first = bench.get(FIRST)

    again = bench.get(FIRST, 0)
    acknowledged = bench.poll(FIRST, 1)

    assert again == first
    assert not bench.all(v.Wake)
    assert bench.collect(acknowledged) == ()


def test_for_an_ancestor_what_is_delivered_is_gone_and_carries_no_number(bench: Bench) -> None:
    session = bench.open(OLD_FIRST)

    (message,) = bench.get(OLD_FIRST)

    assert message.model_dump(mode="json") == {
        "type": "SESSION_CREATE_RESPONSE",
        "fqdn": OSS1,
        "plugin": "ntp",
        "session_id": session,
    }
    assert bench.get(OLD_FIRST) == ()


def test_numbers_go_on_from_what_the_agent_acknowledges_to_a_manager_that_started_again(
    bench: Bench,
) -> None:
    bench.open(FIRST)

    (message,) = bench.get(FIRST, 57)

    assert message.seq == 58


def test_an_agent_that_never_acknowledges_does_not_spin(bench: Bench) -> None:
    bench.open(FIRST)
    hurried = []
    for _ in range(6):
        poll = bench.poll(FIRST, 0)
        hurried.append(bool(bench.all(v.Wake)))
        assert len(bench.collect(poll)) == 1

    assert hurried == [True, True, True, False, False, False]
    bench.poll(FIRST, 0)
    bench.open(FIRST, "host")
    assert bench.all(v.Wake)


def test_a_new_get_of_the_same_process_makes_the_previous_one_answer_empty(bench: Bench) -> None:
    bench.post(FIRST)
    first = bench.poll(FIRST)

    second = bench.poll(FIRST)
    assert bench.one(v.Wake).poll == first
    bench.open(FIRST)

    assert bench.collect(first) == ()
    assert len(bench.collect(second)) == 1


def test_a_message_for_a_host_wakes_its_get(bench: Bench) -> None:
    bench.open(FIRST, "action_runner")
    bench.get(FIRST)
    poll = bench.poll(FIRST, 1)

    bench.start("a1")

    assert bench.orders == (v.Wake(poll),)
    (message,) = bench.collect(poll)
    assert bench.one(v.Offered).action_ids == ("a1",)
    assert isinstance(message, ManagerData)


@pytest.mark.parametrize("by", ["get", "post"])
def test_any_contact_of_a_new_process_supersedes_the_old_one(bench: Bench, by: str) -> None:
    session = bench.open(FIRST, "action_runner")
    bench.get(FIRST)
    bench.start("a1")
    poll = bench.poll(FIRST)
    bench.do(v.Abandoned(0))

    if by == "get":
        bench.do(v.Polled(SECOND))
    else:
        bench.post(SECOND)

    assert bench.one(v.Ended).session.id == session
    assert bench.one(v.AgentStarted) == v.AgentStarted("start-2", "start-1", rebooted=False)
    assert v.Wake(poll) in bench.orders
    assert bench.host.sessions == {}
    assert bench.collect(poll) == ()
    assert bench.get(SECOND) == ()


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_zombie_of_a_superseded_process_is_refused_and_takes_nothing(
    bench: Bench, protocol: int
) -> None:
    zombie = replace(FIRST, protocol=protocol)
    bench.open(zombie)
    session = bench.open(SECOND)

    bench.do(v.Polled(zombie))
    assert bench.one(v.Refuse).status == 409
    bench.post(zombie, SessionCreateRequest(fqdn=OSS1, plugin="ntp"))
    assert bench.one(v.Refuse).status == 409

    assert bench.one(v.Audit).kind == "superseded"
    assert bench.host.sessions["ntp"].id == session
    assert [m.session_id for m in bench.get(SECOND) if not isinstance(m, SessionTerminateAll)] == [
        session
    ]


def test_a_reboot_is_noticed_with_the_new_process(bench: Bench) -> None:
    bench.post(FIRST)

    bench.post(v.Contact("start-2", "boot-2", 2))

    assert bench.one(v.AgentStarted).rebooted


def test_the_first_poll_of_a_restarted_ancestor_is_terminate_all_and_nothing_else(
    bench: Bench,
) -> None:
    assert bench.get(OLD_FIRST) == ()
    session = bench.open(OLD_SECOND)

    assert bench.get(OLD_SECOND) == (SessionTerminateAll(fqdn=OSS1),)

    (named,) = bench.get(OLD_SECOND)
    assert isinstance(named, SessionCreateResponse)
    assert named.session_id == session


def test_a_silent_host_loses_its_sessions_and_finds_them_again(bench: Bench) -> None:
    session = bench.open(FIRST)
    poll = bench.poll(FIRST)
    assert due(bench.host) == bench.now + LEASE_S
    bench.now += LEASE_S - 1
    assert bench.do(v.Tick()) == ()

    bench.now += 1
    bench.do(v.Tick())
    assert bench.one(v.WentSilent)
    assert bench.one(v.Lost).session.id == session
    assert bench.one(v.Wake).poll == poll
    assert due(bench.host) is None

    bench.post(FIRST, data(session, 1, "x"))
    assert bench.one(v.CameBack)
    assert bench.one(v.Revived).session.id == session
    assert bench.one(v.Received).body == "x"
    assert due(bench.host) == bench.now + LEASE_S


def test_what_was_sent_to_a_silent_host_reaches_the_same_process_when_it_comes_back(
    bench: Bench,
) -> None:
    bench.open(FIRST, "action_runner")
    bench.get(FIRST)
    bench.now += LEASE_S
    bench.do(v.Tick())

    bench.start("a1")

    assert isinstance(bench.get(FIRST, 1)[-1], ManagerData)


def test_data_of_an_unknown_session_is_answered_with_a_terminate_that_arrives(
    bench: Bench,
) -> None:
    bench.post(FIRST, data("nobody", 5))
    (verdict,) = bench.one(v.Accept).verdicts
    bench.post(FIRST, data("nobody", 6))

    assert verdict.code == "unknown_session"
    (terminate,) = bench.get(FIRST)
    assert isinstance(terminate, SessionTerminate)
    assert (terminate.plugin, terminate.session_id) == ("ntp", "nobody")


def test_a_session_is_resumed_by_the_process_that_has_it(bench: Bench) -> None:
    session = bench.open(FIRST)
    bench.post(FIRST, data(session, 7))

    assert bench.open(FIRST, resume=session) == session
    assert not bench.all(v.Opened)
    assert bench.host.sessions["ntp"].sequence == 7


def test_a_session_of_another_process_is_not_resumed(bench: Bench) -> None:
    session = bench.open(FIRST)

    assert bench.open(SECOND, resume=session) != session


def test_a_second_request_replaces_the_session_and_what_waited_for_it(bench: Bench) -> None:
    old = bench.open(FIRST, "action_runner")
    bench.start("a1")

    new = bench.open(FIRST, "action_runner")

    assert bench.one(v.Ended).session.id == old
    assert [getattr(m, "session_id", None) for m in bench.get(FIRST)] == [new]


def test_numbers_that_never_came_are_named(bench: Bench) -> None:
    session = bench.open(FIRST)

    bench.post(FIRST, data(session, 1), data(session, 4))

    missing = bench.one(v.Missing)
    assert (missing.first, missing.last) == (2, 3)
    assert [order.session.sequence for order in bench.all(v.Received)] == [1, 4]


def test_a_gap_that_is_owned_up_to_is_not_missing(bench: Bench) -> None:
    session = bench.open(FIRST)
    marker = Dropped(first=1, last=9, reason="no room")

    bench.post(FIRST, data(session, 10, dropped=marker))

    assert not bench.all(v.Missing)
    assert bench.one(v.Received).dropped == marker


def test_an_older_value_does_not_follow_a_newer_one(bench: Bench) -> None:
    session = bench.open(FIRST)

    bench.post(FIRST, data(session, 2, "new"))
    bench.post(FIRST, data(session, 1, "old"))

    assert not bench.all(v.Received)
    assert bench.host.sessions["ntp"].sequence == 2


def test_an_actions_result_counts_whatever_its_number(bench: Bench) -> None:
    session = bench.open(OLD_FIRST, "action_runner")
    result = {"Ok": {"id": "a1", "result": {"Ok": None}}}
    bench.post(OLD_FIRST, data(session, 9, result, daemon="action_runner"))

    bench.post(OLD_FIRST, data(session, 8, result, daemon="action_runner"))

    assert bench.one(v.Reported).report.id == "a1"


def test_a_body_of_the_action_runner_that_is_no_report_gets_a_verdict(bench: Bench) -> None:
    session = bench.open(FIRST, "action_runner")

    bench.post(FIRST, data(session, 1, {"Ok": 3}, daemon="action_runner"))

    assert [verdict.code for verdict in bench.one(v.Accept).verdicts] == ["unreadable"]


def test_a_repeated_envelope_is_acknowledged_and_ignored(bench: Bench) -> None:
    session = bench.open(FIRST)
    bench.post(FIRST, data(session, 1), envelope_id="e1")

    bench.post(FIRST, data(session, 1), envelope_id="e1")

    assert bench.orders == (v.Accept(repeated=True),)


def test_an_envelope_of_an_earlier_process_is_no_repeat(bench: Bench) -> None:
    bench.post(FIRST, envelope_id="e1")
    bench.post(SECOND)

    bench.post(FIRST, envelope_id="e1")

    assert bench.one(v.Refuse).status == 409


def test_one_bad_message_does_not_cost_the_others(bench: Bench) -> None:
    session = bench.open(FIRST)
    stranger = NodeData(
        fqdn="mds1.local", plugin="ntp", session_id=session, session_seq=1, body="lie"
    )

    bench.do(
        v.Posted(
            FIRST,
            ((0, stranger), (2, data(session, 1, "truth"))),
            (Unreadable(1, "type: unknown"),),
            fresh_ids=("x", "y"),
        )
    )

    verdicts = bench.one(v.Accept).verdicts
    assert [(verdict.index, verdict.code) for verdict in verdicts] == [
        (0, "identity"),
        (1, "unreadable"),
    ]
    assert bench.one(v.Received).body == "truth"
    assert bench.one(v.Audit).kind == "identity"
    assert "mds1.local" in bench.one(v.Audit).detail


def test_an_ancestor_that_speaks_for_another_host_is_refused_and_changes_nothing(
    bench: Bench,
) -> None:
    bench.open(OLD_FIRST)
    before = bench.host

    bench.post(OLD_SECOND, SessionCreateRequest(fqdn="mds1.local", plugin="ntp"))

    assert bench.one(v.Refuse).status == 403
    assert bench.one(v.Audit).kind == "identity"
    assert bench.host == before


def test_an_ancestors_unreadable_message_is_a_bad_request(bench: Bench) -> None:
    bench.do(v.Posted(OLD_FIRST, (), (Unreadable(0, "type: unknown"),)))

    assert bench.one(v.Refuse).status == 400
    assert bench.host.instance is None


def test_the_agent_may_end_a_session_itself(bench: Bench) -> None:
    session = bench.open(FIRST)

    bench.post(FIRST, SessionEnd(fqdn=OSS1, plugin="ntp", session_id="other", reason="?"))
    assert not bench.all(v.Ended)
    bench.post(FIRST, SessionEnd(fqdn=OSS1, plugin="ntp", session_id=session, reason="done"))

    assert bench.one(v.Ended).reason == "done"
    assert bench.host.sessions == {}


def test_goodbye_ends_every_session_and_the_process_may_not_come_back(bench: Bench) -> None:
    bench.open(FIRST)
    bench.open(FIRST, "host")
    poll = bench.poll(FIRST)

    bench.post(FIRST, goodbye="stopped", envelope_id="last")

    assert len(bench.all(v.Ended)) == 2
    assert v.Wake(poll) in bench.orders
    assert bench.one(v.Departed).reason == "stopped"
    bench.post(FIRST, goodbye="stopped", envelope_id="last")
    assert bench.one(v.Accept).repeated
    bench.do(v.Polled(FIRST))
    assert bench.one(v.Refuse).status == 409


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        pytest.param(hello("j1", 5), hello("j1", 9), False, id="goes on"),
        pytest.param(hello("j1", 5), hello("j1", 5), False, id="same"),
        pytest.param(hello("j1", 5), hello("j2", 9), True, id="new journal"),
        pytest.param(hello("j1", 5), hello("j1", 4), True, id="rolled back"),
        pytest.param(hello("j1", 5), hello("", 0), False, id="no journal now"),
    ],
)
def test_a_journal_that_is_not_the_one_known_is_lost(
    bench: Bench, before: Hello, after: Hello, lost: bool
) -> None:
    bench.post(FIRST, hello=before)
    assert not bench.all(v.JournalLost)

    bench.post(SECOND, hello=after)

    assert bool(bench.all(v.JournalLost)) is lost
    assert bench.one(v.Greeted).hello == after


def test_an_action_that_waited_too_long_is_not_handed_out(bench: Bench) -> None:
    bench.open(FIRST, "action_runner")
    bench.get(FIRST)
    bench.start("a1", within=10)
    bench.start("a2", within=30)
    bench.now += 12

    (message,) = bench.get(FIRST, 1)

    assert isinstance(message, ManagerData)
    assert isinstance(message.body, dict)
    assert (message.body["id"], message.body["expires_in"]) == ("a2", 18.0)


def test_a_withdrawn_action_is_not_handed_out(bench: Bench) -> None:
    bench.open(FIRST, "action_runner")
    bench.get(FIRST)
    bench.start("a1")

    bench.do(v.Withdraw("a1"))

    assert bench.get(FIRST, 1) == ()


def test_an_action_without_a_session_is_given_back(bench: Bench) -> None:
    bench.start("a1")

    assert bench.one(v.Unsent).action_id == "a1"


def test_the_queue_of_a_host_is_bounded_and_what_finds_no_room_is_given_back(
    bench: Bench,
) -> None:
    bench.open(FIRST, "action_runner")
    for n in range(MAX_LETTERS + 5):
        bench.start(f"a{n}")

    assert bench.one(v.Unsent).action_id == f"a{MAX_LETTERS + 4}"
    assert len(bench.host.outgoing.letters) == MAX_LETTERS


def test_large_messages_are_spread_over_several_answers(bench: Bench) -> None:
    bench.open(FIRST, "action_runner")
    for n in range(3):
        body = ActionStart(action="a", args="x" * 2_500_000, id=f"a{n}")
        bench.do(v.Send("action_runner", body.model_dump(mode="json"), f"a{n}"))

    answers = [bench.get(FIRST)]
    while len(answers[-1]):
        last = answers[-1][-1].seq
        poll = bench.poll(FIRST, last)
        answers.append(bench.collect(poll))

    assert [len(answer) for answer in answers] == [2, 1, 1, 0]


def test_a_host_cannot_have_sessions_without_end(bench: Bench) -> None:
    for n in range(MAX_SESSIONS):
        bench.open(FIRST, f"d{n}")

    bench.post(FIRST, SessionCreateRequest(fqdn=OSS1, plugin="one more"))

    assert [verdict.code for verdict in bench.one(v.Accept).verdicts] == ["refused"]


def test_a_number_too_large_for_the_store_is_refused(bench: Bench) -> None:
    session = bench.open(FIRST)

    bench.post(FIRST, data(session, 2**64 - 1))

    assert [verdict.code for verdict in bench.one(v.Accept).verdicts] == ["refused"]


def test_a_reset_ends_the_session_and_tells_the_agent(bench: Bench) -> None:
    session = bench.open(FIRST)
    bench.get(FIRST)

    bench.do(v.Reset("ntp", "asked by an operator"))

    assert bench.one(v.Ended).session.id == session
    assert isinstance(bench.get(FIRST, 1)[0], SessionTerminate)


def test_a_client_that_went_away_takes_nothing_with_it(bench: Bench) -> None:
    bench.post(FIRST)
    poll = bench.poll(FIRST)
    bench.do(v.Abandoned(poll))

    bench.open(FIRST)

    assert not bench.all(v.Wake)
    assert len(bench.get(FIRST)) == 1


def test_a_journal_that_was_out_of_reach_is_the_same_one_afterwards(bench: Bench) -> None:
    for greeting in (hello("j1", 5), hello("", 0), hello("j1", 6)):
        bench.post(SECOND, hello=greeting)

    assert not bench.all(v.JournalLost)
