"""Plans in memory: documents are really read, and nothing runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from emf_manager import views as v
from emf_manager.api.plan_check import STEP_OPTIONS
from emf_manager.plan_book import PlanDocument, PlanOrder
from emf_manager.plan_records import PlanRecord, PlanState, StepRecord
from emf_manager.plans.document import read_plan
from emf_manager.plans.recall import plan_view, step_records
from emf_manager.plans.values import Plan
from emf_manager.plans.views import PlanView

NOW = 1_770_000_000.0


class FakePlans:
    """A plan starts as pending and stays so, until a test says how a step ended."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[PlanRecord, Plan, tuple[StepRecord, ...]]] = {}
        self.orders: list[PlanOrder] = []

    def read_document(self, text: str, given: Mapping[str, Any]) -> Plan:
        return read_plan(text, options=STEP_OPTIONS, given=given)

    async def create(self, order: PlanOrder) -> PlanView:
        for plan_id, (record, _, _) in self.kept.items():
            if order.idempotency_key and record.idempotency_key == order.idempotency_key:
                if record.sealed != order.document:
                    raise v.ConflictError("the key names another plan")
                return await self.read(plan_id)
        self.orders.append(order)
        plan_id = f"plan-{len(self.kept) + 1:04d}"
        record = PlanRecord(
            plan_id,
            order.plan.name,
            order.requester,
            order.requester,
            NOW,
            NOW,
            order.document,
            "",
            sorted(order.plan.vars),
            order.plan.timeout_s,
            idempotency_key=order.idempotency_key,
        )
        self.kept[plan_id] = record, order.plan, step_records(order.plan, plan_id)
        return await self.read(plan_id)

    async def read(self, plan_id: str) -> PlanView:
        record, plan, steps = self.found(plan_id)
        return plan_view(record, plan, steps, {}, 0)

    async def newest(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        requester: str | None = None,
        state: PlanState | None = None,
    ) -> tuple[PlanView, ...]:
        wanted = [
            plan_id
            for plan_id, (record, _, _) in sorted(self.kept.items(), reverse=True)
            if (before is None or plan_id < before)
            and requester in (None, record.requester)
            and state in (None, record.state)
        ]
        return tuple([replace(await self.read(each), jobs=()) for each in wanted[:limit]])

    async def document(self, plan_id: str) -> PlanDocument:
        record, plan, _ = self.found(plan_id)
        return PlanDocument(record.sealed, plan.vars, record.requester, record.acting)

    async def cancel(self, plan_id: str, *, requester: str) -> PlanView:
        reason = f"{requester} cancelled it"
        for place, each in enumerate(self.found(plan_id)[2]):
            if each.state in {"pending", "running"}:
                self.put(plan_id, place, "cancelled", reason)
        self.end(plan_id, "cancelled", reason)
        return await self.read(plan_id)

    async def resume(self, plan_id: str, *, requester: str) -> PlanView:
        record, plan, steps = self.found(plan_id)
        if record.state in {"running", "succeeded"}:
            raise v.ConflictError(f"the plan cannot be resumed: it is {record.state}")
        attempt = record.attempt + 1
        again = replace(record, state="running", ended=None, attempt=attempt, reason=None)
        reset = tuple(
            each
            if each.state == "succeeded"
            else StepRecord(plan_id, each.place, each.job, each.step, attempt=attempt)
            for each in steps
        )
        self.kept[plan_id] = again, plan, reset
        return await self.read(plan_id)

    # What the test does

    def found(self, plan_id: str) -> tuple[PlanRecord, Plan, tuple[StepRecord, ...]]:
        if plan_id not in self.kept:
            raise v.NotFoundError("plan", plan_id)
        return self.kept[plan_id]

    def put(self, plan_id: str, place: int, state: Any, reason: str | None = None) -> None:
        """Say how a step is."""
        record, plan, steps = self.found(plan_id)
        changed = replace(steps[place], state=state, reason=reason, job_id=f"job-{place}")
        self.kept[plan_id] = record, plan, (*steps[:place], changed, *steps[place + 1 :])

    def end(self, plan_id: str, state: PlanState, reason: str | None = None) -> None:
        """Say how the plan ended."""
        record, plan, steps = self.found(plan_id)
        self.kept[plan_id] = replace(record, state=state, ended=NOW, reason=reason), plan, steps
