"""Between a plan's document, its rules' run and its records: pure, both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from emf_manager.plan_records import PlanRecord, StepRecord
from emf_manager.plans import planner as p
from emf_manager.plans.expressions import Ref
from emf_manager.plans.values import Plan
from emf_manager.plans.views import FINAL, PlanCounts, PlanJobView, PlanStepView, PlanView
from emf_manager.records import NewEvent
from emf_manager.views import Counts

__all__ = [
    "changed_steps",
    "done_event",
    "kept_plan",
    "plan_view",
    "recalled",
    "shapes_of",
    "step_event",
    "step_records",
]


def shapes_of(plan: Plan) -> dict[str, p.JobShape]:
    """Return what the rules need to know of a document."""
    return {
        job.name: p.JobShape(
            name=job.name,
            needs=tuple(job.needs),
            timeout_s=job.timeout_s,
            steps=tuple(
                p.StepShape(
                    step.id,
                    "success" if isinstance(step.when, Ref) else step.when,
                    step.continue_on_error,
                )
                for step in job.steps
            ),
        )
        for job in plan.jobs.values()
    }


def step_records(plan: Plan, plan_id: str) -> tuple[StepRecord, ...]:
    """Return the steps of a plan that is about to begin."""
    keys = [(job.name, step.id) for job in plan.jobs.values() for step in job.steps]
    return tuple(StepRecord(plan_id, place, *key) for place, key in enumerate(keys))


def recalled(
    plan: Plan, record: PlanRecord, steps: Sequence[StepRecord], now: float, wall: float
) -> p.Run:
    """Return the run that records stand for; what is left of its timeouts goes on."""
    run = p.fresh(shapes_of(plan), timeout_s=record.timeout_s, now=now)
    known = {
        (each.job, each.step): p.Step(each.state, each.job_id, each.reason, each.attempt)
        for each in steps
    }
    gone_s = max(0.0, wall - record.started)
    return replace(
        run,
        steps={key: known[key] for key in run.steps},
        attempt=record.attempt,
        halt=None if record.halt is None else p.Halt(record.halt, record.reason or ""),
        deadline=None if run.deadline is None else run.deadline - gone_s,
        deadlines=dict(deadlines_of(plan, record, steps, now, wall)),
    )


def deadlines_of(
    plan: Plan, record: PlanRecord, steps: Sequence[StepRecord], now: float, wall: float
) -> Mapping[str, float]:
    began: dict[str, float] = {}
    for each in steps:
        if each.started is not None and each.attempt == record.attempt:
            began[each.job] = min(each.started, began.get(each.job, each.started))
    return {
        name: now + job.timeout_s - max(0.0, wall - began[name])
        for name, job in plan.jobs.items()
        if job.timeout_s is not None and name in began
    }


def changed_steps(
    before: Mapping[p.StepKey, StepRecord], run: p.Run, wall: float
) -> list[StepRecord]:
    """Return the records of the steps that are not as they were."""
    changed = []
    for key, new in run.steps.items():
        old = before[key]
        fresh = new.attempt != old.attempt
        kept = replace(
            old,
            state=new.state,
            attempt=new.attempt,
            job_id=new.job_id,
            reason=new.reason,
            started=None if fresh else old.started,
            ended=None if fresh else old.ended,
        )
        if kept.state == "running" and kept.started is None:
            kept = replace(kept, started=wall)
        if kept.state in FINAL and kept.ended is None:
            kept = replace(kept, ended=wall)
        if kept != old:
            changed.append(kept)
    return changed


def kept_plan(record: PlanRecord, run: p.Run, wall: float) -> PlanRecord:
    """Return the record of a plan as its run now stands."""
    state = p.run_state(run)
    return replace(
        record,
        state=state,
        attempt=run.attempt,
        ended=None if state == "running" else record.ended or wall,
        halt=None if run.halt is None else run.halt.kind,
        reason=None if run.halt is None else run.halt.reason,
    )


def step_event(record: StepRecord, wall: float) -> NewEvent:
    """Return the event that a step is where it is now."""
    return NewEvent(
        wall,
        "plan.step",
        None,
        {
            "plan": record.plan_id,
            "plan_job": record.job,
            "step": record.step,
            "state": record.state,
            "reason": record.reason,
            "attempt": record.attempt,
            "job": record.job_id,
        },
    )


def done_event(record: PlanRecord, counts: PlanCounts, wall: float) -> NewEvent:
    """Return the event that a plan has ended."""
    told: dict[str, JsonValue] = {name: number for name, number in vars(counts).items() if number}
    body: dict[str, JsonValue] = {
        "plan": record.id,
        "state": record.state,
        "reason": record.reason,
        "counts": told,
    }
    return NewEvent(wall, "plan.done", None, body)


def plan_view(
    record: PlanRecord,
    plan: Plan,
    steps: Sequence[StepRecord],
    counts: Mapping[str, Counts],
    event: int,
) -> PlanView:
    """Return a plan as callers see it; ``counts`` are those of its steps' jobs, by their ids."""
    run = recalled(plan, record, steps, 0.0, record.started)
    states = p.job_states(run)
    kept = {(each.job, each.step): each for each in steps}
    jobs = tuple(
        PlanJobView(
            name=job.name,
            needs=tuple(job.needs),
            state=states[job.name],
            reason=p.job_reason(run, job.name, states[job.name]),
            steps=tuple(
                PlanStepView(
                    id=step.id,
                    name=step.name,
                    action=step.action,
                    args=step.written["args"],
                    nodes=step.written["nodes"],
                    state=kept[job.name, step.id].state,
                    reason=kept[job.name, step.id].reason,
                    job_id=kept[job.name, step.id].job_id,
                    attempt=kept[job.name, step.id].attempt,
                    started=kept[job.name, step.id].started,
                    ended=kept[job.name, step.id].ended,
                    continue_on_error=step.continue_on_error,
                    timeout_s=timeout_of(step.options.get("timeout_s")),
                    counts=counts.get(kept[job.name, step.id].job_id or ""),
                )
                for step in job.steps
            ),
        )
        for job in plan.jobs.values()
    )
    return replace(summary(record, p.count_steps(run)), jobs=jobs, event=event)


def summary(record: PlanRecord, counts: PlanCounts) -> PlanView:
    """Return a plan for a list."""
    return PlanView(
        id=record.id,
        name=record.name,
        requester=record.requester,
        created=record.created,
        state=record.state,
        attempt=record.attempt,
        ended=record.ended,
        timeout_s=record.timeout_s,
        vars=tuple(record.vars),
        counts=counts,
        reason=record.reason,
    )


def timeout_of(value: object) -> float | None:
    return value if isinstance(value, float) else None
