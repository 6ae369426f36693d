"""What goes into the journal and comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emf_agent.errors import JournalError
from emf_agent.wire import OutcomeKind

__all__ = [
    "Acceptance",
    "Accepted",
    "Conflict",
    "Event",
    "EventGap",
    "Finished",
    "Identity",
    "Known",
    "NotStartableError",
    "Outcome",
    "PendingEvents",
    "Recovery",
    "RowState",
    "Unacknowledged",
]

RowState = Literal["accepted", "started", "finished", "acknowledged"]


@dataclass(frozen=True)
class Identity:
    """Which journal this is, and how far it has come.

    Another ``journal_id`` than before means that it was lost; a lower ``sequence`` than before,
    that the disk was rolled back.
    """

    journal_id: str
    sequence: int


@dataclass(frozen=True)
class Acceptance:
    """An action that the node takes upon itself.

    ``args_json`` is stored as it is: the caller has put ``***`` for every secret before, and says
    so with ``redacted``. Times are wall-clock seconds since 1970.
    """

    id: str
    action: str
    args_json: str
    redacted: bool = False
    idempotent: bool = False
    detached: bool = False
    expires_at: float | None = None
    timeout_s: float | None = None
    dry_run: bool = False
    requester: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How an action ended. ``result_json`` is the wire's ``{"Ok": ...}`` or ``{"Err": ...}``."""

    kind: OutcomeKind
    result_json: str
    reason: str | None = None
    seconds: float | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Accepted:
    """The action is on disk; it was not known before."""


@dataclass(frozen=True)
class Known:
    """The id was taken before; nothing was written."""

    state: RowState
    outcome: Outcome | None


@dataclass(frozen=True)
class Finished:
    """The outcome is on disk, now or from an earlier call."""


@dataclass(frozen=True)
class Conflict:
    """A different outcome stands in the journal already, and stays: worth an alarm."""

    recorded: Outcome


@dataclass(frozen=True)
class Unacknowledged:
    """An outcome that the manager has not confirmed."""

    id: str
    action: str
    outcome: Outcome


@dataclass(frozen=True)
class Recovery:
    """What a former process left behind."""

    waiting: tuple[Acceptance, ...] = ()
    """To be run, or declared expired: not begun, or begun and declared idempotent."""
    detached: tuple[Acceptance, ...] = ()
    """Begun as units of systemd, which knows how they fare; their rows are still ``started``."""
    lost: tuple[str, ...] = ()
    """Ids whose effect cannot be known; their outcome is now ``unknown(agent-restart)``."""


@dataclass(frozen=True)
class Event:
    """One event of a daemon whose delivery is ``every``."""

    sequence: int
    payload_json: str


@dataclass(frozen=True)
class EventGap:
    """Events that were dropped, both ends included, because too many waited."""

    first: int
    last: int


@dataclass(frozen=True)
class PendingEvents:
    """What a daemon's outbox holds, oldest first; the gap lies before the first event."""

    gap: EventGap | None
    events: tuple[Event, ...]


class NotStartableError(JournalError):
    """The action must not begin: it has begun before, has ended, expired, or was never taken."""

    def __init__(self, action_id: str, why: str) -> None:
        super().__init__(f"action {action_id} must not start: {why}")
        self.action_id = action_id
