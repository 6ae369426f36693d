"""The rules of one session: states, events, orders, and the function that steps them.

A session is Empty, Pending or Active (ancestor protocol, section 4.1; its weak points W-A5, W-A8,
W-A9, W-A14 are the reasons for generations, deadlines and growing pauses). Time is an argument.
``docs/architecture.md`` shows the transition table; a test holds it against this module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from typing_extensions import assert_never

__all__ = [
    "Active",
    "Ask",
    "AskFailed",
    "Empty",
    "Event",
    "FailureKind",
    "InstanceFailed",
    "InstanceStarted",
    "LinkRenewed",
    "Opened",
    "Order",
    "Pending",
    "Rules",
    "StartInstance",
    "State",
    "Stop",
    "StopInstance",
    "Terminated",
    "Tick",
    "next_tick",
    "step",
]

FailureKind = Literal["retry", "fatal", "not-applicable"]


@dataclass(frozen=True)
class Rules:
    """The waits the rules need; the pause after a failure is drawn by the caller."""

    answer_within_s: float = 30.0
    """A request for a session that is not answered within this time is made again (W-A14)."""
    between_sessions_s: float = 5.0
    """Two sessions of a daemon begin at least this far apart, should the manager end each."""


# States: a field exists only where it has a meaning


@dataclass(frozen=True)
class Empty:
    """No session; may ask for one once ``due`` has passed (never, where it is infinite)."""

    due: float
    failures: int = 0
    """Failures in a row; they set the length of the pause."""
    reason: str | None = None


@dataclass(frozen=True)
class Pending:
    """A session was asked for; the answer is awaited."""

    generation: int
    """Tells this request from an earlier one whose failure comes late (W-A9)."""
    since: float
    failures: int = 0


@dataclass(frozen=True)
class Active:
    """The manager named the session, and an instance of the daemon lives in it."""

    session_id: str
    since: float
    generation: int
    """Of the last request; a renewed link asks again while the instance lives on."""
    failures: int = 0
    asked_at: float | None = None
    """When the manager was asked to resume this session, until it answers."""


State = Empty | Pending | Active


# Events


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Opened:
    """The manager answered with a session."""

    session_id: str


@dataclass(frozen=True)
class AskFailed:
    """The request could not be delivered, or was refused."""

    generation: int
    reason: str
    pause_s: float


@dataclass(frozen=True)
class Terminated:
    """The manager ended a session; a null id means whatever session there is."""

    session_id: str | None
    reason: str | None = None


@dataclass(frozen=True)
class LinkRenewed:
    """The manager may have forgotten its sessions: it restarted, or cannot tell."""


@dataclass(frozen=True)
class InstanceStarted:
    """The instance of this session has started well."""

    session_id: str


@dataclass(frozen=True)
class InstanceFailed:
    """The instance of this session is over and gone."""

    session_id: str
    reason: str
    kind: FailureKind
    pause_s: float


@dataclass(frozen=True)
class Stop:
    """The agent ends."""

    reason: str


Event = (
    Tick | Opened | AskFailed | Terminated | LinkRenewed | InstanceStarted | InstanceFailed | Stop
)


# Orders to the shell


@dataclass(frozen=True)
class Ask:
    """Send a request for a session; ``resume`` names the one to go on with."""

    generation: int
    resume: str | None = None


@dataclass(frozen=True)
class StartInstance:
    """Make a new instance and start it in this session."""

    session_id: str


@dataclass(frozen=True)
class StopInstance:
    """End the instance of this session, orderly."""

    session_id: str
    reason: str
    tell_manager: bool
    """The manager does not know yet that the session is over."""


Order = Ask | StartInstance | StopInstance


def next_tick(state: State, rules: Rules) -> float:
    """Return the moment at which a tick will change this state; infinite if none will."""
    match state:
        case Empty(due=due):
            return due
        case Pending(since=since):
            return since + rules.answer_within_s
        case Active(asked_at=None):
            return math.inf
        case Active(asked_at=asked_at):
            return (asked_at or 0.0) + rules.answer_within_s
    assert_never(state)


def step(state: State, event: Event, now: float, rules: Rules) -> tuple[State, tuple[Order, ...]]:
    """Return the next state, and what the shell must do now, in order."""
    match state:
        case Empty():
            return step_empty(state, event, now)
        case Pending():
            return step_pending(state, event, now, rules)
        case Active():
            return step_active(state, event, now, rules)
    assert_never(state)


def step_empty(state: Empty, event: Event, now: float) -> tuple[State, tuple[Order, ...]]:
    """Step a daemon without a session."""
    match event:
        case Tick():
            if now < state.due:
                return state, ()
            return Pending(generation=0, since=now, failures=state.failures), (Ask(0),)
        case LinkRenewed():
            # A pause that a failure earned is kept; only waiting for the manager is cut short.
            if state.failures or math.isinf(state.due):
                return state, ()
            return replace(state, due=now), ()
        case Opened(session_id):
            # An answer to a request that was given up: take nothing, and say so.
            return state, (StopInstance(session_id, "not asked for any more", tell_manager=True),)
        case Stop(reason):
            return Empty(math.inf, state.failures, reason), ()
        case AskFailed() | Terminated() | InstanceStarted() | InstanceFailed():
            return state, ()
    assert_never(event)


def step_pending(
    state: Pending, event: Event, now: float, rules: Rules
) -> tuple[State, tuple[Order, ...]]:
    """Step a daemon that waits for the manager's answer."""
    match event:
        case Tick():
            if now < state.since + rules.answer_within_s:
                return state, ()
            return ask_again(state, now)
        case LinkRenewed():
            return ask_again(state, now)
        case Opened(session_id):
            active = Active(session_id, now, state.generation, state.failures)
            return active, (StartInstance(session_id),)
        case AskFailed(generation, reason, pause_s):
            if generation != state.generation:
                return state, ()
            return Empty(now + pause_s, state.failures + 1, reason), ()
        case Terminated(session_id):
            # Only a terminate of everything concerns a request under way: its answer may be lost.
            return (state, ()) if session_id is not None else ask_again(state, now)
        case Stop(reason):
            return Empty(math.inf, state.failures, reason), ()
        case InstanceStarted() | InstanceFailed():
            return state, ()
    assert_never(event)


