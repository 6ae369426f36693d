"""What can happen to a host, what must then be done, and the host itself, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from emf_agent.wire import (
    ActionReport,
    AgentMessage,
    Dropped,
    Hello,
    ManagerMessage,
    Unreadable,
    Verdict,
)
from emf_manager.agents.outgoing import Outgoing
from emf_manager.agents.places import Places, Speaker

__all__ = [
    "Abandoned",
    "Accept",
    "AgentStarted",
    "Answer",
    "Audit",
    "CameBack",
    "Collect",
    "Contact",
    "Departed",
    "Ended",
    "Event",
    "Greeted",
    "Hang",
    "Host",
    "JournalLost",
    "Lost",
    "Missing",
    "Nudge",
    "Offered",
    "Opened",
    "Order",
    "Polled",
    "Posted",
    "Received",
    "Refuse",
    "Reported",
    "Reset",
    "Revived",
    "Send",
    "Session",
    "Status",
    "Tick",
    "Unsent",
    "Wake",
    "WentSilent",
    "Withdraw",
]


@dataclass(frozen=True)
class Session:
    """The channel between one daemon of a host and the manager."""

    id: str
    daemon: str
    sequence: int = 0
    """Number of the last value received; 0 before the first."""
    lost: bool = False
    """The host is silent: it may come back with this session, or not."""


@dataclass(frozen=True)
class Host:
    """One enrolled host: the agent process it has now, if any, and everything for it."""

    fqdn: str
    instance: str | None = None
    """Start time of the current agent process, as the agent writes it."""
    boot: str | None = None
    protocol: int = 1
    superseded: tuple[str, ...] = ()
    """Earlier agent processes, newest last; bounded."""
    lease_until: float = 0.0
    silent: bool = True
    sessions: Mapping[str, Session] = field(default_factory=dict)
    """By daemon; never changed in place."""
    outgoing: Outgoing = field(default_factory=Outgoing)
    poll: int = 0
    """Number of the GET that hangs now; 0 when none does."""
    polls: int = 0
    greeting_due: bool = False
    """The ancestor's first poll of a restarted agent is answered with SESSION_TERMINATE_ALL."""
    envelopes: tuple[str, ...] = ()
    """Ids of the last envelopes taken from this process; bounded."""
    journal_id: str | None = None
    journal_sequence: int = 0
    places: Places = field(default_factory=Places)


# What can happen


@dataclass(frozen=True)
class Contact:
    """Who speaks: one agent process, and the protocol of this very request."""

    instance: str
    boot: str
    protocol: int
    address: str = ""


@dataclass(frozen=True)
class Posted:
    """An envelope came in."""

    contact: Contact
    messages: tuple[tuple[int, AgentMessage], ...]
    unreadable: tuple[Unreadable, ...] = ()
    envelope_id: str | None = None
    hello: Hello | None = None
    goodbye: str | None = None
    fresh_ids: tuple[str, ...] = ()
    """One unused session id for each message."""


@dataclass(frozen=True)
class Polled:
    """A GET came in; ``acknowledged`` is None where it says nothing about our numbers."""

    contact: Contact
    acknowledged: int | None = None


@dataclass(frozen=True)
class Collect:
    """A hanging GET is about to be answered."""

    poll: int


@dataclass(frozen=True)
class Abandoned:
    """The client of a hanging GET has gone away."""

    poll: int


@dataclass(frozen=True)
class Nudge:
    """Answer the hanging GET now, whether or not there is something: the agent comes back."""


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Send:
    """Something for a daemon's session; an action's start names its id and last moment."""

    daemon: str
    body: JsonValue
    action_id: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True)
class Withdraw:
    """An action's start must not be handed out any more."""

    action_id: str


@dataclass(frozen=True)
class Reset:
    """End the session of a daemon, or all, so that the agent asks for new ones."""

    daemon: str | None
    reason: str


Event = Posted | Polled | Collect | Abandoned | Nudge | Tick | Send | Withdraw | Reset


# What must then be done


Status = Literal[400, 403, 409]


@dataclass(frozen=True)
class Refuse:
    """Answer the request with an error status; nothing of it was taken."""

    status: Status
    reason: str


@dataclass(frozen=True)
class Accept:
    """Answer the POST: all was taken but what has a verdict."""

    verdicts: tuple[Verdict, ...] = ()
    repeated: bool = False


@dataclass(frozen=True)
class Hang:
    """The GET is now the one that hangs, under this number."""

    poll: int


@dataclass(frozen=True)
class Wake:
    """Whoever holds this GET must collect now; it gets nothing where it has been replaced."""

    poll: int


@dataclass(frozen=True)
class Answer:
    """Answer the GET with these."""

    messages: tuple[ManagerMessage, ...]


@dataclass(frozen=True)
class Offered:
    """These actions are in the answer that is about to leave."""

    action_ids: tuple[str, ...]


@dataclass(frozen=True)
class Unsent:
    """An action's start found no session or no room; it has to be sent again later."""

    action_id: str
    reason: str


@dataclass(frozen=True)
class AgentStarted:
    """A new agent process has taken over; ``rebooted`` when the whole host started again."""

    instance: str
    previous: str | None
    rebooted: bool


@dataclass(frozen=True)
class Greeted:
    """The agent told who it is."""

    hello: Hello


@dataclass(frozen=True)
class JournalLost:
    """The node's journal is another one, or an older one: what it had taken is unknown."""

    reason: str


@dataclass(frozen=True)
class Opened:
    """A session begins."""

    session: Session


@dataclass(frozen=True)
class Ended:
    """A session is over for good."""

    session: Session
    reason: str


@dataclass(frozen=True)
class Lost:
    """The host of a session is silent."""

    session: Session


@dataclass(frozen=True)
class Revived:
    """The host of a lost session came back with it."""

    session: Session


@dataclass(frozen=True)
class Received:
    """A value of a daemon."""

    session: Session
    body: JsonValue
    dropped: Dropped | None = None
    """Values before this one that the agent had no room for."""


@dataclass(frozen=True)
class Missing:
    """Numbers of a session that never came and were not owned up to."""

    session: Session
    first: int
    last: int


@dataclass(frozen=True)
class Reported:
    """A report of the action runner."""

    session: Session
    report: ActionReport


@dataclass(frozen=True)
class WentSilent:
    """The lease has run out."""


@dataclass(frozen=True)
class CameBack:
    """The same agent process is in contact again."""


@dataclass(frozen=True)
class Departed:
    """The agent said goodbye."""

    reason: str


@dataclass(frozen=True)
class Audit:
    """Somebody must be able to find out about this later."""

    kind: str
    detail: str


@dataclass(frozen=True)
class TwoPlaces:
    """Two agents take turns with one identity: a copied machine, or a stolen key."""

    speakers: tuple[Speaker, ...]


Order = (
    Refuse
    | Accept
    | Hang
    | Wake
    | Answer
    | Offered
    | Unsent
    | AgentStarted
    | Greeted
    | JournalLost
    | Opened
    | Ended
    | Lost
    | Revived
    | Received
    | Missing
    | Reported
    | WentSilent
    | CameBack
    | Departed
    | Audit
    | TwoPlaces
)
