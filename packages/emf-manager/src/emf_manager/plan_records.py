"""What is kept of a plan: its text and how far it is; the store writes and reads exactly these.

Times are wall clock, seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "HaltKind",
    "PlanRecord",
    "PlanState",
    "PlanStepState",
    "StepRecord",
]

PlanStepState = Literal["pending", "running", "succeeded", "failed", "skipped", "cancelled"]
PlanState = Literal["running", "succeeded", "failed", "cancelled", "timed_out"]
HaltKind = Literal["cancelled", "timed_out"]


@dataclass(frozen=True)
class PlanRecord:
    """One plan. Its document is kept as it was given, sealed, and read anew after a restart."""

    id: str
    """Sorts by age (UUIDv7)."""
    name: str
    requester: str
    """Who made it."""
    acting: str
    """Who last had it run: its steps are this user's orders."""
    created: float
    started: float
    """Of this attempt."""
    sealed: str
    """The document, and every variable with the value it had: there may be secrets among them."""
    digest: str
    """Of what is sealed: two orders of the same are told by it."""
    vars: Sequence[str] = ()
    """Names of the variables."""
    timeout_s: float | None = None
    state: PlanState = "running"
    attempt: int = 1
    ended: float | None = None
    halt: HaltKind | None = None
    """It is to end before its time."""
    reason: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class StepRecord:
    """One step of a plan."""

    plan_id: str
    place: int
    """Among all steps of the plan, in the order of the document."""
    job: str
    step: str
    state: PlanStepState = "pending"
    attempt: int = 1
    job_id: str | None = None
    """The manager's job."""
    reason: str | None = None
    started: float | None = None
    ended: float | None = None
