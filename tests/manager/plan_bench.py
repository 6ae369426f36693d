"""A book of plans over a real store and a fleet in memory, which can be killed at any point."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import anyio

from emf_agent.errors import RefusedError
from emf_agent.wire import OutcomeKind
from emf_manager.bus import Bus, Subscription
from emf_manager.plan_book import Manager, PlanBook, PlanOrder
from emf_manager.plan_driver import StepOrder
from emf_manager.plans.views import PlanView
from emf_manager.records import Event
from emf_manager.safe import Safe
from emf_manager.store.plan_rows import PlanStore
from emf_manager.store.sql import SqlStore, open_store
from emf_manager.views import Counts, EventView, JobView, NotFoundError, TargetView
from tests.manager.engine_bench import WITHIN_S, FakeClock

OPTIONS = ("timeout_s", "batch", "facts")


class KilledError(Exception):
    """The manager's process is gone."""


@dataclass
class Seats:
    """Where events are announced."""

    told: list[Event] = field(default_factory=list)
    last_event: int = 0

    def announce(self, events: tuple[Event, ...]) -> None:
        self.told.extend(events)


class Fleet:
    """Jobs, by the action that they are: each ends as the script says, or when it is told to."""

    def __init__(self) -> None:
        self.seats = Seats()
        self.script: dict[str, OutcomeKind | None] = {}
        self.values: dict[str, Any] = {}
        self.refused: dict[str, str] = {}
        self.jobs: dict[str, JobView] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.orders: list[tuple[str, StepOrder]] = []
        self.cancelled: list[str] = []
        self.bus: Bus[EventView] = Bus()

    async def place(self, order: StepOrder, *, requester: str, key: str) -> str:
        if order.action in self.refused:
            raise RefusedError(self.refused[order.action])
        if (requester, key) in self.keys:
            return self.keys[requester, key]
        job_id = f"job{len(self.jobs) + 1}"
        self.keys[requester, key] = job_id
        self.orders.append((job_id, order))
        nodes = order.nodes.split(",")
        targets = tuple(target(node) for node in nodes)
        self.jobs[job_id] = JobView(
            job_id,
            order.action,
            order.args,
            requester,
            0.0,
            None,
            0.0,
            dry_run=False,
            state="running",
            counts=Counts(len(nodes), queued=len(nodes)),
            targets=targets,
        )
        outcome = self.script.get(order.action, "ok")
        if outcome is not None:
            self.end(job_id, outcome)
        return job_id

    async def job(self, job_id: str) -> JobView:
        if job_id not in self.jobs:
            raise NotFoundError("job", job_id)
        return self.jobs[job_id]

    async def cancel_job(self, job_id: str, *, requester: str) -> JobView:
        self.cancelled.append(job_id)
        if self.jobs[job_id].state == "running":
            self.end(job_id, "cancelled")
        return self.jobs[job_id]

    def subscribe(
        self, *, after: int, wanted: Callable[[EventView], bool]
    ) -> AbstractContextManager[Subscription[EventView]]:
        return self.bus.subscribe(after=after, wanted=wanted)

    # What the test does

    def end(self, job_id: str, outcome: OutcomeKind) -> None:
        """End a job, and tell of it."""
        job = self.jobs[job_id]
        value = self.values.get(job.action)
        result: Any = {"Ok": value} if outcome == "ok" else {"Err": "it broke"}
        targets = tuple(
            replace(each, state="final", outcome=outcome, result=result) for each in job.targets
        )
        self.jobs[job_id] = replace(job, state="done", targets=targets)
        self.bus.publish(EventView(1, 0.0, "job.done", None, {"job": job_id}))

    def actions(self) -> list[str]:
        """Return the actions in the order of their jobs."""
        return [order.action for _, order in self.orders]


def target(node: str) -> TargetView:
    return TargetView(
        node=node,
        action_id="a",
        state="queued",
        silent=False,
        cancel=None,
        outcome=None,
        result=None,
        reason=None,
        seconds=None,
        truncated=False,
        fraction=None,
        message=None,
    )


class KillableStore:
    """The real store of plans, before and after each of whose calls the process can be killed."""

    def __init__(self, real: PlanStore, fleet: Fleet) -> None:
        self.real = real
        self.fleet = fleet
        self.kill_at: int | None = None
        self.points = 0
        self.full: Exception | None = None

    def point(self) -> None:
        self.points += 1
        if self.points == self.kill_at:
            raise KilledError

    async def job_of(self, requester: str, key: str) -> str | None:
        self.point()
        return self.fleet.keys.get((requester, key))

    async def save(self, *what: Any, **more: Any) -> tuple[Event, ...]:
        if self.full is not None:
            raise self.full
        self.point()
        told = await self.real.save(*what, **more)
        self.point()
        return told

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Bench:
    """A manager's plans; ``running`` is one life of its process."""

    def __init__(self, store: SqlStore) -> None:
        self.sql = store
        self.fleet = Fleet()
        self.store = KillableStore(store.plans, self.fleet)
        self.clock = FakeClock()
        self.safe = Safe()
        self.book: PlanBook

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[PlanBook, None]:
        self.book = PlanBook(
            cast(PlanStore, self.store),
            self.sql,
            cast(Manager, self.fleet),
            options=OPTIONS,
            safe=self.safe,
            clock=self.clock,
        )
        self.book.connect(self.fleet)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.book.run)
            yield self.book
            tasks.cancel_scope.cancel()

    async def start(self, document: str, **given: Any) -> PlanView:
        plan = self.book.read_document(document, given)
        return await self.book.create(PlanOrder(plan, document, "maria"))

    async def until(self, plan_id: str, *states: str) -> PlanView:
        """Return the plan once it is in one of these states."""
        with anyio.fail_after(WITHIN_S):
            while True:
                view = await self.book.read(plan_id)
                if view.state in states:
                    return view
                await anyio.sleep(0.001)

    async def until_jobs(self, count: int) -> None:
        """Return once so many jobs were made."""
        with anyio.fail_after(WITHIN_S):
            while len(self.fleet.jobs) < count:
                await anyio.sleep(0.001)

    async def kinds(self) -> list[str]:
        """Return the kinds of the events that are kept."""
        return [event.kind for event in await self.sql.events()]


@asynccontextmanager
async def plan_bench(url: str = "sqlite://") -> AsyncGenerator[Bench, None]:
    async with open_store(url) as store:
        yield Bench(store)


def steps_of(view: PlanView) -> Mapping[str, str]:
    """Return the state of each step by ``job.step``."""
    return {f"{job.name}.{step.id}": step.state for job in view.jobs for step in job.steps}
