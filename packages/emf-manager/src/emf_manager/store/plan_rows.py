"""Plans and their steps in the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, func, select, update

from emf_manager.plan_records import PlanRecord, PlanState, PlanStepState, StepRecord
from emf_manager.records import Event, NewAudit, NewEvent
from emf_manager.store import schema as t
from emf_manager.store.interface import KeyReusedError, StoreError
from emf_manager.store.rows import insert_new, read, row_of, upsert
from emf_manager.store.trails import append_audit, append_events

__all__ = ["PlanCreated", "PlanRows", "PlanStore"]

T = TypeVar("T")
PlanAndSteps = tuple[PlanRecord, tuple[StepRecord, ...]]


@dataclass(frozen=True)
class PlanCreated:
    """A plan that is on disk; ``created`` is False where the key named an earlier one."""

    plan: PlanRecord
    created: bool
    events: tuple[Event, ...] = ()


class PlanStore(Protocol):
    """What the store keeps of plans. Every method raises ``StoreError`` as the store's own do."""

    async def create(
        self,
        plan: PlanRecord,
        steps: Sequence[StepRecord],
        *,
        events: Sequence[NewEvent],
        audit: NewAudit,
    ) -> PlanCreated:
        """Store a plan; the requester's same ``idempotency_key`` again gives the same plan.

        Raises:
            KeyReusedError: the key names a plan of another document or other variables.

        """
        ...

    async def save(
        self,
        plan: PlanRecord,
        steps: Sequence[StepRecord],
        *,
        events: Sequence[NewEvent],
        audit: Sequence[NewAudit] = (),
    ) -> tuple[Event, ...]:
        """Write how far a plan and these steps of it are, and tell of it, at once."""
        ...

    async def find(self, plan_id: str) -> PlanAndSteps | None:
        """Return a plan with its steps, in their order."""
        ...

    async def running(self) -> tuple[PlanAndSteps, ...]:
        """Return the plans that have not ended, oldest first."""
        ...

    async def listed(
        self,
        *,
        limit: int,
        before: str | None = None,
        requester: str | None = None,
        state: PlanState | None = None,
    ) -> tuple[PlanRecord, ...]:
        """Return plans, newest first, those with an id below ``before``."""
        ...

    async def tallies(self, plan_ids: Collection[str]) -> Mapping[str, Mapping[PlanStepState, int]]:
        """Count the steps of these plans by state."""
        ...

    async def job_of(self, requester: str, key: str) -> str | None:
        """Return the job that a requester's key names."""
        ...


class PlanRows:
    """A ``PlanStore`` over SQL."""

    def __init__(
        self,
        read_with: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
        write_with: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
    ) -> None:
        self._read = read_with
        self._write = write_with

    async def create(
        self,
        plan: PlanRecord,
        steps: Sequence[StepRecord],
        *,
        events: Sequence[NewEvent],
        audit: NewAudit,
    ) -> PlanCreated:
        def insert(connection: Connection) -> PlanCreated:
            if not insert_new(connection, t.plans, row_of(plan)):
                return PlanCreated(earlier(connection, plan), created=False)
            connection.execute(t.plan_steps.insert(), [row_of(each) for each in steps])
            append_audit(connection, (audit,))
            return PlanCreated(plan, created=True, events=append_events(connection, events))

        created: PlanCreated = await self._write(insert)
        return created

    async def save(
        self,
        plan: PlanRecord,
        steps: Sequence[StepRecord],
        *,
        events: Sequence[NewEvent],
        audit: Sequence[NewAudit] = (),
    ) -> tuple[Event, ...]:
        def write(connection: Connection) -> tuple[Event, ...]:
            row = row_of(plan)
            connection.execute(update(t.plans).where(t.plans.c.id == plan.id).values(row))
            upsert(connection, t.plan_steps, [row_of(each) for each in steps])
            append_audit(connection, audit)
            return append_events(connection, events)

        told: tuple[Event, ...] = await self._write(write)
        return told

    async def find(self, plan_id: str) -> PlanAndSteps | None:
        def found(connection: Connection) -> PlanAndSteps | None:
            wanted = select(t.plans).where(t.plans.c.id == plan_id)
            row = connection.execute(wanted).mappings().first()
            return None if row is None else with_steps(connection, read(PlanRecord, row))

        plan: PlanAndSteps | None = await self._read(found)
        return plan

    async def running(self) -> tuple[PlanAndSteps, ...]:
        wanted = select(t.plans).where(t.plans.c.state == "running").order_by(t.plans.c.id)

        def found(connection: Connection) -> tuple[PlanAndSteps, ...]:
            rows = connection.execute(wanted).mappings().all()
            return tuple(with_steps(connection, read(PlanRecord, row)) for row in rows)

        plans: tuple[PlanAndSteps, ...] = await self._read(found)
        return plans

    async def listed(
        self,
        *,
        limit: int,
        before: str | None = None,
        requester: str | None = None,
        state: PlanState | None = None,
    ) -> tuple[PlanRecord, ...]:
        wanted = select(t.plans).order_by(t.plans.c.id.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(t.plans.c.id < before)
        if requester is not None:
            wanted = wanted.where(t.plans.c.requester == requester)
        if state is not None:
            wanted = wanted.where(t.plans.c.state == state)
        plans: tuple[PlanRecord, ...] = await self._read(
            lambda c: tuple(read(PlanRecord, row) for row in c.execute(wanted).mappings())
        )
        return plans

    async def tallies(self, plan_ids: Collection[str]) -> Mapping[str, Mapping[PlanStepState, int]]:
        group = (t.plan_steps.c.plan_id, t.plan_steps.c.state)

        def count(connection: Connection) -> dict[str, dict[PlanStepState, int]]:
            counted: dict[str, dict[PlanStepState, int]] = {each: {} for each in plan_ids}
            wanted = select(*group, func.count()).where(group[0].in_(plan_ids)).group_by(*group)
            for plan_id, state, number in connection.execute(wanted):
                counted[plan_id][state] = number
            return counted

        tallies: Mapping[str, Mapping[PlanStepState, int]] = await self._read(count)
        return tallies

    async def job_of(self, requester: str, key: str) -> str | None:
        wanted = select(t.jobs.c.id).where(
            t.jobs.c.requester == requester, t.jobs.c.idempotency_key == key
        )
        job_id: str | None = await self._read(lambda c: c.execute(wanted).scalar_one_or_none())
        return job_id


def with_steps(connection: Connection, plan: PlanRecord) -> PlanAndSteps:
    mine = t.plan_steps.c.plan_id == plan.id
    wanted = select(t.plan_steps).where(mine).order_by(t.plan_steps.c.place)
    steps = connection.execute(wanted).mappings()
    return plan, tuple(read(StepRecord, row) for row in steps)


def earlier(connection: Connection, plan: PlanRecord) -> PlanRecord:
    """Return the plan that a key names already."""
    wanted = select(t.plans).where(
        t.plans.c.requester == plan.requester, t.plans.c.idempotency_key == plan.idempotency_key
    )
    row = connection.execute(wanted).mappings().first()
    if row is None or plan.idempotency_key is None:
        raise StoreError(f"there is a plan {plan.id} already")
    first = read(PlanRecord, row)
    if first.digest != plan.digest:
        raise KeyReusedError(plan.idempotency_key, first.id, "plan")
    return first
