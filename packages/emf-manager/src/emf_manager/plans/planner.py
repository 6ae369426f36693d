"""The rules of a running plan: which steps start, which never will, and how it ends. Pure.

Old run and event in, new run and orders out. Every step ends in exactly one state: succeeded,
failed, skipped or cancelled. Jobs whose needs are done run beside each other, the steps of one job
in order. Times are monotonic seconds and arguments; what is written down is the shell's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from typing_extensions import assert_never

from emf_manager.plans.views import FINAL, PlanCounts, PlanJobState, PlanState, PlanStepState

__all__ = [
    "Begun",
    "CancelStep",
    "Ended",
    "Event",
    "Go",
    "Halt",
    "JobShape",
    "Order",
    "Run",
    "Start",
    "Step",
    "StepKey",
    "StepShape",
    "Tick",
    "count_steps",
    "due",
    "fresh",
    "job_reason",
    "job_states",
    "resume",
    "run_state",
    "step",
]

StepKey = tuple[str, str]
"""Names of a job and of a step in it."""


@dataclass(frozen=True)
class StepShape:
    """What the rules need to know of a step."""

    id: str
    when: Literal["success", "failure", "always", "never"] = "success"
    continue_on_error: bool = False


@dataclass(frozen=True)
class JobShape:
    """What the rules need to know of a job."""

    name: str
    needs: tuple[str, ...] = ()
    steps: tuple[StepShape, ...] = ()
    timeout_s: float | None = None


@dataclass(frozen=True)
class Step:
    """How far a step is."""

    state: PlanStepState = "pending"
    job_id: str | None = None
    """The manager's job; None while it is pending or just being started."""
    reason: str | None = None
    attempt: int = 1


@dataclass(frozen=True)
class Halt:
    """The plan is to end before its time: nothing starts any more."""

    kind: Literal["cancelled", "timed_out"]
    reason: str


@dataclass(frozen=True)
class Run:
    """A plan and how far it is."""

    jobs: Mapping[str, JobShape]
    """Each after those it needs."""
    steps: Mapping[StepKey, Step]
    attempt: int = 1
    timeout_s: float | None = None
    halt: Halt | None = None
    deadline: float | None = None
    deadlines: Mapping[str, float] = field(default_factory=dict)
    """Of the jobs that have a timeout and have started."""
    late: frozenset[str] = frozenset()
    """Jobs whose timeout has passed."""
    asked: frozenset[StepKey] = frozenset()
    """Running steps that were told to cancel."""


# What can happen


@dataclass(frozen=True)
class Go:
    """Look at what can be done; said at the start, and after a restart."""


@dataclass(frozen=True)
class Begun:
    """A step has its job."""

    key: StepKey
    job_id: str


@dataclass(frozen=True)
class Ended:
    """A step that was started, or could not be, has ended."""

    key: StepKey
    state: Literal["succeeded", "failed", "skipped", "cancelled"]
    reason: str | None = None


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Event = Go | Begun | Ended | Halt | Tick


# What must then be done


@dataclass(frozen=True)
class Start:
    """Make the step's job; its state is ``running`` already."""

    key: StepKey


@dataclass(frozen=True)
class CancelStep:
    """Ask for the end of the step's job."""

    key: StepKey
    job_id: str


Order = Start | CancelStep


def fresh(jobs: Mapping[str, JobShape], *, timeout_s: float | None, now: float) -> Run:
    """Return a plan of which nothing has started; its jobs need each other in no circle."""
    return Run(
        jobs={name: jobs[name] for name in in_order(jobs)},
        steps={(job.name, each.id): Step() for job in jobs.values() for each in job.steps},
        timeout_s=timeout_s,
        deadline=None if timeout_s is None else now + timeout_s,
    )


def step(run: Run, event: Event, now: float) -> tuple[Run, tuple[Order, ...]]:
    """Return the plan after an event, and what must be done."""
    match event:
        case Go() | Tick():
            pass
        case Begun(key, job_id):
            if run.steps[key].state == "running":
                run = with_step(run, key, replace(run.steps[key], job_id=job_id))
        case Ended(key, state, reason):
            if run.steps[key].state == "running":
                run = with_step(run, key, ended(run, key, state, reason))
        case Halt():
            if run.halt is None and run_state(run) == "running":
                run = replace(run, halt=event)
        case _:
            assert_never(event)
    return advance(pass_deadlines(run, now), now)


