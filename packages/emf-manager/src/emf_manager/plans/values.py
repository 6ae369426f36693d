"""A plan as its document says it, once it has been read: frozen, every path compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from emf_manager.plans.expressions import Path, Ref, Template
from emf_manager.plans.yaml_tree import Mark

__all__ = ["MAX_JOBS", "MAX_STEPS", "Plan", "PlanJob", "PlanStep", "When"]

MAX_JOBS = 100
MAX_STEPS = 500
"""Of all jobs together."""

When = Literal["success", "failure", "always", "never"] | Ref
"""``failure``: only once a step before it failed; ``never``: a variable says false; a path: only if
its value is true."""


@dataclass(frozen=True)
class PlanStep:
    """One action on some nodes."""

    id: str
    name: str | None
    action: str
    args: Template
    nodes: Template
    exclude: Template | None
    when: When
    continue_on_error: bool
    outputs: Mapping[str, Path]
    """Names for paths below this step's own results."""
    options: Mapping[str, JsonValue]
    """What else a job can be asked for, by the names of the API's JobRequest."""
    written: Mapping[str, JsonValue]
    """``args``, ``nodes`` as they stand in the document."""
    where: str
    """Path in the document: ``jobs.a.steps[0]``."""
    marks: Mapping[str, Mark] = field(repr=False)
    """Where its members stand, by dotted path below the step; the step itself at ``""``."""

    def mark(self, path: str) -> Mark:
        """Return where a member stands, or the nearest thing around it."""
        while path and path not in self.marks:
            path = path.rpartition(".")[0]
        return self.marks[path]


@dataclass(frozen=True)
class PlanJob:
    """Steps in order, once the jobs it needs are done."""

    name: str
    needs: Mapping[str, Mark]
    timeout_s: float | None
    steps: tuple[PlanStep, ...]
    mark: Mark


@dataclass(frozen=True)
class Plan:
    """Everything a document says."""

    name: str
    timeout_s: float | None
    vars: Mapping[str, JsonValue]
    """With the values given beside the document."""
    jobs: Mapping[str, PlanJob]
