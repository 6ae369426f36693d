"""Envelopes and session messages of both directions (ancestor protocol, sections 3.1 and 3.2).

Fields marked ``Extension`` belong to protocol 2 and are used only when both sides sent the header
``EMF-Protocol: 2``; ``docs/protocol.md`` shows each message with an example.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from emf_agent.errors import ProtocolError
from emf_agent.wire.encoding import Extension, Name, Unsigned64, WireModel, explain

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MESSAGE_PATH",
    "PROTOCOL",
    "PROTOCOL_HEADER",
    "AgentMessage",
    "Clocks",
    "Dropped",
    "Envelope",
    "EnvelopeAnswer",
    "Hello",
    "ManagerData",
    "ManagerMessage",
    "ManagerMessages",
    "NodeData",
    "Pace",
    "ReceivedEnvelope",
    "ReceivedMessages",
    "SessionCreateRequest",
    "SessionCreateResponse",
    "SessionEnd",
    "SessionTerminate",
    "SessionTerminateAll",
    "Unreadable",
    "Verdict",
    "parse_envelope",
    "parse_envelope_answer",
    "parse_manager_messages",
]

PROTOCOL = 2
PROTOCOL_HEADER = "EMF-Protocol"
MESSAGE_PATH = "/agent2/message/"
MAX_MESSAGE_BYTES = 8 * 1024 * 1024


# From the agent


class Dropped(WireModel):
    """A gap that is owned up to: values of an event stream that were dropped before sending."""

    first: Unsigned64
    """Number of the first event dropped, counted from 1 within the session."""
    last: Unsigned64
    reason: str


class SessionCreateRequest(WireModel):
    """Asks for a session for one daemon; ``resume`` names the one it had."""

    type: Literal["SESSION_CREATE_REQUEST"] = "SESSION_CREATE_REQUEST"
    fqdn: Name
    plugin: Name
    resume: Name | None = Extension


class NodeData(WireModel):
    """One value of a daemon; ``session_seq`` counts from 1 within the session."""

    type: Literal["DATA"] = "DATA"
    fqdn: Name
    plugin: Name
    session_id: Name
    session_seq: Unsigned64
    body: JsonValue
    dropped: Dropped | None = Extension


class SessionEnd(WireModel):
    """Protocol 2: the agent ended this session itself, and why."""

    type: Literal["SESSION_END"] = "SESSION_END"
    fqdn: Name
    plugin: Name
    session_id: Name
    reason: str


AgentMessage = Annotated[SessionCreateRequest | NodeData | SessionEnd, Field(discriminator="type")]
AGENT_MESSAGE: TypeAdapter[AgentMessage] = TypeAdapter(AgentMessage)


class Clocks(WireModel):
    """Both clocks of the node at one moment, for skew and for ages."""

    wall: float
    """Seconds since the epoch."""
    monotonic: float


class Hello(WireModel):
    """Protocol 2: who the agent is; rides on the first envelope and after each lost contact."""

    agent_version: str
    protocol: Unsigned64
    journal_id: str
    journal_sequence: Unsigned64
    clocks: Clocks
    boot_id: str
    catalogue_digest: str
    mode: str = "allowlist"
    """How plugins are let in: ``allowlist`` (development) or ``enforce``."""
    journal_fault: str | None = Extension
    """Why the node takes no actions; where ``journal_id`` is empty, it has no journal at all."""


class Envelope(WireModel):
    """The body of a POST: messages of one agent process, in order."""

    messages: tuple[AgentMessage, ...]
    server_boot_time: str
    client_start_time: str
    id: Name | None = Extension
    """Protocol 2: a repeated envelope is acknowledged and ignored."""
    hello: Hello | None = Extension
    goodbye: str | None = Extension
    """Protocol 2: the agent ends, and why; nothing follows from this process."""


class Verdict(WireModel):
    """Protocol 2: one message of an envelope that was not taken, and why."""

    index: Unsigned64
    code: str
    """``unreadable``, ``identity``, ``unknown_session``, ``too_large`` or ``refused``."""
    reason: str


class Pace(WireModel):
    """Protocol 2: the pace the manager wants of this agent."""

    poll_s: float = Field(gt=0, le=3600)
    """How long a GET may hang before it is answered empty."""
    lease_s: float = Field(gt=0, le=86400)
    """Without contact for this long the node counts as silent."""


class EnvelopeAnswer(WireModel):
    """Protocol 2: the body of a 202; everything without a verdict is on the manager's disk."""

    epoch: Unsigned64
    verdicts: tuple[Verdict, ...] = ()
    pace: Pace | None = Extension
    clock: float | None = Extension
    """The manager's wall clock in seconds since the epoch, for the agent's offset."""


# From the manager


class SessionCreateResponse(WireModel):
    """Names the session that a daemon asked for."""

    type: Literal["SESSION_CREATE_RESPONSE"] = "SESSION_CREATE_RESPONSE"
    fqdn: Name
    plugin: Name
    session_id: Name
    seq: Unsigned64 | None = Extension


