"""What the manager must not lose, as frozen values; the store writes and reads exactly these.

Times are wall clock, seconds since the epoch. Secrets are never in here, only their SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from emf_agent.wire import OutcomeKind
from emf_manager.authorization import Mandate, Role

__all__ = [
    "UNSTORABLE",
    "ApiToken",
    "AuditEntry",
    "AuditOrder",
    "CancelMark",
    "Certificate",
    "EnrolmentGrant",
    "Event",
    "Job",
    "LatestValue",
    "NewAudit",
    "NewEvent",
    "Node",
    "NodeState",
    "Orphan",
    "Outcome",
    "SessionRecord",
    "SessionState",
    "Target",
    "TargetState",
    "User",
    "hash_secret",
]

NodeState = Literal["new", "online", "silent", "removed"]
SessionState = Literal["active", "lost", "ended"]
TargetState = Literal["held", "queued", "offered", "accepted", "started", "final"]
AuditOrder = Literal["oldest", "newest"]
"""Which end of the audit trail comes first."""
CancelMark = Literal["asked", "taken", "too_late"]
UNSTORABLE = {0: "\ufffd", **dict.fromkeys(range(0xD800, 0xE000), "\ufffd")}
"""NUL and lone surrogates, which no database takes, and what is kept of them."""


def hash_secret(secret: str) -> str:
    """Return what is kept of a secret: SHA-256, 64 hex digits (requirement R10)."""
    return hashlib.sha256(secret.encode()).hexdigest()


# Nodes and what they say


@dataclass(frozen=True)
class Node:
    """One enrolled node. Role, labels, ``enrolled``, ``waiting`` are for admins to say."""

    fqdn: str
    state: NodeState = "new"
    role: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    enrolled: float = 0.0
    waiting: bool = False
    """Enrolled under a token that asks for approval, and not approved yet: it may not speak."""
    reason: str | None = None
    """Why it is silent or removed."""
    instance: str | None = None
    """``client_start_time`` of the agent process that speaks now."""
    superseded: tuple[str, ...] = ()
    """Earlier agent processes, newest last: their late requests are refused."""
    boot_time: str | None = None
    """``server_boot_time`` as the agent writes it."""
    boot_id: str | None = None
    protocol: int | None = None
    agent_version: str | None = None
    mode: str | None = None
    """How the agent lets plugins in: ``allowlist`` or ``enforce``."""
    catalogue_digest: str | None = None
    journal_id: str | None = None
    journal_sequence: int = 0
    first_contact: float | None = None
    last_contact: float | None = None


@dataclass(frozen=True)
class SessionRecord:
    """One session of one daemon."""

    session_id: str
    node: str
    daemon: str
    instance: str
    state: SessionState = "active"
    sequence: int = 0
    """Number of the last value received; 0 before the first."""
    started: float = 0.0
    ended: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class LatestValue:
    """The newest value of one daemon; replaces the one before."""

    node: str
    daemon: str
    session_id: str
    sequence: int
    body: JsonValue
    received: float
    gap: bool = False
    """Values before this one are missing."""


# Jobs


@dataclass(frozen=True)
class Job:
    """One action ordered for a set of nodes."""

    id: str
    """Sorts by age (UUIDv7)."""
    action: str
    args: JsonValue
    requester: str
    created: float
    expires: float
    """After this a node of the first batch does not start it any more; a later one has as long."""
    timeout_s: float | None = None
    dry_run: bool = False
    idempotency_key: str | None = None
    open_targets: int = 0
    """Targets without an outcome; kept by the store."""
    sealed: str | None = field(default=None, repr=False)
    """Its whole arguments, sealed, where some are secret; dropped with the last outcome."""
    secret_digest: str | None = field(default=None, repr=False)
    """Tells whether another order has the same arguments, where some are secret."""
    rollout: JsonValue = None
    """How it goes over its nodes, as ``rollouts.write_rollout`` writes it; None is all at once."""
    deadline: float | None = None
    """Nothing of it is released or started after this."""

    @property
    def state(self) -> Literal["running", "done"]:
        """Tell whether every target has its outcome."""
        return "running" if self.open_targets else "done"


@dataclass(frozen=True)
class Outcome:
    """How one target ended. ``by`` says who knows: the node's journal, or a manager giving up."""

    action_id: str
    node: str
    kind: OutcomeKind
    at: float
    by: Literal["node", "manager"] = "node"
    result: JsonValue = None
    """``{"Ok": value}`` or ``{"Err": text}``."""
    reason: str | None = None
    seconds: float | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Target:
    """A job on one node: what the node knows as one action id."""

    action_id: str
    job_id: str
    node: str
    state: TargetState = "queued"
    outcome: Outcome | None = None
    """There exactly when the state is ``final``."""
    queued: float = 0.0
    """When it was released; while it is held, when it was ordered."""
    offered: float | None = None
    accepted: float | None = None
    started: float | None = None
    fraction: float | None = None
    message: str | None = None
    cancel: CancelMark | None = None
    cancel_requester: str | None = None
    batch: int = 1
    """Released together with the others of its number; not released is ``held``."""
    apart: str | None = None
    """The HA cluster whose servers must not go together, where the order asks for that."""


