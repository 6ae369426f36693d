"""One running plan: makes its steps' jobs, hears how they end, and keeps on disk how far it is.

What is to be done follows from what is on disk, never from a message that could be lost: a manager
killed at any moment looks again and goes on. A step's job is made under a key of the step's own,
and looked for under it first, so that it is made once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio
from pydantic import JsonValue

from emf_agent.errors import EmfError
from emf_manager.clock import Clock
from emf_manager.plan_records import PlanRecord, StepRecord
from emf_manager.plans import expressions as x
from emf_manager.plans import planner as p
from emf_manager.plans.links import Output, output_at, paths_of
from emf_manager.plans.outcome import StepResult, find_output, how_it_ended, result_of
from emf_manager.plans.recall import changed_steps, done_event, kept_plan, recalled, step_event
from emf_manager.plans.values import Plan, PlanStep
from emf_manager.records import Event, NewAudit
from emf_manager.store.interface import StoreError
from emf_manager.store.plan_rows import PlanStore
from emf_manager.views import JobView, NotFoundError

__all__ = ["Driver", "Jobs", "Orders", "StepOrder", "Surroundings"]

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
"""Looks at running jobs so often beside hearing of them: a full disk may have kept an event out."""
PAUSE_S = 5.0
"""After the store failed."""
MOST_REASON = 1000


@dataclass(frozen=True)
class StepOrder:
    """What a step asks for, with every path replaced by its value."""

    action: str
    nodes: str
    exclude: str | None
    args: JsonValue
    options: Mapping[str, JsonValue]


class Orders(Protocol):
    """How an order becomes a job, with all that is asked of one that somebody sends by hand."""

    async def place(self, order: StepOrder, *, requester: str, key: str) -> str:
        """Make the job, and return its id.

        Raises:
            EmfError: it is refused, by what the user may do or what the nodes have. StoreError.

        """
        ...


class Jobs(Protocol):
    """What a plan asks of the manager's jobs."""

    async def job(self, job_id: str) -> JobView:
        """Return a job with its targets; NotFoundError."""
        ...

    async def cancel_job(self, job_id: str, *, requester: str) -> JobView:
        """Ask for the end of a job; NotFoundError."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """All that a running plan touches."""

    store: PlanStore
    jobs: Jobs
    clock: Clock
    announce: Callable[[tuple[Event, ...]], None]


class Driver:
    """Drives one plan to its end."""

    def __init__(
        self,
        plan: Plan,
        record: PlanRecord,
        steps: Sequence[StepRecord],
        around: Surroundings,
    ) -> None:
        self.record = record
        self._plan = plan
        self._around = around
        self._kept = {(each.job, each.step): each for each in steps}
        clock = around.clock
        self._run = recalled(plan, record, steps, clock.now(), clock.wall())
        self._over = {each.job_id for each in steps if each.state == "running" and each.job_id}
        """Jobs that may have ended."""
        self._cancelled: set[p.StepKey] = set()
        self._results: dict[tuple[str, str | None], StepResult] = {}
        self._turn = anyio.Lock()
        self._wake = anyio.Event()

    def hear(self, job_id: str) -> None:
        """Take notice that a job has ended."""
        if any(each.job_id == job_id for each in self._run.steps.values()):
            self._over.add(job_id)
            self._wake.set()

    def look_again(self) -> None:
        """Look at every job that runs: some may have ended unheard."""
        self._over |= {
            each.job_id
            for each in self._run.steps.values()
            if each.state == "running" and each.job_id is not None
        }
        self._wake.set()

    async def halt(self, reason: str) -> None:
        """Have the plan end before its time; what has ended stays. StoreError."""
        await self._apply(p.Halt("cancelled", reason))

    async def drive(self, orders: Orders) -> None:
        """Work whenever there is something to do, until the plan has ended."""
        clock = self._around.clock
        look_at = clock.now() + LOOK_EVERY_S
        while self.record.state == "running":
            self._wake = anyio.Event()
            try:
                await self._apply(p.Tick())
                await self._work(orders)
            except StoreError as error:
                logger.error("plan stands still id=%s: %s", self.record.id, error)
                await clock.wait(anyio.Event(), clock.now() + PAUSE_S)
                continue
            if self.record.state == "running":
                due = p.due(self._run)
                await clock.wait(self._wake, look_at if due is None else min(due, look_at))
            if clock.now() >= look_at:
                look_at = clock.now() + LOOK_EVERY_S
                self.look_again()

    async def _work(self, orders: Orders) -> None:
        """Do what follows from how the plan stands, until nothing more does."""
        while True:
            steps = self._run.steps.items()
            starting = [key for key, s in steps if s.state == "running" and s.job_id is None]
            stopping = sorted(self._run.asked - self._cancelled)
            over = sorted(self._over)
            if not starting and not stopping and not over:
                return
            for key in starting:
                await self._apply(await self._begun(key, orders))
            for key in stopping:
                await self._cancel(key)
                self._cancelled.add(key)
            for job_id in over:
                await self._look_at(job_id)
                self._over.discard(job_id)

    async def _apply(self, event: p.Event) -> None:
        """Step the plan, write what changed, and only then keep it."""
        async with self._turn:
            now, wall = self._around.clock.now(), self._around.clock.wall()
            run, _ = p.step(self._run, event, now)
            changed = changed_steps(self._kept, run, wall)
            record = kept_plan(self.record, run, wall)
            if not changed and record == self.record:
                self._run = run
                return
            events = [step_event(s, wall) for s in changed if s.state != "running" or s.job_id]
            if record.state != "running":
                events.append(done_event(record, p.count_steps(run), wall))
            with anyio.CancelScope(shield=True):
                told = await self._around.store.save(
                    record, changed, events=events, audit=self._audit(event, wall)
                )
                self._run, self.record = run, record
                self._kept |= {(each.job, each.step): each for each in changed}
        self._around.announce(told)
        if isinstance(event, p.Begun):
            self._over.add(event.job_id)  # it may have ended before anybody listened for it
        self._wake.set()

    def _audit(self, event: p.Event, wall: float) -> tuple[NewAudit, ...]:
        if not isinstance(event, p.Begun):
            return ()
        job, step = event.key
        detail: dict[str, JsonValue] = {"plan": self.record.id, "job": job, "step": step}
        actor = f"user:{self.record.acting}"
        return (NewAudit(wall, actor, "plan.step", event.job_id, detail=detail),)

    async def _begun(self, key: p.StepKey, orders: Orders) -> p.Begun | p.Ended:
        """Make a step's job, or find the one that was made; say why where there is none."""
        known = self._kept[key]
        name = f"plan:{self.record.id}:{known.attempt}:{known.place}"
        made = await self._around.store.job_of(self.record.acting, name)
        if made is not None:
            return p.Begun(key, made)
        if self._run.halt is not None or key[0] in self._run.late:
            return p.Ended(key, "cancelled")
        step = next(each for each in self._plan.jobs[key[0]].steps if each.id == key[1])
        try:
            values = await self._values(key[0], step)
            if isinstance(step.when, x.Ref) and not truth(step.when, values):
                return p.Ended(key, "skipped", "its condition is false")
            order = order_of(step, values)
            job_id = await orders.place(order, requester=self.record.acting, key=name)
        except StoreError:
            raise
        except EmfError as error:
            return p.Ended(key, "failed", str(error)[:MOST_REASON])
        return p.Begun(key, job_id)

    async def _values(self, job: str, step: PlanStep) -> dict[x.Path, JsonValue]:
        """Return the value of every path in a step.

        Raises:
            MissingError: one leads nowhere.

        """
        values: dict[x.Path, JsonValue] = {}
        for _, path in paths_of(step):
            output = output_at(path, job)
            source = next(s for s in self._plan.jobs[output.job].steps if s.id == output.step)
            values[path] = find_output(await self._result(output), output.rest, source.outputs)
        return values

    async def _result(self, output: Output) -> StepResult:
        known = self._kept[output.job, output.step]
        cached = self._results.get((output.step, known.job_id))
        if cached is not None:
            return cached
        try:
            job = None if known.job_id is None else await self._around.jobs.job(known.job_id)
        except NotFoundError as error:
            raise x.MissingError(f"the results of step {known.step} are no longer kept") from error
        result = result_of(known.step, known.state, job)
        self._results[output.step, known.job_id] = result
        return result

    async def _cancel(self, key: p.StepKey) -> None:
        step = self._run.steps[key]
        if step.state == "running" and step.job_id is not None:
            try:
                await self._around.jobs.cancel_job(step.job_id, requester=self.record.acting)
            except NotFoundError:
                self._over.add(step.job_id)

    async def _look_at(self, job_id: str) -> None:
        """Note how a step ended, if its job has."""
        key = next(key for key, each in self._run.steps.items() if each.job_id == job_id)
        try:
            job = await self._around.jobs.job(job_id)
        except NotFoundError:
            await self._apply(p.Ended(key, "failed", "its job is no longer kept"))
            return
        if job.state == "done":
            await self._apply(p.Ended(key, *how_it_ended(job)))


def truth(when: x.Ref, values: Mapping[x.Path, JsonValue]) -> bool:
    value = values[when.path]
    if not isinstance(value, bool):
        raise x.MissingError(f"when: {x.path_text(when.path)} is neither true nor false")
    return value


def order_of(step: PlanStep, values: Mapping[x.Path, JsonValue]) -> StepOrder:
    """Return what a step asks for, each path replaced by its value.

    Raises:
        MissingError: nodes are no text and no list of texts, or the values come to too much.

    """
    look = x.Bounded(values.__getitem__)
    return StepOrder(
        action=step.action,
        nodes=node_set(x.fill(step.nodes, look), "nodes"),
        exclude=(None if step.exclude is None else node_set(x.fill(step.exclude, look), "exclude")),
        args=x.fill(step.args, look),
        options=step.options,
    )


def node_set(value: JsonValue, member: str) -> str:
    """Return a node set; a list of names is one too."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return ",".join(map(str, value))
    raise x.MissingError(f"{member}: expected a node set, or a list of names")
