"""Plans as the operators' side orders, reads, cancels and resumes them; the running ones driven."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup
from pydantic import JsonValue

from emf_agent.errors import RefusedError
from emf_manager.bus import Subscription, TooSlowError
from emf_manager.clock import Clock, SystemClock
from emf_manager.job_book import new_job_id
from emf_manager.plan_driver import PAUSE_S, Driver, Jobs, Orders, Surroundings
from emf_manager.plan_records import PlanRecord, PlanState, PlanStepState, StepRecord
from emf_manager.plans import planner as p
from emf_manager.plans.document import read_plan
from emf_manager.plans.recall import (
    changed_steps,
    done_event,
    plan_view,
    recalled,
    step_event,
    step_records,
    summary,
)
from emf_manager.plans.values import Plan
from emf_manager.plans.views import PlanCounts, PlanView
from emf_manager.plans.yaml_tree import FaultsError
from emf_manager.portraits import count_tally
from emf_manager.records import NewAudit, NewEvent
from emf_manager.safe import Safe, SealError
from emf_manager.seats import Seats
from emf_manager.store.interface import KeyReusedError, TargetTally
from emf_manager.store.plan_rows import PlanStore
from emf_manager.views import ConflictError, EventView, NotFoundError

__all__ = ["PlanBook", "PlanDocument", "PlanOrder"]

logger = logging.getLogger(__name__)

MOST_RUNNING = 100
READ_PLANS = 64
"""Documents that are kept as read."""


@dataclass(frozen=True)
class PlanDocument:
    """What was given to be run, and by whom."""

    text: str
    vars: Mapping[str, JsonValue]
    requester: str
    acting: str


@dataclass(frozen=True)
class PlanOrder:
    """A plan that was checked and is to run."""

    plan: Plan
    document: str
    requester: str
    idempotency_key: str | None = None


class Manager(Jobs, Protocol):
    """What the book asks of the engine."""

    @property
    def seats(self) -> Seats:
        """Every node's seat; events are announced there."""
        ...

    def subscribe(
        self, *, after: int, wanted: Callable[[EventView], bool]
    ) -> AbstractContextManager[Subscription[EventView]]:
        """Hand out events from now on."""
        ...


class Tallies(Protocol):
    """What the book reads of the store beside plans."""

    async def tallies(self, job_ids: Collection[str]) -> Mapping[str, TargetTally]:
        """Count the targets of these jobs by state and outcome."""
        ...


