"""The store as the rest of the manager sees it: one Protocol; every write returns after the commit.

What was acknowledged survives a crash at any instruction and a power cut. Each write is one
transaction: all of it is there, or none. A caller that is cancelled while it waits does not know
whether its write was made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from emf_agent.errors import EmfError, RefusedError
from emf_agent.wire import OutcomeKind
from emf_manager.authorization import Mandate
from emf_manager.records import (
    ApiToken,
    AuditEntry,
    AuditOrder,
    CancelMark,
    Certificate,
    EnrolmentGrant,
    Event,
    Job,
    LatestValue,
    NewAudit,
    NewEvent,
    Node,
    Orphan,
    Outcome,
    SessionRecord,
    Target,
    TargetState,
    User,
)
from emf_manager.store.groups import GroupStore
from emf_manager.store.history import HistoryStore
from emf_manager.store.logins import LoginStore
from emf_manager.store.node_rows import NodeFiles
from emf_manager.store.roll_rows import RollStore
from emf_manager.store.rollouts import RolloutStore

__all__ = [
    "Changes",
    "Committed",
    "Created",
    "EnvelopeKey",
    "GrantUnusableError",
    "KeyReusedError",
    "Loaded",
    "NameAliveError",
    "OutcomeVerdict",
    "Remark",
    "Store",
    "StoreError",
    "StoreFullError",
    "TargetProgress",
]


class StoreError(EmfError):
    """The store could not do it; nothing of the write was kept."""


class StoreFullError(StoreError):
    """No room on the disk: answer 503 and let the peer keep what it has."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where}: no room left; free disk space, nothing is lost meanwhile")


class KeyReusedError(RefusedError):
    """An idempotency key was used before, for something else."""

    def __init__(self, key: str, name: str, what: str = "job") -> None:
        super().__init__(f"the key {key[:80]!r} already names {what} {name}, which is different")


class GrantUnusableError(RefusedError):
    """An enrolment grant that cannot be redeemed: used up, expired or revoked."""


class NameAliveError(RefusedError):
    """The name has a live certificate, and the grant may not replace it."""

    def __init__(self, fqdn: str) -> None:
        super().__init__(
            f"{fqdn} has a live certificate; make a token with --replace, or remove the node first"
        )
        self.fqdn = fqdn


@dataclass(frozen=True)
class EnvelopeKey:
    """A protocol 2 envelope, once per node."""

    node: str
    id: str


@dataclass(frozen=True)
class TargetProgress:
    """News of a target that has no outcome yet; the state never goes back, None changes nothing."""

    action_id: str
    at: float
    state: TargetState | None = None
    fraction: float | None = None
    message: str | None = None
    cancel: CancelMark | None = None
    cancel_requester: str | None = None


@dataclass(frozen=True)
class Remark:
    """An outcome, and the events to append when, and only when, it is the one recorded."""

    outcome: Outcome
    events: tuple[NewEvent, ...] = ()


@dataclass(frozen=True)
class Changes:
    """What one write changes; applied in the order of the fields."""

    envelope: EnvelopeKey | None = None
    """Seen before: nothing else of these changes is applied."""
    nodes: tuple[Node, ...] = ()
    """Whole rows, except role, labels, ``enrolled`` and ``waiting``, which are the admins'.

    A removed node stays removed; only enrolment brings its name back.
    """
    sessions: tuple[SessionRecord, ...] = ()
    values: tuple[LatestValue, ...] = ()
    targets: tuple[TargetProgress, ...] = ()
    outcomes: tuple[Remark, ...] = ()
    events: tuple[NewEvent, ...] = ()
    audit: tuple[NewAudit, ...] = ()


@dataclass(frozen=True)
class OutcomeVerdict:
    """What became of one outcome: the first that a node recorded wins.

    ``recorded``: it is the outcome now. ``resolved``: it replaced a manager's ``unknown``.
    ``repeated``: the same was there. ``late``: a manager gave up on what was already final.
    ``conflict``: a different one was there and stays (an alarm). ``orphan``: no such id on that
    node; kept as an orphan.
    """

    outcome: Outcome
    verdict: Literal["recorded", "resolved", "repeated", "late", "conflict", "orphan"]
    job_id: str | None = None
    job_done: bool = False
    """It was the job's last open target."""
    first: Outcome | None = None
    """The outcome that stays, with ``conflict``."""


