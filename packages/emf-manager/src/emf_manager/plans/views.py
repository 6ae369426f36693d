"""What a plan looks like to its callers, as frozen values. Times are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from emf_manager.plan_records import PlanState, PlanStepState
from emf_manager.views import Counts

__all__ = [
    "FINAL",
    "PlanCounts",
    "PlanJobState",
    "PlanJobView",
    "PlanState",
    "PlanStepState",
    "PlanStepView",
    "PlanView",
]

PlanJobState = Literal["pending", "running", "succeeded", "failed", "skipped", "cancelled"]

FINAL: frozenset[PlanStepState] = frozenset({"succeeded", "failed", "skipped", "cancelled"})
"""The states a step ends in, each in exactly one."""


@dataclass(frozen=True)
class PlanCounts:
    """How many steps are in each state; ``steps`` is always the sum of the others."""

    steps: int
    pending: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0


@dataclass(frozen=True)
class PlanStepView:
    """One step: an action on nodes, as one job of the manager's."""

    id: str
    name: str | None
    action: str
    args: JsonValue
    """As they stand in the document, with its ``${{ … }}``."""
    nodes: JsonValue
    """As they stand in the document."""
    state: PlanStepState
    reason: str | None
    """Why it failed, was skipped or cancelled."""
    job_id: str | None
    """The manager's job that it is, or was."""
    attempt: int
    """1, and one more with each resume that ran it again."""
    started: float | None
    ended: float | None
    continue_on_error: bool = False
    timeout_s: float | None = None
    counts: Counts | None = None
    """Outcomes on the nodes; None before it starts."""


@dataclass(frozen=True)
class PlanJobView:
    """One job of the plan: steps in order, once the jobs it needs are done."""

    name: str
    needs: tuple[str, ...]
    state: PlanJobState
    reason: str | None
    steps: tuple[PlanStepView, ...]


@dataclass(frozen=True)
class PlanView:
    """One plan; ``jobs`` is empty in listings."""

    id: str
    name: str
    requester: str
    created: float
    state: PlanState
    attempt: int
    """1, and one more with each resume."""
    ended: float | None
    timeout_s: float | None
    vars: tuple[str, ...]
    """Names only: a value may be a secret."""
    counts: PlanCounts
    reason: str | None = None
    """Who cancelled it, or which timeout passed."""
    jobs: tuple[PlanJobView, ...] = ()
    event: int = 0
    """Number of the last event this view includes."""