class PlanBook:
    """Every plan there is; the running ones have a driver each, while ``run`` runs."""

    def __init__(
        self,
        store: PlanStore,
        tallies: Tallies,
        manager: Manager,
        *,
        options: Collection[str],
        safe: Safe,
        clock: Clock | None = None,
    ) -> None:
        self._safe = safe
        self._store = store
        self._tallies = tallies
        self._manager = manager
        self._options = options
        self._clock = clock or SystemClock()
        self._around = Surroundings(store, manager, self._clock, manager.seats.announce)
        self._orders: Orders | None = None
        self._drivers: dict[str, Driver] = {}
        self._to_drive: list[Driver] = []
        self._more = anyio.Event()
        self._read: OrderedDict[str, Plan] = OrderedDict()

    def read_document(self, text: str, given: Mapping[str, JsonValue]) -> Plan:
        """Return the plan in a text; FaultsError."""
        return read_plan(text, options=self._options, given=given)

    # What others ask

    async def create(self, order: PlanOrder) -> PlanView:
        """Store a plan and run it: once this returns it survives a restart.

        Raises:
            ConflictError: the idempotency key. RefusedError: too many plans run.

        """
        if len(self._drivers) >= MOST_RUNNING:
            raise RefusedError(f"{MOST_RUNNING} plans are running; wait for one or cancel one")
        wall = self._clock.wall()
        plan_id = new_job_id(wall)
        written: JsonValue = {"document": order.document, "vars": dict(order.plan.vars)}
        record = PlanRecord(
            id=plan_id,
            name=order.plan.name,
            requester=order.requester,
            acting=order.requester,
            created=wall,
            started=wall,
            sealed=self._safe.seal(written, about=plan_id),
            digest=self._safe.digest(written),
            vars=sorted(order.plan.vars),
            timeout_s=order.plan.timeout_s,
            idempotency_key=order.idempotency_key,
        )
        steps = step_records(order.plan, record.id)
        body: dict[str, JsonValue] = {
            "plan": record.id,
            "name": record.name,
            "requester": record.requester,
            "steps": len(steps),
        }
        with anyio.CancelScope(shield=True):
            try:
                created = await self._store.create(
                    record,
                    steps,
                    events=[NewEvent(wall, "plan.created", None, body)],
                    audit=audit(record, "plan.create", wall),
                )
            except KeyReusedError as error:
                raise ConflictError(str(error)) from error
            self._manager.seats.announce(created.events)
            if created.created:
                self._drive(Driver(order.plan, record, steps, self._around))
        return await self.read(created.plan.id)

    async def read(self, plan_id: str) -> PlanView:
        """Return a plan with its jobs; NotFoundError."""
        event = self._manager.seats.last_event
        record, steps = await self._find(plan_id)
        jobs = {each.job_id for each in steps if each.job_id is not None}
        tallies = await self._tallies.tallies(jobs)
        counts = {job: count_tally(tally) for job, tally in tallies.items() if tally}
        return plan_view(record, self._document(record), steps, counts, event)

    async def newest(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        requester: str | None = None,
        state: PlanState | None = None,
    ) -> tuple[PlanView, ...]:
        """Return plans without jobs, newest first, those with an id below ``before``."""
        found = await self._store.listed(
            limit=limit, before=before, requester=requester, state=state
        )
        tallies = await self._store.tallies([record.id for record in found])
        return tuple(summary(record, counted(tallies[record.id])) for record in found)

    async def document(self, plan_id: str) -> PlanDocument:
        """Return what was given to be run; NotFoundError, SealError."""
        record, _ = await self._find(plan_id)
        return self._opened(record)

    async def cancel(self, plan_id: str, *, requester: str) -> PlanView:
        """Ask for the end of a plan; what has ended stays. NotFoundError."""
        record, steps = await self._find(plan_id)
        driver = self._drivers.get(plan_id)
        if driver is None and record.state == "running":
            # Not taken up yet, or left alone; it may also have ended during that look.
            record, steps = await self._find(plan_id)
            driver = self._drivers.get(plan_id)
            if driver is None and record.state == "running":
                driver = Driver(self._document(record), record, steps, self._around)
                self._drive(driver)
        if driver is not None:
            await driver.halt(f"{requester} cancelled it")
        return await self.read(plan_id)

    async def resume(self, plan_id: str, *, requester: str) -> PlanView:
        """Run again what did not succeed, under new jobs.

        Raises:
            NotFoundError: there is none. ConflictError: it runs, or has succeeded.

        """
        record, steps = await self._find(plan_id)
        if plan_id in self._drivers:
            raise ConflictError("the plan is running; it can be resumed once it has ended")
        if len(self._drivers) >= MOST_RUNNING:
            raise RefusedError(f"{MOST_RUNNING} plans are running; wait for one or cancel one")
        plan, wall = self._document(record), self._clock.wall()
        try:
            run = p.resume(recalled(plan, record, steps, 0.0, wall), 0.0)
        except ValueError as error:
            raise ConflictError(f"the plan cannot be resumed: {error}") from error
        again = replace(
            record,
            acting=requester,
            attempt=run.attempt,
            started=wall,
            state="running",
            ended=None,
            halt=None,
            reason=None,
        )
        changed = changed_steps({(each.job, each.step): each for each in steps}, run, wall)
        kept = {each.place: each for each in (*steps, *changed)}
        driver = Driver(plan, again, list(kept.values()), self._around)
        self._drivers[plan_id] = driver
        saved = False
        body: dict[str, JsonValue] = {"plan": plan_id, "attempt": run.attempt, "by": requester}
        try:
            with anyio.CancelScope(shield=True):
                told = await self._store.save(
                    again,
                    changed,
                    events=[NewEvent(wall, "plan.resumed", None, body)],
                    audit=[audit(again, "plan.resume", wall)],
                )
                saved = True
        finally:
            if not saved:
                del self._drivers[plan_id]
        self._manager.seats.announce(told)
        self._drive(driver)
        return await self.read(plan_id)

    # The running ones

    def connect(self, orders: Orders) -> None:
        """Say how steps become jobs; before ``run``."""
        self._orders = orders

    async def run(self) -> None:
        """Take up the plans that run, and drive each to its end; ends when cancelled."""
        orders = self._orders
        assert orders is not None
        for record, steps in await self._store.running():
            await self._take_up(record, steps)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            while True:
                self._more = anyio.Event()
                ready, self._to_drive = self._to_drive, []
                for driver in ready:
                    self._start(tasks, driver, orders)
                await self._more.wait()

    def _start(self, tasks: TaskGroup, driver: Driver, orders: Orders) -> None:
        async def to_the_end() -> None:
            try:
                await driver.drive(orders)
            except Exception:
                logger.exception("plan left alone until a restart id=%s", driver.record.id)
            finally:
                self._drivers.pop(driver.record.id, None)

        tasks.start_soon(to_the_end)

    def _drive(self, driver: Driver) -> None:
        """Have a plan driven, unless it is: one may be made while those of before are taken up."""
        if self._drivers.setdefault(driver.record.id, driver) is driver:
            self._to_drive.append(driver)
            self._more.set()

    async def _take_up(self, record: PlanRecord, steps: Sequence[StepRecord]) -> None:
        try:
            self._drive(Driver(self._document(record), record, steps, self._around))
        except (FaultsError, SealError) as error:
            logger.error("plan ended id=%s, its document is not read here: %s", record.id, error)
            await self._give_up(record, steps)

    async def _give_up(self, record: PlanRecord, steps: Sequence[StepRecord]) -> None:
        """End a plan whose document cannot be read any more: sealed, or of another version."""
        wall = self._clock.wall()
        why = "this manager cannot read its document any more"
        ended = [
            replace(each, state="cancelled", reason=why, ended=wall)
            for each in steps
            if each.state in {"pending", "running"}
        ]
        failed = replace(record, state="failed", reason=why, ended=wall)
        kept = {each.place: each for each in (*steps, *ended)}.values()
        counts = counted(Counter(each.state for each in kept))
        events = [*(step_event(each, wall) for each in ended), done_event(failed, counts, wall)]
        self._manager.seats.announce(await self._store.save(failed, ended, events=events))

    async def _listen(self) -> None:
        """Hear which jobs end, until the manager shuts down."""
        while True:
            try:
                with self._manager.subscribe(after=0, wanted=is_end_of_job) as events:
                    for driver in self._drivers.values():
                        driver.look_again()
                    async for event in events:
                        for driver in self._drivers.values():
                            driver.hear(str(event.body.get("job")))
            except TooSlowError:
                continue
            except RefusedError as error:  # others took its place; drivers look by themselves too
                logger.warning("plans hear of no ends for a while: %s", error)
                await self._clock.wait(anyio.Event(), self._clock.now() + PAUSE_S)
                continue
            return

    # Inside

    async def _find(self, plan_id: str) -> tuple[PlanRecord, tuple[StepRecord, ...]]:
        found = await self._store.find(plan_id)
        if found is None:
            raise NotFoundError("plan", plan_id)
        return found

    def _opened(self, record: PlanRecord) -> PlanDocument:
        opened: Any = self._safe.open(record.sealed, about=record.id)
        return PlanDocument(opened["document"], opened["vars"], record.requester, record.acting)

    def _document(self, record: PlanRecord) -> Plan:
        plan = self._read.get(record.id)
        if plan is None:
            given = self._opened(record)
            plan = self.read_document(given.text, given.vars)
            self._read[record.id] = plan
            if len(self._read) > READ_PLANS:
                self._read.popitem(last=False)
        return plan


def counted(steps: Mapping[PlanStepState, int]) -> PlanCounts:
    """Return how many steps are in each state."""
    by_name: dict[str, int] = dict(steps.items())
    return PlanCounts(sum(by_name.values()), **by_name)


def is_end_of_job(event: EventView) -> bool:
    return event.kind == "job.done"


def audit(record: PlanRecord, what: str, wall: float) -> NewAudit:
    return NewAudit(
        at=wall,
        actor=f"user:{record.acting}",
        what=what,
        subject=record.id,
        detail={"name": record.name, "attempt": record.attempt},
    )