@dataclass(frozen=True)
class Committed:
    """What a write came to."""

    repeated: bool = False
    """The envelope was there already."""
    events: tuple[Event, ...] = ()
    """With their numbers, in order."""
    outcomes: tuple[OutcomeVerdict, ...] = ()


@dataclass(frozen=True)
class Created:
    """A job that is on disk; ``created`` is False where the key named an earlier one."""

    job: Job
    targets: tuple[Target, ...]
    created: bool
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """All that a starting manager needs in memory."""

    epoch: int
    last_event: int
    nodes: tuple[Node, ...] = ()
    """Without the removed ones."""
    sessions: tuple[SessionRecord, ...] = ()
    """Without the ended ones."""
    jobs: tuple[Job, ...] = ()
    """Those with open targets."""
    targets: tuple[Target, ...] = ()
    """The open ones of these jobs."""
    envelopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By node: ids of the last envelopes, oldest first."""


TargetTally = Mapping[tuple[TargetState, OutcomeKind | None], int]
"""How many targets of a job are in each state, and with each outcome."""


class Store(NodeFiles, RollStore, Protocol):
    """Everything durable. Reads see every write that has returned.

    Every method raises ``StoreError`` when the database fails, ``StoreFullError`` when it is full.
    """

    @property
    def logins(self) -> LoginStore:
        """People who sign in with a browser."""
        ...

    @property
    def history(self) -> HistoryStore:
        """What the daemons said over time."""
        ...

    @property
    def rollouts(self) -> RolloutStore:
        """What is held of jobs."""
        ...

    @property
    def groups(self) -> GroupStore:
        """Groups of nodes that operators define."""
        ...

    # The engine

    async def load(self) -> Loaded:
        """Return what a starting manager needs."""
        ...

    async def record(self, changes: Changes) -> Committed:
        """Write one envelope's worth, or whatever else the engine has, atomically."""
        ...

    async def create_job(
        self, job: Job, targets: tuple[Target, ...], *, events: tuple[NewEvent, ...] = ()
    ) -> Created:
        """Store a job; the requester's same ``idempotency_key`` again gives the same job.

        Raises:
            KeyReusedError: the key names a job with another action, arguments or nodes.

        """
        ...

    async def job(self, job_id: str) -> tuple[Job, tuple[Target, ...]] | None:
        """Return a job with its targets, by node."""
        ...

    async def jobs(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        requester: str | None = None,
        state: Literal["running", "done"] | None = None,
        action: str | None = None,
    ) -> tuple[Job, ...]:
        """Return jobs, newest first, those with an id below ``before``."""
        ...

    async def tallies(self, job_ids: Collection[str]) -> Mapping[str, TargetTally]:
        """Count the targets of these jobs by state and outcome."""
        ...

    async def values(
        self, *, node: str | None = None, daemon: str | None = None
    ) -> tuple[LatestValue, ...]:
        """Return latest values, by node and daemon."""
        ...

    async def sessions(self, *, node: str | None = None) -> tuple[SessionRecord, ...]:
        """Return sessions, ended ones too, newest first; ended ones are kept for a while."""
        ...

    async def orphans(self) -> tuple[Orphan, ...]:
        """Return results that belong to no target."""
        ...

    async def events(
        self, *, after: int = 0, limit: int = 1000, kinds: Collection[str] | None = None
    ) -> tuple[Event, ...]:
        """Return events above a number, in order."""
        ...

    async def event_bounds(self) -> tuple[int, int]:
        """Return the numbers of the oldest and the newest event; (0, 0) when there is none."""
        ...

    async def audit(self, entry: NewAudit) -> AuditEntry:
        """Append to the audit trail."""
        ...

    async def audit_length(self) -> int:
        """Return how many lines the audit trail has had: its last one's number."""
        ...

    async def audit_trail(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        order: AuditOrder = "oldest",
        limit: int = 1000,
    ) -> tuple[AuditEntry, ...]:
        """Return the audit trail between two numbers, without them, from the end that is named."""
        ...

    async def prune(self, *, before: float) -> int:
        """Drop what ended or happened before this, and what has expired by then; count rows."""
        ...

    async def raise_epoch(self, *, above: int = 0) -> int:
        """Return a new epoch, above the last and above this one: done once after a restore."""
        ...

    # Nodes and their identity

    async def nodes(self, *, removed: bool = False) -> tuple[Node, ...]:
        """Return nodes by name; removed ones only where asked for."""
        ...

    async def node(self, fqdn: str) -> Node | None:
        """Return one node, removed ones too."""
        ...

    async def remove_node(
        self, fqdn: str, *, at: float, reason: str, audit: NewAudit
    ) -> tuple[Committed, tuple[Certificate, ...]] | None:
        """Forget a node: certificates revoked, sessions ended, values gone, open targets unknown.

        None where there is no such node. The answer names the certificates that were revoked.
        """
        ...

    async def revoke_node(
        self, fqdn: str, *, at: float, reason: str, audit: NewAudit
    ) -> tuple[Committed, tuple[Certificate, ...]] | None:
        """Revoke a node's certificates; all that is known of it stays. None as ``remove_node``."""
        ...

    async def approve_node(self, fqdn: str, *, at: float, audit: NewAudit) -> Committed | None:
        """Let a waiting node speak; None where no node of this name waits."""
        ...

    async def label_node(
        self, fqdn: str, labels: Mapping[str, str], *, at: float, audit: NewAudit
    ) -> Committed | None:
        """Give a node labels in place of those it has; None where there is no such node."""
        ...

    async def waiting_nodes(self) -> frozenset[str]:
        """Return the names that wait for approval."""
        ...

    async def add_grant(self, grant: EnrolmentGrant, *, audit: NewAudit) -> None:
        """Keep an enrolment grant."""
        ...

    async def find_grant(self, secret_sha256: str) -> EnrolmentGrant | None:
        """Return the grant of a token, usable or not."""
        ...

    async def grants(self) -> tuple[EnrolmentGrant, ...]:
        """Return every grant, newest first."""
        ...

    async def revoke_grant(self, grant_id: str, *, at: float, audit: NewAudit) -> bool:
        """Make a grant unusable; False where there is none."""
        ...

    async def enrol(
        self, grant_id: str, certificate: Certificate, *, at: float, audit: NewAudit
    ) -> tuple[Node, tuple[Certificate, ...]]:
        """Redeem one use of a grant by one conditional UPDATE, and bind name and certificate.

        Returns the node, and the certificates that this one replaced (now revoked). Appends an
        event ``node.enrolled``; ``remove_node`` appends ``node.removed``.

        Raises:
            GrantUnusableError: it is used up, expired or revoked by now.
            NameAliveError: the name has a live certificate with another key, and the grant does
                not replace.

        """
        ...

    async def add_certificate(self, certificate: Certificate, *, audit: NewAudit) -> None:
        """Keep a renewed certificate."""
        ...

    async def certificates(self, *, fqdn: str | None = None) -> tuple[Certificate, ...]:
        """Return certificates, newest first."""
        ...

    async def revoked_serials(self, *, now: float) -> Mapping[str, str]:
        """Return the revoked serials that have not expired by now, and whose they are."""
        ...

    # Users

    async def add_user(self, user: User, *, audit: NewAudit) -> bool:
        """Create a user; False where the name is taken."""
        ...

    async def users(self) -> tuple[User, ...]:
        """Return users by name."""
        ...

    async def bind_user(self, name: str, mandates: tuple[Mandate, ...], *, audit: NewAudit) -> bool:
        """Say what alone a user may order; False where there is none."""
        ...

    async def disable_user(self, name: str, *, at: float, audit: NewAudit) -> bool:
        """Disable a user, and so all tokens; False where there is none."""
        ...

    async def delete_user(self, name: str, *, audit: NewAudit) -> bool:
        """Delete a user and all tokens; False where there is none."""
        ...

    async def add_token(self, token: ApiToken, *, audit: NewAudit) -> bool:
        """Keep an API token; False where the user does not exist."""
        ...

    async def tokens(self) -> tuple[ApiToken, ...]:
        """Return every API token, newest first."""
        ...

    async def revoke_token(self, token_id: str, *, at: float, audit: NewAudit) -> bool:
        """Make an API token unusable; False where there is none."""
        ...

    async def find_token(self, secret_sha256: str, *, now: float) -> tuple[ApiToken, User] | None:
        """Return a token that is valid now, with its user, who is not disabled; else None."""
        ...

    async def touch_tokens(self, used: Mapping[str, float]) -> None:
        """Note when tokens (by id) were last used."""
        ...