def due(run: Run) -> float | None:
    """Return when the next ``Tick`` matters; None when none does."""
    if run_state(run) != "running":
        return None
    states = job_states(run)
    moments = [at for job, at in run.deadlines.items() if is_on_time(run, states, job)]
    if run.deadline is not None and run.halt is None:
        moments.append(run.deadline)
    return min(moments, default=None)


def resume(run: Run, now: float) -> Run:
    """Return the plan set back to where each job stopped; what succeeded stays.

    A job goes on at its first step that failed or was cancelled; what ran after that, such as a
    clean-up, is to run again.

    Raises:
        ValueError: it is still running, or has succeeded.

    """
    state = run_state(run)
    if state in {"running", "succeeded"}:
        raise ValueError(f"it is {state}")
    attempt = run.attempt + 1
    steps = dict(run.steps)
    for job in run.jobs.values():
        stopped = False
        for shape in job.steps:
            key = (job.name, shape.id)
            stopped = stopped or broke(run.steps[key], shape)
            if stopped or run.steps[key].state == "skipped":
                steps[key] = Step(attempt=attempt)
    return Run(
        jobs=run.jobs,
        steps=steps,
        attempt=attempt,
        timeout_s=run.timeout_s,
        deadline=None if run.timeout_s is None else now + run.timeout_s,
    )


def run_state(run: Run) -> PlanState:
    """Return how the plan stands."""
    states = {each.state for each in run.steps.values()}
    if states & {"pending", "running"}:
        return "running"
    if run.halt is not None and "cancelled" in states:
        return run.halt.kind
    done = all(state == "succeeded" for state in job_states(run).values())
    return "succeeded" if done else "failed"


def job_states(run: Run) -> dict[str, PlanJobState]:
    """Return how each job stands."""
    states: dict[str, PlanJobState] = {}
    for name, job in run.jobs.items():
        states[name] = own_state(run, job, states)
    return states


def job_reason(run: Run, name: str, state: PlanJobState) -> str | None:
    """Return why a job failed, was skipped or cancelled: the reason of the step that tells."""
    if state in {"pending", "running", "succeeded"}:
        return None
    mine = [run.steps[name, shape.id] for shape in run.jobs[name].steps]
    return next((each.reason for each in mine if each.state == state and each.reason), None)


def count_steps(run: Run) -> PlanCounts:
    """Count the steps by state: the sum is how many there are."""
    counted: dict[str, int] = {}
    for each in run.steps.values():
        counted[each.state] = counted.get(each.state, 0) + 1
    return PlanCounts(steps=len(run.steps), **counted)


# Inside


def own_state(run: Run, job: JobShape, needed: Mapping[str, PlanJobState]) -> PlanJobState:
    """Return how a job stands, from its steps and how those stand that it needs."""
    steps = [(run.steps[job.name, shape.id], shape) for shape in job.steps]
    states = {each.state for each, _ in steps}
    if "pending" in states or "running" in states:
        return "pending" if states == {"pending"} else "running"
    if any(each.state == "failed" and broke(each, shape) for each, shape in steps):
        return "failed"
    if "cancelled" in states:
        return "cancelled"
    kept_back = any(needed[need] != "succeeded" for need in job.needs)
    return "skipped" if kept_back else "succeeded"


def broke(known: Step, shape: StepShape) -> bool:
    """Tell whether a step's end keeps those behind it from running."""
    return known.state == "cancelled" or (known.state == "failed" and not shape.continue_on_error)


def with_step(run: Run, key: StepKey, new: Step) -> Run:
    return replace(run, steps={**run.steps, key: new})


def ended(run: Run, key: StepKey, state: PlanStepState, reason: str | None) -> Step:
    known = run.steps[key]
    if state == "cancelled" and key[0] in run.late:
        return replace(known, state="failed", reason=late_reason(run, key[0]))
    if state == "cancelled" and run.halt is not None:
        reason = run.halt.reason
    return replace(known, state=state, reason=reason)


