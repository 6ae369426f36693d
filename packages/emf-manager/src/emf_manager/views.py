"""What the engine tells its callers, as frozen values, and why it says no.

Times are wall clock, seconds since the epoch; ages and durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import JsonValue

from emf_agent.errors import EmfError, RefusedError, UsageError
from emf_agent.wire import ActionDescription, OutcomeKind
from emf_manager.rollouts import Rollout

__all__ = [
    "EVERYWHERE",
    "ArgumentsError",
    "CatalogueEntry",
    "ConflictError",
    "Counts",
    "DataView",
    "EventView",
    "JobOrder",
    "JobView",
    "NodeView",
    "NotFoundError",
    "PingView",
    "RollEntry",
    "SessionView",
    "TargetState",
    "TargetView",
    "Traffic",
    "UnknownActionError",
    "Variant",
]

EVERYWHERE = Rollout()
"""On all nodes at once."""
TargetState = Literal["held", "queued", "offered", "accepted", "started", "final"]


@dataclass(frozen=True)
class NodeView:
    """One enrolled node as the manager knows it now."""

    fqdn: str
    state: Literal["connected", "silent", "never"]
    """``silent``: no contact within its lease, or it said goodbye; ``never``: not seen yet."""
    reason: str | None
    """Why it is silent."""
    last_contact: float | None
    protocol: int | None
    agent_version: str | None
    boot_id: str | None
    mode: str | None
    """How the agent lets plugins in: ``allowlist`` or ``enforce``."""
    sessions: dict[str, str] = field(default_factory=dict)
    """State of each daemon's session: ``active`` or ``lost``."""
    waiting: bool = False
    """Enrolled, and not approved yet."""
    role: str | None = None
    """What its enrolment token says it is."""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RollEntry:
    """One enrolled node in a look at the whole fleet."""

    fqdn: str
    role: str | None
    state: Literal["connected", "silent", "never"]
    waiting: bool
    last_contact: float | None


@dataclass(frozen=True)
class SessionView:
    """One session of one daemon on one node."""

    node: str
    daemon: str
    session_id: str
    state: Literal["active", "lost", "ended"]
    since: float
    """When it was opened."""
    sequence: int
    """Number of the last value received."""


@dataclass(frozen=True)
class DataView:
    """The latest value of one daemon on one node."""

    node: str
    daemon: str
    session_id: str
    sequence: int
    as_of: float
    """When it was received."""
    age_s: float
    stale: bool
    """The node is silent, the session is over, or values are missing: it may no longer hold."""
    value: JsonValue


@dataclass(frozen=True)
class Variant:
    """One form of an action, and the nodes that have it in this form."""

    description: ActionDescription
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class CatalogueEntry:
    """One action by name; more than one variant when nodes disagree on its schemas."""

    name: str
    variants: tuple[Variant, ...]
    """The one that most nodes have comes first."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node that has the action."""
        return tuple(sorted(node for variant in self.variants for node in variant.nodes))


@dataclass(frozen=True)
class Counts:
    """Outcomes of a job; ``targeted`` is always the sum of all the others (P14)."""

    targeted: int
    held: int = 0
    queued: int = 0
    offered: int = 0
    accepted: int = 0
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    timed_out: int = 0
    refused: int = 0
    expired: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class TargetView:
    """What became of a job on one node."""

    node: str
    action_id: str
    state: TargetState
    silent: bool
    """The node is out of contact now."""
    cancel: Literal["asked", "taken", "too_late"] | None
    outcome: OutcomeKind | None
    result: JsonValue
    """``{"Ok": value}`` or ``{"Err": text}``; None while there is none."""
    reason: str | None
    seconds: float | None
    truncated: bool
    fraction: float | None
    message: str | None
    """The last progress message; what it logs goes out as ``job.progress`` events."""
    batch: int = 1
    """Released together with the others of its number."""
    cancelled_by: str | None = None
    """Who asked first for its end."""


@dataclass(frozen=True)
class JobView:
    """One job; ``targets`` is empty in listings."""

    id: str
    action: str
    args: JsonValue
    requester: str
    created: float
    timeout_s: float | None
    expires: float
    """After this a node does not start it any more."""
    dry_run: bool
    state: Literal["running", "done"]
    counts: Counts
    targets: tuple[TargetView, ...] = ()
    event: int = 0
    """Number of the last event this view includes."""
    rollout: Rollout = EVERYWHERE
    deadline: float | None = None
    """Nothing of it is released or started after this."""


@dataclass(frozen=True)
class JobOrder:
    """What somebody asks for."""

    action: str
    nodes: tuple[str, ...]
    requester: str
    args: JsonValue = None
    timeout_s: float | None = None
    expires_in_s: float | None = None
    dry_run: bool = False
    idempotency_key: str | None = None
    """The same key of the same requester again gives the same job."""
    rollout: Rollout = EVERYWHERE
    expect: int | None = None
    """The number of nodes that must match, before the limit; another one is refused."""
    deadline_s: float | None = None
    """Nothing of it is released or started later than this from now."""


@dataclass(frozen=True)
class PingView:
    """One node's answer to a ping: it gave up its hanging GET and came back with a new one."""

    node: str
    alive: bool
    seconds: float | None
    last_contact: float | None


@dataclass(frozen=True)
class EventView:
    """Something that happened; the sequence has no silent gap."""

    sequence: int
    at: float
    kind: str
    node: str | None
    body: dict[str, Any]


@dataclass(frozen=True)
class Traffic:
    """What came in since the manager began, and who listens now."""

    envelopes: int
    messages: int
    unreadable: int
    hanging: int
    event_streams: int
    value_streams: int
    cut_off: int
    """Readers of events that were too slow."""


class NotFoundError(EmfError):
    """There is no such node, session, value, action or job."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name[:255]!r}")
        self.kind = kind
        self.name = name


class ArgumentsError(UsageError):
    """Arguments do not fit the action's schema."""

    def __init__(self, action: str, where: str, expected: str, got: str) -> None:
        super().__init__(f"arguments of {action}: {where}: expected {expected}, got {got}")
        self.action = action
        self.field = where
        """Path of the field, such as ``args.filesystem``."""
        self.expected = expected
        self.got = got


class UnknownActionError(UsageError):
    """An action that these nodes do not have, with names that are close to it."""

    def __init__(self, action: str, nodes: str, close: tuple[str, ...]) -> None:
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        super().__init__(f"{nodes} has no action {action[:255]!r}{hint}")
        self.action = action
        self.nodes = nodes
        self.close = close


class ConflictError(RefusedError):
    """The idempotency key was used before, for something else."""
