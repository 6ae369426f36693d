"""From views of plans to the API's models, with secrets hidden and the graph drawn. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from emf_manager.api import models as m
from emf_manager.api import plan_models as pm
from emf_manager.api.redaction import hide_secrets
from emf_manager.api.translate import certain, moment
from emf_manager.plans.layout import Box, draw
from emf_manager.plans.views import PlanJobView, PlanStepView, PlanView
from emf_manager.plans.yaml_tree import Fault
from emf_manager.views import CatalogueEntry

__all__ = ["fault", "graph", "jobs", "plan", "plan_summary"]

BOX_WIDTH = 220.0
HEAD_HEIGHT = 34.0
STEP_HEIGHT = 24.0


def fault(found: Fault) -> pm.PlanFault:
    """Return what is wrong, and where."""
    return pm.PlanFault(
        line=found.mark.line,
        column=found.mark.column,
        where=found.where,
        message=found.message,
        suggestions=found.suggestions,
        kind=found.kind,
    )


def plan(view: PlanView, catalogue: Iterable[CatalogueEntry]) -> pm.Plan:
    """Return a plan with its jobs and its drawing."""
    return pm.Plan(
        **plan_summary(view).model_dump(),
        jobs=jobs(view.jobs, tuple(catalogue)),
        graph=graph(view.jobs),
        event=view.event,
    )


def plan_summary(view: PlanView) -> pm.PlanSummary:
    """Return a plan for a list."""
    return pm.PlanSummary(
        id=view.id,
        name=view.name,
        user=view.requester,
        created=certain(view.created),
        ended=moment(view.ended),
        state=view.state,
        reason=view.reason,
        attempt=view.attempt,
        timeout_s=view.timeout_s,
        vars=view.vars,
        counts=pm.PlanCounts(**asdict(view.counts)),
    )


def jobs(
    views: Sequence[PlanJobView], catalogue: Sequence[CatalogueEntry]
) -> tuple[pm.PlanJob, ...]:
    """Return the jobs of a plan, without the secrets it was given."""
    return tuple(
        pm.PlanJob(
            name=job.name,
            needs=job.needs,
            state=job.state,
            reason=job.reason,
            steps=tuple(step(each, catalogue) for each in job.steps),
        )
        for job in views
    )


def step(view: PlanStepView, catalogue: Sequence[CatalogueEntry]) -> pm.PlanStep:
    members = {
        **asdict(view),
        "args": hide_secrets(view.args, view.action, catalogue),
        "started": moment(view.started),
        "ended": moment(view.ended),
        "counts": None if view.counts is None else m.Counts(**asdict(view.counts)),
    }
    return pm.PlanStep(**members)


def graph(views: Sequence[PlanJobView]) -> pm.PlanGraph:
    """Return where to draw the jobs: a box each, with a line for each step."""
    drawing = draw(
        [
            Box(job.name, BOX_WIDTH, HEAD_HEIGHT + STEP_HEIGHT * len(job.steps), job.needs)
            for job in views
        ]
    )
    return pm.PlanGraph(
        width=drawing.width,
        height=drawing.height,
        nodes=tuple(
            pm.PlanNode(
                job=box.id,
                layer=box.layer,
                place=box.place,
                x=box.x,
                y=box.y,
                width=box.width,
                height=box.height,
            )
            for box in drawing.boxes
        ),
        edges=tuple(
            pm.PlanEdge(source=edge.source, target=edge.target, points=edge.points)
            for edge in drawing.edges
        ),
    )
