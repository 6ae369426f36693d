"""What the agent says of itself: the payload of the built-in daemon ``agent``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from emf_agent.wire.encoding import Extension, Name, WireModel

__all__ = [
    "ActionDescription",
    "AgentReport",
    "CertificateReport",
    "DaemonDescription",
    "DaemonHealth",
    "Health",
    "PluginReport",
    "PluginState",
]

PluginState = Literal[
    "loaded",
    "refused",
    "missing",
    "version",
    "tampered",
    "shadowed",
    "failed",
    "not-applicable",
    "disabled",
]


class ReportModel(WireModel):
    """Read from a DATA body that is JSON already, where an array stands for a tuple."""

    model_config = ConfigDict(strict=False)


class PluginReport(ReportModel):
    """One entry point that was found or expected: its state, and the reason for it."""

    name: Name
    distribution: str | None
    version: str | None
    state: PluginState
    reason: str | None
    actions: tuple[str, ...] = ()
    daemons: tuple[str, ...] = ()


class ActionDescription(ReportModel):
    """One action of the catalogue, as JSON Schema (draft 2020-12)."""

    name: Name
    plugin: Name
    summary: str
    description: str = ""
    args_schema: dict[str, Any]
    """Schema of the arguments by name; ``x-positional`` lists the order of the array form."""
    result_schema: dict[str, Any]
    timeout_s: float | None = None
    dry_run: bool = False
    idempotent: bool = False
    read_only: bool = False
    detached: bool = False


class DaemonDescription(ReportModel):
    """One daemon of the catalogue."""

    name: Name
    plugin: Name
    summary: str
    payload_schema: dict[str, Any]
    interval_s: float
    deadline_s: float
    start_deadline_s: float
    delivery: Literal["latest", "every"]


class DaemonHealth(ReportModel):
    """How one daemon fares; nothing in it changes while all is well, so that it is not sent."""

    name: Name
    session: Literal["empty", "pending", "active"]
    condition: Literal[
        "ok", "starting", "fault", "late", "quarantined", "stuck", "not-applicable", "failed"
    ]
    reason: str | None = None
    since: float | None = None
    """Wall clock, seconds since the epoch, since when this condition holds."""
    overruns: int = 0
    failures: int = 0


class Health(ReportModel):
    """How the agent as a whole fares."""

    daemons: tuple[DaemonHealth, ...]
    running_actions: int
    outbox_messages: int
    unreadable_messages: int
    longest_stall_s: float
    """Longest time the event loop did not turn since the start."""
    stalled_by: str | None = None
    containment: str
    """How commands are contained: ``cgroup`` or ``session``."""
    detached: str | None = Extension
    """Where actions declared ``detached`` run: in ``units``, or in the agent itself, and why."""
    actions_fault: str | None = Extension
    """Why the node takes no actions; absent where it takes them."""


class CertificateReport(ReportModel):
    """The node's certificate."""

    subject: str
    days_left: float
    authorities: tuple[str, ...] | None = Extension
    """SHA-256 of each authority that the node trusts."""
    issuer: str | None = Extension
    """SHA-256 of the one among them that issued the certificate in use."""


class AgentReport(ReportModel):
    """The whole payload."""

    version: str
    protocol: int
    python: str
    mode: str
    plugins: tuple[PluginReport, ...]
    actions: tuple[ActionDescription, ...]
    daemons: tuple[DaemonDescription, ...]
    catalogue_digest: str
    health: Health
    clock_offset_s: float | None = Extension
    certificate: CertificateReport | None = Extension
