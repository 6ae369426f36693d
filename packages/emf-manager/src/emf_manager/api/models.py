"""What the API says and takes: one frozen model for each resource, with examples for OpenAPI."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from emf_manager.api.rollout_models import FactFilters, Options, RolloutOptions
from emf_manager.authorization import Role

__all__ = [
    "Action",
    "ActionVariant",
    "Counts",
    "DataItem",
    "EnrolmentToken",
    "EnrolmentTokenRequest",
    "Event",
    "Health",
    "Job",
    "JobRequest",
    "JobSummary",
    "JobTarget",
    "Me",
    "NewEnrolmentToken",
    "NewToken",
    "Node",
    "NodeCertificate",
    "NodeDetail",
    "NodeJob",
    "PingAnswer",
    "PingRequest",
    "PingResult",
    "Plugin",
    "Session",
    "Token",
    "TokenRequest",
    "User",
    "UserRequest",
]

NODE = "oss01.example.com"
MOMENT = "2026-03-01T12:00:00Z"

Seconds = Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)]
NodeSetText = Annotated[
    str, Field(min_length=1, max_length=65536, examples=["oss[01-16].example.com"])
]
UserName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$", examples=["maria"])]
Age = Annotated[float | None, Field(description="Seconds ago, by the manager's clock.")]


class Answer(BaseModel):
    """Base of what the API says."""

    model_config = ConfigDict(frozen=True)


class Question(BaseModel):
    """Base of what the API takes: an unknown member is a mistake and is named."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Health(Answer):
    """Whether the manager serves; says nothing else to strangers."""

    status: Literal["ok"] = "ok"


class Me(Answer):
    """Who the token belongs to, and what it may do."""

    user: str = Field(examples=["maria"])
    role: Role
    permissions: tuple[str, ...] = Field(examples=[["read", "operate"]])


class Node(Answer):
    """One enrolled node, as the manager knows it now."""

    fqdn: str = Field(examples=[NODE])
    state: Literal["connected", "silent", "never"] = Field(
        description="silent: no contact for longer than its lease; never: enrolled, not seen yet."
    )
    reason: str | None = Field(default=None, description="Why it is silent.")
    last_contact: datetime | None = Field(examples=[MOMENT])
    age_s: Age = None
    protocol: int | None = Field(default=None, examples=[2])
    agent_version: str | None = Field(default=None, examples=["0.1.0"])
    boot_id: str | None = None
    mode: str | None = Field(default=None, examples=["allowlist"])
    sessions: dict[str, str] = Field(
        default_factory=dict, examples=[{"agent": "active", "network": "active"}]
    )
    waiting: bool = Field(default=False, description="Enrolled, and not approved yet.")
    alerts: int = Field(default=0, description="Open alerts that nobody has acknowledged.")
    role: str | None = Field(
        default=None, examples=["oss"], description="What its enrolment token says it is."
    )
    labels: dict[str, str] = Field(default_factory=dict, examples=[{"rack": "r1"}])


class Plugin(Answer):
    """One plugin of a node, as its agent reports it."""

    name: str = Field(examples=["host"])
    distribution: str | None = Field(default=None, examples=["emf-plugins-host"])
    version: str | None = Field(default=None, examples=["0.1.0"])
    state: str = Field(examples=["loaded"])
    reason: str | None = None


class NodeCertificate(Answer):
    """One certificate of a node."""

    serial: str = Field(examples=["5A3C9F"])
    not_before: datetime = Field(examples=[MOMENT])
    not_after: datetime = Field(examples=[MOMENT])
    revoked: datetime | None = None
    reason: str | None = Field(default=None, description="Why it was revoked.")


class NodeJob(Answer):
    """A job, as far as it is about one node."""

    job_id: str = Field(examples=["01931f6e-6b7a-7c3e-9d50-1f7f4f3c2a10"])
    action: str = Field(examples=["package_installed"])
    user: str = Field(examples=["maria"])
    created: datetime = Field(examples=[MOMENT])
    dry_run: bool = False
    state: str = Field(examples=["final"])
    outcome: str | None = Field(default=None, examples=["ok"])
    reason: str | None = None
    seconds: float | None = Field(default=None, examples=[0.12])


class NodeDetail(Node):
    """One node with what its agent reports of itself, and what is on file about it."""

    plugins: tuple[Plugin, ...] = ()
    enrolled: datetime | None = Field(default=None, examples=[MOMENT])
    certificates: tuple[NodeCertificate, ...] = Field(default=(), description="Newest first.")
    jobs: tuple[NodeJob, ...] = Field(default=(), description="The last 20, newest first.")


class NodeReason(Question):
    """Why something is done to a node; stands in its events and in the audit trail."""

    reason: Annotated[str, Field(min_length=1, max_length=255)] = "by an admin"


class Revoked(Answer):
    """What a revocation took away."""

    fqdn: str = Field(examples=[NODE])
    certificates: int = Field(description="How many were good until now.")


