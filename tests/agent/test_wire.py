"""The wire: exact encodings, and bad input that costs nothing but itself."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent import wire
from emf_agent.errors import ProtocolError, UsageError
from tests.vectors import names, vectors

FROM_AGENT = vectors("from_agent")
FROM_MANAGER = vectors("from_manager")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def rewritten(received: wire.ReceivedEnvelope) -> Any:
    envelope = wire.Envelope(
        messages=tuple(message for _, message in received.messages),
        server_boot_time=received.server_boot_time,
        client_start_time=received.client_start_time,
        id=received.id,
        hello=received.hello,
        goodbye=received.goodbye,
    )
    return json.loads(envelope.to_bytes())


@pytest.mark.parametrize("vector", FROM_AGENT, ids=names(FROM_AGENT))
def test_an_envelope_is_read_and_written_without_a_difference(vector: Any) -> None:
    received = wire.parse_envelope(json.dumps(vector["body"]).encode())

    assert received.unreadable == ()
    assert rewritten(received) == vector["body"]


@pytest.mark.parametrize("vector", FROM_MANAGER, ids=names(FROM_MANAGER))
def test_an_answer_is_read_and_written_without_a_difference(vector: Any) -> None:
    received = wire.parse_manager_messages(json.dumps(vector["body"]).encode())

    assert received.unreadable == ()
    answer = wire.ManagerMessages(messages=received.messages, epoch=received.epoch)
    assert json.loads(answer.to_bytes()) == vector["body"]


def test_unknown_keys_are_ignored() -> None:
    (vector,) = vectors("from_agent", "accepted")

    received = wire.parse_envelope(json.dumps(vector["body"]).encode())

    assert len(received.messages) == 1


@pytest.mark.parametrize(
    "vector", vectors("from_agent", "refused"), ids=names(vectors("from_agent", "refused"))
)
def test_a_frame_that_is_no_envelope_is_a_protocol_error(vector: Any) -> None:
    with pytest.raises(ProtocolError):
        wire.parse_envelope(vector["text"].encode())


@pytest.mark.parametrize(
    "vector", vectors("from_manager", "refused"), ids=names(vectors("from_manager", "refused"))
)
def test_a_frame_that_is_no_answer_is_a_protocol_error(vector: Any) -> None:
    with pytest.raises(ProtocolError):
        wire.parse_manager_messages(vector["text"].encode())


@pytest.mark.parametrize(
    "vector", vectors("from_agent", "unreadable"), ids=names(vectors("from_agent", "unreadable"))
)
def test_one_bad_message_costs_only_itself(vector: Any) -> None:
    good = {"type": "SESSION_CREATE_REQUEST", "fqdn": "a", "plugin": "b"}
    body = {
        "messages": [good, vector["message"], good],
        "server_boot_time": "b",
        "client_start_time": "c",
    }

    received = wire.parse_envelope(json.dumps(body).encode())

    assert [index for index, _ in received.messages] == [0, 2]
    (bad,) = received.unreadable
    assert bad.index == 1
    assert bad.reason


@pytest.mark.parametrize(
    "vector",
    vectors("from_manager", "unreadable"),
    ids=names(vectors("from_manager", "unreadable")),
)
def test_one_bad_message_of_a_manager_costs_only_itself(vector: Any) -> None:
    good = {"type": "SESSION_TERMINATE_ALL", "fqdn": "a"}
    body = {"messages": [good, vector["message"], good]}

    received = wire.parse_manager_messages(json.dumps(body).encode())

    assert len(received.messages) == 2
    assert [bad.index for bad in received.unreadable] == [1]


def test_a_message_over_8_mib_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ProtocolError, match="limit"):
        wire.parse_envelope(b" " * (wire.MAX_MESSAGE_BYTES + 1))


def test_deep_nesting_is_a_protocol_error_and_no_crash() -> None:
    deep = b'{"messages": ' + b"[" * 100_000
    with pytest.raises(ProtocolError):
        wire.parse_manager_messages(deep)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for parse in (wire.parse_envelope, wire.parse_manager_messages):
        with suppress(ProtocolError):
            parse(body)


@given(JSON, st.integers(0, 2**64 - 1))
def test_any_body_survives_the_way(body: Any, sequence: int) -> None:
    data = wire.NodeData(fqdn="a", plugin="p", session_id="s", session_seq=sequence, body=body)
    envelope = wire.Envelope(messages=(data,), server_boot_time="b", client_start_time="c")

    received = wire.parse_envelope(envelope.to_bytes())

    assert received.messages == ((0, data),)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(wire.Ok(value=None), {"Ok": None}), (wire.Err(text="no"), {"Err": "no"})],
    ids=["ok", "err"],
)
def test_a_result_has_exactly_one_key(value: wire.Ok | wire.Err, encoded: Any) -> None:
    assert json.loads(value.model_dump_json()) == encoded


@pytest.mark.parametrize(
    "bad",
    [{}, {"Ok": 1, "Err": "x"}, {"Err": 3}, {"ok": 1}, None, "Ok", [1]],
    ids=["empty", "both", "text is no text", "lower case", "null", "string", "list"],
)
def test_what_is_no_result_is_refused(bad: Any) -> None:
    with pytest.raises(ProtocolError):
        wire.parse_action_report({"Ok": {"id": "i", "result": bad}})


@pytest.mark.parametrize(
    "report",
    [
        wire.ActionResult(id="i", result=wire.Ok(value=[1]), outcome="ok", seconds=0.5),
        wire.ActionAccepted(id="i"),
        wire.ActionStarted(id="i"),
        wire.ActionProgress(id="i", fraction=0.5, log=("a", "b")),
        wire.CancelState(id="i", state="too_late"),
    ],
    ids=lambda report: type(report).__name__,
)
def test_a_report_survives_the_way(report: wire.ActionReport) -> None:
    assert wire.parse_action_report(json.loads(json.dumps(wire.encode_report(report)))) == report


@pytest.mark.parametrize(
    "body",
    [None, 3, {}, {"type": "ACTION_START"}, {"type": "ACTION_START", "action": "a", "id": "i"}],
    ids=["null", "number", "empty", "bare", "args missing"],
)
def test_an_order_that_is_none_is_refused(body: Any) -> None:
    with pytest.raises(ProtocolError):
        wire.parse_action_body(body)


def test_times_are_written_in_the_ancestors_odd_form() -> None:
    moment = datetime(2019, 2, 14, 3, 4, 33, 57646, timezone(timedelta(hours=1)))

    assert wire.format_time(moment) == "2019-02-14T02:04:33.057646+00:00Z"


@given(st.datetimes(timezones=st.just(timezone.utc)))
def test_a_written_time_is_read_back(moment: datetime) -> None:
    assert wire.parse_time(wire.format_time(moment)) == moment


@given(st.text(max_size=40))
def test_any_string_may_stand_for_a_time(text: str) -> None:
    wire.parse_time(text)


def test_a_token_is_read_back_and_never_shown() -> None:
    token = wire.EnrolmentToken("A" * 43, "0" * 64)

    assert wire.EnrolmentToken.parse(f"  {token.text()}\n") == token
    assert "A" * 43 not in repr(token)


@given(st.text(max_size=80))
def test_a_bad_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        wire.EnrolmentToken.parse(text + "!")
    assert "emf1-SECRET" in str(caught.value)
