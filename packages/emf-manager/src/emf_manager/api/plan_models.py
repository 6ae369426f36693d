"""What the API says and takes about plans."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from emf_manager.api.models import MOMENT, Answer, Counts, Question
from emf_manager.plans.views import PlanJobState, PlanState, PlanStepState

__all__ = [
    "Plan",
    "PlanCheck",
    "PlanCounts",
    "PlanEdge",
    "PlanFault",
    "PlanGraph",
    "PlanJob",
    "PlanNode",
    "PlanRequest",
    "PlanStep",
    "PlanSummary",
]

DOCUMENT = """\
version: 1
name: lnet restart
jobs:
  restart:
    nodes: oss[01-02]
    steps:
      - action: restart_unit
        args: {unit: lnet.service}
        timeout: 30s
"""
PLAN_ID = "01931f6e-6b7a-7c3e-9d50-1f7f4f3c2a10"


class PlanRequest(Question):
    """A plan to check or to start."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"document": DOCUMENT, "vars": {}}]})

    document: Annotated[
        str, Field(min_length=1, max_length=256 * 1024, description="YAML, as docs/plans.md says.")
    ]
    vars: Annotated[
        dict[Annotated[str, Field(max_length=64)], JsonValue], Field(max_length=200)
    ] = Field(default_factory=dict, description="Instead of what the document's vars say.")


class PlanFault(Answer):
    """One thing that is wrong with a document, and where; lines and columns count from 1."""

    line: int = Field(examples=[7])
    column: int = Field(examples=[17])
    where: str = Field(examples=["jobs.restart.steps[0].action"])
    message: str = Field(examples=["oss[01-02] has no action 'restart_unt'"])
    suggestions: tuple[str, ...] = Field(default=(), examples=[["restart_unit"]])
    kind: Literal["invalid", "no-node-matched", "forbidden"] = "invalid"


class PlanCounts(Answer):
    """How many steps are in each state: steps is always the sum of the others."""

    steps: int = Field(examples=[3])
    pending: int = 0
    running: int = 0
    succeeded: int = Field(default=0, examples=[3])
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0


class PlanStep(Answer):
    """One step: an action on nodes, run as one job."""

    id: str = Field(examples=["step1"])
    name: str | None = None
    action: str = Field(examples=["restart_unit"])
    args: JsonValue = Field(default=None, examples=[{"unit": "lnet.service"}])
    nodes: JsonValue = Field(examples=["oss[01-02]"])
    timeout_s: float | None = Field(default=None, examples=[30.0])
    continue_on_error: bool = False
    state: PlanStepState
    reason: str | None = None
    job_id: str | None = None
    attempt: int = 1
    started: datetime | None = Field(default=None, examples=[MOMENT])
    ended: datetime | None = None
    counts: Counts | None = Field(default=None, description="Outcomes on the nodes.")


class PlanJob(Answer):
    """One job of a plan: steps in order, once the jobs it needs are done."""

    name: str = Field(examples=["restart"])
    needs: tuple[str, ...] = ()
    state: PlanJobState
    reason: str | None = None
    steps: tuple[PlanStep, ...]


class PlanNode(Answer):
    """Where a job stands in the drawing."""

    job: str = Field(examples=["restart"])
    layer: int = 0
    place: int = 0
    x: float
    y: float
    width: float
    height: float


class PlanEdge(Answer):
    """A line from a job to one that needs it."""

    source: str = Field(examples=["look"])
    target: str = Field(examples=["restart"])
    points: tuple[tuple[float, float], ...] = Field(examples=[[[236.0, 45.0], [300.0, 45.0]]])


class PlanGraph(Answer):
    """The plan as a drawing from left to right, in pixels."""

    width: float
    height: float
    nodes: tuple[PlanNode, ...]
    edges: tuple[PlanEdge, ...]


class PlanSummary(Answer):
    """One plan, without its jobs."""

    id: str = Field(examples=[PLAN_ID])
    name: str = Field(examples=["lnet restart"])
    user: str = Field(examples=["maria"])
    created: datetime = Field(examples=[MOMENT])
    ended: datetime | None = None
    state: PlanState
    reason: str | None = None
    attempt: int = Field(default=1, description="One more with each resume.")
    timeout_s: float | None = None
    vars: tuple[str, ...] = Field(default=(), description="Names; a value may be a secret.")
    counts: PlanCounts


class Plan(PlanSummary):
    """One plan with its jobs, their steps, and where to draw them."""

    jobs: tuple[PlanJob, ...]
    graph: PlanGraph
    event: int = Field(
        default=0, description="Sequence number of the last event this answer includes."
    )


class PlanCheck(Answer):
    """What is wrong with a document, all of it; without faults, what it would do."""

    valid: bool
    faults: tuple[PlanFault, ...] = ()
    name: str | None = None
    jobs: tuple[PlanJob, ...] = ()
    graph: PlanGraph | None = None
