"""What waits to be sent: order, repeats, bounds, and gaps that are owned up to."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.outbox import Limits, Outbox, Outgoing, TooLargeError, same_json
from emf_agent.wire import Clocks, Envelope, Hello, NodeData, SessionCreateRequest, SessionEnd

LIMITS = Limits(events=3, event_bytes=1000, envelope_bytes=500, message_bytes=900)
HELLO = Hello(
    agent_version="0",
    protocol=2,
    journal_id="j",
    journal_sequence=0,
    clocks=Clocks(wall=0.0, monotonic=0.0),
    boot_id="b",
    catalogue_digest="",
)


def new_outbox() -> Outbox:
    ids = count(1)
    return Outbox("n1", "boot", "start", lambda: f"e{next(ids)}")


def posted(outbox: Outbox, protocol: int | None = 2) -> Envelope:
    outgoing = outbox.next(protocol=protocol, limits=LIMITS)
    assert outgoing is not None
    return outgoing.envelope


def bodies(envelope: Envelope) -> list[tuple[int, Any]]:
    return [(m.session_seq, m.body) for m in envelope.messages if isinstance(m, NodeData)]


def drain(outbox: Outbox) -> list[NodeData]:
    found: list[NodeData] = []
    while outgoing := outbox.next(protocol=2, limits=LIMITS):
        found.extend(m for m in outgoing.envelope.messages if isinstance(m, NodeData))
        outbox.stored()
    return found


def test_an_unsent_state_is_replaced_by_a_newer_one() -> None:
    outbox = new_outbox()
    channel = outbox.open("host", "s", "latest", LIMITS)
    for value in (1, 2, 3):
        channel.offer(value)

    assert bodies(posted(outbox)) == [(1, 3)]


def test_a_repeat_of_what_is_held_is_not_sent_and_takes_no_number() -> None:
    outbox = new_outbox()
    channel = outbox.open("host", "s", "latest", LIMITS)
    assert channel.offer({"a": 1, "b": 2})
    posted(outbox)
    outbox.stored()

    assert not channel.offer({"b": 2, "a": 1})
    assert outbox.next(protocol=2, limits=LIMITS) is None
    assert channel.offer({"a": 2})
    assert bodies(posted(outbox)) == [(2, {"a": 2})]


def test_going_back_to_what_is_held_unsends_the_value_between() -> None:
    outbox = new_outbox()
    channel = outbox.open("host", "s", "latest", LIMITS)
    channel.offer("old")
    posted(outbox)
    outbox.stored()
    channel.offer("new")
    channel.offer("old")

    assert outbox.next(protocol=2, limits=LIMITS) is None


def test_an_unacknowledged_envelope_is_offered_again_unchanged() -> None:
    outbox = new_outbox()
    channel = outbox.open("host", "s", "latest", LIMITS)
    channel.offer(1)
    first = posted(outbox)
    channel.offer(2)

    assert posted(outbox) is first
    outbox.stored()
    assert bodies(posted(outbox)) == [(2, 2)]


def test_a_value_of_a_refused_envelope_is_not_held_and_may_be_sent_again() -> None:
    outbox = new_outbox()
    channel = outbox.open("host", "s", "latest", LIMITS)
    channel.offer(1)
    posted(outbox)
    outbox.refused()

    assert channel.offer(1)


def test_dropped_events_are_marked_with_their_numbers() -> None:
    outbox = new_outbox()
    channel = outbox.open("journal", "s", "every", LIMITS)
    for value in range(8):
        channel.offer(value)

    messages = drain(outbox)

    assert [(m.session_seq, m.body) for m in messages] == [(6, 5), (7, 6), (8, 7)]
    assert messages[0].dropped is not None
    assert (messages[0].dropped.first, messages[0].dropped.last) == (1, 5)


def test_a_result_is_never_dropped_for_want_of_room() -> None:
    outbox = new_outbox()
    channel = outbox.open("action_runner", "s", "every", LIMITS)
    for value in range(10):
        channel.append(value, keep=value % 2 == 0)

    assert {0, 2, 4, 6, 8} <= {m.body for m in drain(outbox)}


def test_a_value_too_large_for_one_message_is_refused_here() -> None:
    channel = new_outbox().open("host", "s", "latest", LIMITS)

    with pytest.raises(TooLargeError, match="900"):
        channel.offer("x" * 1000)


def test_an_envelope_is_closed_at_its_size_and_no_daemon_starves_another() -> None:
    outbox = new_outbox()
    loud = outbox.open("loud", "s", "every", Limits())
    quiet = outbox.open("quiet", "q", "latest", Limits())
    for _ in range(100):
        loud.offer("x" * 100)
    quiet.offer("me")

    envelope = posted(outbox)

    assert len(envelope.messages) < 10
    assert "quiet" in {message.plugin for message in envelope.messages}


def test_storing_calls_back_except_for_what_was_refused() -> None:
    outbox = new_outbox()
    channel = outbox.open("journal", "s", "every", LIMITS)
    heard: list[str] = []
    for value in ("a", "b"):
        channel.offer(value, lambda value=value: heard.append(value))  # type: ignore[misc]
    outgoing = outbox.next(protocol=2, limits=LIMITS)
    assert isinstance(outgoing, Outgoing)

    outbox.stored(refused={1})

    assert heard == ["a"]


def test_nothing_of_protocol_2_goes_to_an_ancestor() -> None:
    outbox = new_outbox()
    outbox.greet(HELLO)
    outbox.say_goodbye("bye")
    outbox.ask("host", resume="old")
    outbox.close("ntp", "s", "over")

    envelope = posted(outbox, protocol=1)

    assert (envelope.id, envelope.hello, envelope.goodbye) == (None, None, None)
    (request,) = envelope.messages
    assert isinstance(request, SessionCreateRequest)
    assert request.resume is None


def test_hello_goodbye_ends_and_requests_travel_together() -> None:
    outbox = new_outbox()
    outbox.greet(HELLO)
    outbox.ask("host", resume="old")
    outbox.ask("host", resume="older")
    outbox.close("ntp", "s", "over")

    envelope = posted(outbox, protocol=None)

    assert envelope.hello == HELLO
    assert [type(message) for message in envelope.messages] == [SessionEnd, SessionCreateRequest]
    outbox.stored()
    assert outbox.next(protocol=2, limits=LIMITS) is None


def test_a_closed_session_sends_no_more() -> None:
    outbox = new_outbox()
    outbox.open("host", "s", "latest", LIMITS).offer(1)
    outbox.close("host", "other", None)
    assert len(outbox) == 1
    outbox.close("host", "s", None)

    assert outbox.next(protocol=2, limits=LIMITS) is None


OFFERS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=60)


@given(OFFERS, st.integers(1, 7))
def test_numbers_and_markers_cover_every_event_in_order(
    offers: list[tuple[str, int]], send_every: int
) -> None:
    outbox = new_outbox()
    channels = {name: outbox.open(name, name, "every", LIMITS) for name in "ab"}
    messages: list[NodeData] = []
    for number, (name, value) in enumerate(offers):
        channels[name].offer(value)
        if number % send_every == 0:
            messages += drain(outbox)
    messages += drain(outbox)

    for name in "ab":
        covered: list[int] = []
        for message in messages:
            if message.plugin == name:
                if message.dropped:
                    covered += range(message.dropped.first, message.dropped.last + 1)
                covered.append(message.session_seq)
        assert covered == list(range(1, sum(1 for n, _ in offers if n == name) + 1))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, True),
        (1, True, False),
        (1, 1.0, False),
        ([1, 2], [2, 1], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (None, False, False),
    ],
    ids=["deep", "bool", "float", "order", "keys", "null"],
)
def test_json_values_are_compared_deeply(one: Any, other: Any, same: bool) -> None:
    assert same_json(one, other) is same