def late_reason(run: Run, job: str) -> str:
    return f"the timeout of job {job} passed ({run.jobs[job].timeout_s:g} s)"


def is_on_time(run: Run, states: Mapping[str, PlanJobState], job: str) -> bool:
    return job not in run.late and states[job] == "running"


def pass_deadlines(run: Run, now: float) -> Run:
    if run_state(run) != "running":
        return run
    if run.halt is None and run.deadline is not None and now >= run.deadline:
        why = f"the plan's timeout passed ({run.timeout_s:g} s)"
        run = replace(run, halt=Halt("timed_out", why))
    states = job_states(run)
    passed = {
        job for job, at in run.deadlines.items() if now >= at and is_on_time(run, states, job)
    }
    return replace(run, late=run.late | passed)


def advance(run: Run, now: float) -> tuple[Run, tuple[Order, ...]]:
    """Settle what is settled, and start what can start."""
    orders: list[Order] = []
    states: dict[str, PlanJobState] = {}
    for name, job in run.jobs.items():
        run, started = advance_job(run, job, states, now)
        orders.extend(started)
        states[name] = own_state(run, job, states)
    stopping = [
        CancelStep(key, each.job_id)
        for key, each in run.steps.items()
        if each.state == "running"
        and each.job_id is not None
        and (run.halt is not None or key[0] in run.late)
        and key not in run.asked
    ]
    return replace(run, asked=run.asked | {each.key for each in stopping}), (*orders, *stopping)


def advance_job(
    run: Run, job: JobShape, states: Mapping[str, PlanJobState], now: float
) -> tuple[Run, tuple[Start, ...]]:
    needs = {need: states[need] for need in job.needs}
    if run.halt is None and any(state in {"pending", "running"} for state in needs.values()):
        return run, ()
    missing = next((f"{n}, which {WAS[s]}" for n, s in needs.items() if s != "succeeded"), None)
    broken: str | None = None
    for shape in job.steps:
        key = (job.name, shape.id)
        known = run.steps[key]
        if known.state == "running":
            return run, ()
        if known.state in FINAL:
            if broken is None and broke(known, shape):
                broken = shape.id
            continue
        verdict = judge(run, job, shape, missing, broken)
        if verdict is None:
            return begin(run, job, key, now)
        run = with_step(run, key, replace(known, state=verdict[0], reason=verdict[1]))
    return run, ()


WAS: dict[PlanJobState, str] = {
    "pending": "did not run",
    "running": "did not end",
    "failed": "failed",
    "cancelled": "was cancelled",
    "skipped": "was skipped",
}


def judge(
    run: Run, job: JobShape, shape: StepShape, missing: str | None, broken: str | None
) -> tuple[PlanStepState, str] | None:
    """Return how a step ends without having started; None where it may start."""
    if run.halt is not None:
        return "cancelled", run.halt.reason
    if job.name in run.late:
        return "cancelled", late_reason(run, job.name)
    if missing is not None:
        return "skipped", f"it needs job {missing}"
    match shape.when:
        case "success" if broken is not None:
            return "skipped", f"step {broken} did not succeed"
        case "failure" if broken is None:
            return "skipped", "no step before it failed"
        case "never":
            return "skipped", "its condition is false"
    return None


def begin(run: Run, job: JobShape, key: StepKey, now: float) -> tuple[Run, tuple[Start, ...]]:
    run = with_step(run, key, replace(run.steps[key], state="running"))
    if job.timeout_s is not None and job.name not in run.deadlines:
        run = replace(run, deadlines={**run.deadlines, job.name: now + job.timeout_s})
    return run, (Start(key),)


def in_order(jobs: Mapping[str, JobShape]) -> Iterator[str]:
    """Yield jobs so that each comes after those it needs."""
    told: set[str] = set()
    while len(told) < len(jobs):
        for name, job in jobs.items():
            if name not in told and told.issuperset(job.needs):
                told.add(name)
                yield name