class Session(Answer):
    """One session of one daemon on one node."""

    node: str = Field(examples=[NODE])
    daemon: str = Field(examples=["network"])
    session_id: str
    state: str = Field(examples=["active"])
    since: datetime | None = Field(default=None, examples=[MOMENT])
    sequence: int = Field(examples=[17], description="Number of the last value received.")


class DataItem(Answer):
    """The latest value of one daemon on one node."""

    node: str = Field(examples=[NODE])
    daemon: str = Field(examples=["network"])
    session_id: str
    sequence: int = Field(examples=[17])
    as_of: datetime = Field(examples=[MOMENT])
    age_s: float = Field(examples=[3.2])
    stale: bool = Field(
        description="The node is silent or the session is over: the value may no longer hold."
    )
    value: JsonValue = Field(examples=[{"interfaces": []}])


class ActionVariant(Answer):
    """The form an action has on some nodes, where nodes disagree."""

    nodes: str = Field(examples=["oss[15-16].example.com"])
    args_schema: dict[str, Any]
    result_schema: dict[str, Any]


class Action(Answer):
    """One action of the catalogue: its schemas, and the nodes that have it."""

    name: str = Field(examples=["package_installed"])
    plugin: str = Field(examples=["packages"])
    summary: str = Field(examples=["Tell whether a package is installed."])
    description: str = ""
    args_schema: dict[str, Any]
    result_schema: dict[str, Any]
    timeout_s: float | None = Field(default=None, examples=[30.0])
    dry_run: bool = False
    idempotent: bool = False
    read_only: bool = Field(default=False, description="It says that it changes nothing.")
    detached: bool = False
    nodes: str = Field(examples=["oss[01-16].example.com"], description="Folded node set.")
    node_count: int = Field(examples=[16])
    variants: tuple[ActionVariant, ...] = Field(
        default=(), description="Other forms that fewer of these nodes have."
    )


class Counts(Answer):
    """Outcomes of a job: targeted is always the sum of all the others."""

    targeted: int = Field(examples=[16])
    held: int = Field(default=0, description="Not released yet: a later batch.")
    queued: int = Field(default=0, description="Not handed to the node yet.")
    offered: int = Field(default=0, description="Handed out, not confirmed.")
    accepted: int = Field(default=0, description="In the node's journal, not started.")
    started: int = 0
    succeeded: int = Field(default=0, examples=[16])
    failed: int = 0
    cancelled: int = 0
    timed_out: int = 0
    refused: int = 0
    expired: int = 0
    unknown: int = 0


class JobTarget(Answer):
    """What became of a job on one node."""

    node: str = Field(examples=[NODE])
    action_id: str = Field(description="The id of the action on this node.")
    state: Literal["held", "queued", "offered", "accepted", "started", "final"]
    batch: int = Field(default=1, description="Released together with the others of its number.")
    silent: bool = Field(default=False, description="The node is out of contact now.")
    cancel: str | None = Field(default=None, examples=["asked", "taken", "too_late"])
    cancelled_by: str | None = Field(default=None, description="Who asked first for its end.")
    outcome: str | None = Field(default=None, examples=["ok"])
    result: JsonValue = Field(default=None, examples=[{"Ok": True}])
    reason: str | None = None
    seconds: float | None = Field(default=None, examples=[0.12])
    truncated: bool = False
    fraction: float | None = None
    message: str | None = None


class JobSummary(Answer):
    """One job, without its targets."""

    id: str = Field(examples=["01931f6e-6b7a-7c3e-9d50-1f7f4f3c2a10"])
    action: str = Field(examples=["package_installed"])
    args: JsonValue = Field(examples=[{"name": "lustre"}])
    user: str = Field(examples=["maria"])
    created: datetime = Field(examples=[MOMENT])
    state: Literal["running", "done"]
    dry_run: bool = False
    timeout_s: float | None = None
    expires: datetime | None = Field(default=None, examples=[MOMENT])
    rollout: Options | None = Field(default=None, description="Null: all nodes at once.")
    deadline: datetime | None = Field(
        default=None, description="Nothing of it is released or started after this."
    )
    counts: Counts


class Job(JobSummary):
    """One job with the outcome on every node."""

    targets: tuple[JobTarget, ...]
    event: int = Field(
        default=0, description="Sequence number of the last event this answer includes."
    )