def ask_again(state: Pending, now: float) -> tuple[State, tuple[Order, ...]]:
    """Repeat the request under a new generation."""
    generation = state.generation + 1
    return replace(state, generation=generation, since=now), (Ask(generation),)


def step_active(  # noqa: C901 - one arm an event; the type checker counts them
    state: Active, event: Event, now: float, rules: Rules
) -> tuple[State, tuple[Order, ...]]:
    """Step a daemon whose instance lives."""
    match event:
        case Tick():
            if state.asked_at is None or now < state.asked_at + rules.answer_within_s:
                return state, ()
            return resume(state, now)
        case LinkRenewed():
            return resume(state, now)
        case Opened(session_id):
            if session_id == state.session_id:
                return replace(state, asked_at=None), ()
            return Active(session_id, now, state.generation), (
                StopInstance(state.session_id, "replaced by a new session", tell_manager=False),
                StartInstance(session_id),
            )
        case AskFailed():
            # The link is down again, or the manager is busy: the tick asks once more.
            return state, ()
        case Terminated(session_id, reason):
            if session_id is not None and session_id != state.session_id:
                return state, ()
            why = reason or "terminated by the manager"
            due = max(now, state.since + rules.between_sessions_s)
            return Empty(due, reason=why), (
                StopInstance(state.session_id, why, tell_manager=False),
            )
        case InstanceStarted(session_id):
            if session_id != state.session_id:
                return state, ()
            return replace(state, failures=0), ()
        case InstanceFailed(session_id, reason, kind, pause_s):
            if session_id != state.session_id:
                return state, ()
            due = now + pause_s if kind == "retry" else math.inf
            return Empty(due, state.failures + 1, reason), (
                StopInstance(session_id, reason, tell_manager=True),
            )
        case Stop(reason):
            return Empty(math.inf, reason=reason), (
                StopInstance(state.session_id, reason, tell_manager=True),
            )
    assert_never(event)


def resume(state: Active, now: float) -> tuple[State, tuple[Order, ...]]:
    """Ask to go on with the session; the instance lives on meanwhile."""
    generation = state.generation + 1
    return replace(state, generation=generation, asked_at=now), (
        Ask(generation, resume=state.session_id),
    )