class ManagerData(WireModel):
    """A message for a daemon's running session."""

    type: Literal["DATA"] = "DATA"
    fqdn: Name
    plugin: Name
    session_id: Name
    body: JsonValue
    seq: Unsigned64 | None = Extension


class SessionTerminate(WireModel):
    """Ends one session; a null id means whatever session the daemon has."""

    type: Literal["SESSION_TERMINATE"] = "SESSION_TERMINATE"
    fqdn: Name
    plugin: Name
    session_id: Name | None
    reason: str | None = Extension
    seq: Unsigned64 | None = Extension


class SessionTerminateAll(WireModel):
    """Ends every session of the agent."""

    type: Literal["SESSION_TERMINATE_ALL"] = "SESSION_TERMINATE_ALL"
    fqdn: Name
    reason: str | None = Extension
    seq: Unsigned64 | None = Extension


ManagerMessage = Annotated[
    SessionCreateResponse | ManagerData | SessionTerminate | SessionTerminateAll,
    Field(discriminator="type"),
]
MANAGER_MESSAGE: TypeAdapter[ManagerMessage] = TypeAdapter(ManagerMessage)


Authorities = Annotated[tuple[str, ...], Field(max_length=16)]


class ManagerMessages(WireModel):
    """The body of a GET's answer."""

    messages: tuple[ManagerMessage, ...]
    epoch: Unsigned64 | None = Extension
    """Protocol 2: grows when the manager lost state; a lower one is a zombie's."""
    authorities: Authorities | None = Extension
    """Protocol 2: SHA-256 of each authority to trust, the one that issues first."""


# Reading what a peer sent: one bad message never costs the others

T = TypeVar("T")


@dataclass(frozen=True)
class Unreadable:
    """A message that could not be read: its place in the envelope, and what is wrong."""

    index: int
    reason: str


class LooseEnvelope(WireModel):
    messages: tuple[JsonValue, ...]
    server_boot_time: str
    client_start_time: str
    id: Name | None = None
    hello: Hello | None = None
    goodbye: str | None = None


class LooseMessages(WireModel):
    messages: tuple[JsonValue, ...]
    epoch: Unsigned64 | None = None
    authorities: Authorities | None = None


@dataclass(frozen=True)
class ReceivedEnvelope:
    """An envelope as it came in: each message read, or named as unreadable, in order."""

    messages: tuple[tuple[int, AgentMessage], ...]
    unreadable: tuple[Unreadable, ...]
    server_boot_time: str
    client_start_time: str
    id: str | None
    hello: Hello | None
    goodbye: str | None


@dataclass(frozen=True)
class ReceivedMessages:
    """A GET's answer as it came in."""

    messages: tuple[ManagerMessage, ...]
    unreadable: tuple[Unreadable, ...]
    epoch: int | None
    authorities: tuple[str, ...] | None = None


def parse_envelope(body: bytes) -> ReceivedEnvelope:
    """Read a POST's body.

    Raises:
        ProtocolError: the frame itself is not an envelope, or is over 8 MiB.

    """
    frame = _frame(LooseEnvelope, body)
    read, unreadable = _each(AGENT_MESSAGE, frame.messages)
    return ReceivedEnvelope(
        messages=read,
        unreadable=unreadable,
        server_boot_time=frame.server_boot_time,
        client_start_time=frame.client_start_time,
        id=frame.id,
        hello=frame.hello,
        goodbye=frame.goodbye,
    )


def parse_manager_messages(body: bytes) -> ReceivedMessages:
    """Read a GET's answer.

    Raises:
        ProtocolError: the frame itself is not a list of messages, or is over 8 MiB.

    """
    frame = _frame(LooseMessages, body)
    read, unreadable = _each(MANAGER_MESSAGE, frame.messages)
    messages = tuple(message for _, message in read)
    return ReceivedMessages(messages, unreadable, frame.epoch, frame.authorities)


def parse_envelope_answer(body: bytes) -> EnvelopeAnswer:
    """Read a protocol 2 manager's answer to a POST.

    Raises:
        ProtocolError: it is none.

    """
    return _frame(EnvelopeAnswer, body)


Frame = TypeVar("Frame", bound=WireModel)


def _frame(model: type[Frame], body: bytes) -> Frame:
    if len(body) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"{len(body)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise ProtocolError(explain(error)) from error


def _each(
    adapter: TypeAdapter[T], values: tuple[JsonValue, ...]
) -> tuple[tuple[tuple[int, T], ...], tuple[Unreadable, ...]]:
    read: list[tuple[int, T]] = []
    unreadable: list[Unreadable] = []
    for index, value in enumerate(values):
        try:
            read.append((index, adapter.validate_python(value)))
        except ValidationError as error:
            unreadable.append(Unreadable(index, explain(error)))
    return tuple(read), tuple(unreadable)