@dataclass(frozen=True)
class Orphan:
    """A result for an id this manager never gave to that node: kept and shown."""

    node: str
    action_id: str
    outcome: Outcome


# What happened


@dataclass(frozen=True)
class NewEvent:
    """An event before it has its number."""

    at: float
    kind: str
    node: str | None = None
    body: JsonValue = None


@dataclass(frozen=True)
class Event:
    """Something that happened; sequence numbers have no gap."""

    sequence: int
    at: float
    kind: str
    node: str | None
    body: JsonValue


@dataclass(frozen=True)
class NewAudit:
    """A line of the audit trail before it is chained."""

    at: float
    actor: str
    """Who: ``user:maria``, ``node:oss1.example.com``, ``admin:root``, ``peer:192.0.2.7``."""
    what: str
    """What was asked for: ``enrol``, ``POST /api/v1/jobs``."""
    subject: str | None = None
    """What it was done to."""
    outcome: str = "ok"
    detail: JsonValue = None


@dataclass(frozen=True)
class AuditEntry:
    """A line of the audit trail; ``digest`` covers the line and the digest before it (R18)."""

    sequence: int
    entry: NewAudit
    digest: str


# Who may


@dataclass(frozen=True)
class EnrolmentGrant:
    """What an enrolment token allows; the token itself is not kept."""

    id: str
    secret_sha256: str = field(repr=False)
    pattern: str
    """Node set (with wildcards) that the enrolling name must be in."""
    role: str | None
    uses: int
    uses_left: int
    created: float
    expires: float
    created_by: str
    replace: bool = False
    """May take over a name that has a live certificate (requirement R13)."""
    approval: bool = False
    """A node that enrols with it waits until an admin approves it."""
    revoked: float | None = None


@dataclass(frozen=True)
class Certificate:
    """A certificate this manager's authority issued to a node."""

    serial: str
    """Upper-case hex, as ``ssl`` writes it."""
    fqdn: str
    not_before: float
    not_after: float
    key_sha256: str
    """Of the public key (DER SubjectPublicKeyInfo)."""
    pem: str
    grant_id: str | None = None
    """The grant it was enrolled under; None where it was renewed."""
    revoked: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class User:
    """Somebody who may hold API tokens."""

    name: str
    role: Role
    created: float
    disabled: float | None = None
    mandates: tuple[Mandate, ...] = ()
    """What alone they may order; without any, whatever the role allows."""


@dataclass(frozen=True)
class ApiToken:
    """A bearer token of the API; its rights are the user's."""

    id: str
    secret_sha256: str = field(repr=False)
    user: str
    created: float
    label: str = ""
    expires: float | None = None
    revoked: float | None = None
    last_used: float | None = None
