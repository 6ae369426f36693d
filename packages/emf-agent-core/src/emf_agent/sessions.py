"""All sessions of the agent as one book: routes a message to its session, and steps it.

Sans-IO, like the rules it applies. A message for a daemon that is not here is answered with a
refusal, never with an exception (W-A1).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import JsonValue
from typing_extensions import assert_never

from emf_agent import session_state as rules
from emf_agent.wire import (
    ManagerData,
    ManagerMessage,
    SessionCreateResponse,
    SessionTerminate,
    SessionTerminateAll,
)

__all__ = ["Deliver", "NotHere", "Routed", "SessionBook", "Step"]


@dataclass(frozen=True)
class Step:
    """An event for one daemon's session."""

    daemon: str
    event: rules.Event


@dataclass(frozen=True)
class Deliver:
    """A message for the instance that lives in this session."""

    daemon: str
    session_id: str
    body: JsonValue


@dataclass(frozen=True)
class NotHere:
    """The message is for a daemon or session this agent does not have."""

    daemon: str
    session_id: str
    reason: str


Routed = Step | Deliver | NotHere


class SessionBook:
    """The state of every daemon's session."""

    def __init__(self, daemons: Collection[str], now: float, settings: rules.Rules) -> None:
        self._settings = settings
        self._states: dict[str, rules.State] = {name: rules.Empty(due=now) for name in daemons}

    @property
    def states(self) -> Mapping[str, rules.State]:
        """Return the states as they are now."""
        return dict(self._states)

    def session_of(self, daemon: str) -> str | None:
        """Return the id of a daemon's session, or None while it has none."""
        state = self._states[daemon]
        return state.session_id if isinstance(state, rules.Active) else None

    def step(self, daemon: str, event: rules.Event, now: float) -> tuple[rules.Order, ...]:
        """Step one session, and return what must be done, in order."""
        state, orders = rules.step(self._states[daemon], event, now, self._settings)
        self._states[daemon] = state
        return orders

    def next_tick(self, daemon: str) -> float:
        """Return when this session needs a tick; infinite if it needs none."""
        return rules.next_tick(self._states[daemon], self._settings)

    def route(self, message: ManagerMessage) -> tuple[Routed, ...]:
        """Return what a message means here."""
        match message:
            case SessionTerminateAll(reason=reason):
                everything = rules.Terminated(None, reason or "terminated by the manager")
                return tuple(Step(daemon, everything) for daemon in self._states)
            case SessionTerminate(plugin=daemon, session_id=session_id, reason=reason):
                if daemon not in self._states:
                    return ()
                return (Step(daemon, rules.Terminated(session_id, reason)),)
            case SessionCreateResponse(plugin=daemon, session_id=session_id):
                if daemon not in self._states:
                    return (NotHere(daemon, session_id, f"this node has no daemon {daemon!r}"),)
                return (Step(daemon, rules.Opened(session_id)),)
            case ManagerData(plugin=daemon, session_id=session_id, body=body):
                if daemon not in self._states:
                    return (NotHere(daemon, session_id, f"this node has no daemon {daemon!r}"),)
                if self.session_of(daemon) != session_id:
                    return (NotHere(daemon, session_id, "not the current session"),)
                return (Deliver(daemon, session_id, body),)
        assert_never(message)