class JobRequest(RolloutOptions):
    """Starts an action on a set of nodes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "nodes": "oss[01-16].example.com",
                    "action": "package_installed",
                    "args": {"package": "lustre"},
                    "timeout_s": 30,
                }
            ]
        }
    )

    nodes: NodeSetText
    exclude: NodeSetText | None = None
    facts: FactFilters = ()
    action: Annotated[str, Field(min_length=1, max_length=255)]
    args: JsonValue = None
    timeout_s: Seconds | None = Field(default=None, description="How long it may run on a node.")
    expires_s: Seconds | None = Field(
        default=None, description="How long a node has to take it; then it is not started."
    )
    dry_run: bool = False
    expect: Annotated[int, Field(ge=1, le=20_000)] | None = Field(
        default=None,
        description="How many nodes must match, before the limit; else nothing is run.",
    )
    deadline_s: Seconds | None = Field(
        default=None, description="Nothing is released or started later than this from now."
    )


class PingRequest(Question):
    """Asks which nodes answer."""

    nodes: NodeSetText
    exclude: NodeSetText | None = None
    facts: FactFilters = ()
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0


class PingResult(Answer):
    """One node's answer to a ping."""

    node: str = Field(examples=[NODE])
    alive: bool
    seconds: float | None = Field(default=None, examples=[0.004])
    last_contact: datetime | None = None


class PingAnswer(Answer):
    """Every targeted node, alive or not."""

    results: tuple[PingResult, ...]


class Event(Answer):
    """Something that happened; the sequence has no silent gap."""

    sequence: int = Field(examples=[4711])
    at: datetime = Field(examples=[MOMENT])
    kind: str = Field(examples=["job.target"])
    node: str | None = Field(default=None, examples=[NODE])
    job: str | None = None
    body: JsonValue = None


class AuditLine(Answer):
    """One line of the audit trail; ``digest`` chains it to the one before."""

    sequence: int = Field(examples=[4711])
    at: float = Field(description="Seconds since the epoch: the digest covers this very number.")
    actor: str = Field(examples=["user:maria"])
    what: str = Field(examples=["POST /api/v1/jobs"])
    subject: str | None = None
    outcome: str = Field(examples=["ok"])
    detail: JsonValue = None
    digest: str


Pattern = Annotated[str, Field(min_length=1, max_length=255)]


class Mandate(BaseModel):
    """What may be ordered: these actions, on these nodes, with these argument values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nodes: NodeSetText = Field(default="*", examples=["oss[01-16]"], description="No groups.")
    actions: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=100)] = Field(
        default=("*",), examples=[["systemd_*"]]
    )
    args: Annotated[
        dict[str, Annotated[tuple[Pattern, ...], Field(max_length=100)]], Field(max_length=100)
    ] = Field(
        default_factory=dict,
        examples=[{"unit": ["lnet*"]}],
        description="By argument, patterns of what it may be; any value where it is not named.",
    )


Mandates = Annotated[tuple[Mandate, ...], Field(max_length=100)]


class User(Answer):
    """Somebody who may hold tokens."""

    name: str = Field(examples=["maria"])
    role: Role
    created: datetime = Field(examples=[MOMENT])
    mandates: Mandates = Field(
        default=(), description="What alone they may order; without any, what the role allows."
    )


class UserRequest(BaseModel):
    """Creates a user."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: UserName
    role: Role
    mandates: Mandates = ()


class MandatesRequest(BaseModel):
    """Says what alone a user may order; none lifts every bound but the role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mandates: Mandates


class Token(Answer):
    """One API token, without its secret."""

    id: str
    user: str = Field(examples=["maria"])
    label: str = ""
    created: datetime = Field(examples=[MOMENT])
    expires: datetime | None = None
    revoked: datetime | None = None
    last_used: datetime | None = None


class TokenRequest(Question):
    """Creates an API token for a user."""

    user: UserName
    label: Annotated[str, Field(max_length=255)] = ""
    ttl_s: Seconds | None = Field(default=None, description="Valid for ever where absent.")


class NewToken(Token):
    """A token just made; its secret is said once."""

    secret: str = Field(repr=False)


class EnrolmentToken(Answer):
    """One enrolment token, without its secret."""

    id: str
    nodes: str = Field(examples=["oss[01-16].example.com"], description="Names that may enrol.")
    role: str | None = Field(default=None, examples=["oss"])
    uses: int = Field(examples=[16])
    uses_left: int = Field(examples=[16])
    created: datetime = Field(examples=[MOMENT])
    expires: datetime = Field(examples=[MOMENT])
    created_by: str = Field(default="", examples=["maria"])
    replace: bool = False
    approval: bool = False
    revoked: datetime | None = None


class EnrolmentTokenRequest(Question):
    """Creates an enrolment token."""

    nodes: NodeSetText = Field(default="*", description="Names that may enrol; wildcards too.")
    role: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] | None = None
    uses: Annotated[int, Field(ge=1, le=10000)] = 1
    ttl_s: Annotated[float, Field(gt=0, le=7 * 86400)] = 3600.0
    replace: bool = Field(
        default=False, description="May take over a name that has a live certificate."
    )
    approval: bool = Field(
        default=False, description="A node that enrols with it waits until an admin approves it."
    )


class NewEnrolmentToken(EnrolmentToken):
    """An enrolment token just made; its secret is said once."""

    secret: str = Field(repr=False)
