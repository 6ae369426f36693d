"""Routes of plans: check a document, run it, see how far it is, cancel it, resume it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import JSONResponse

from emf_manager.api import plan_models as pm
from emf_manager.api import plan_translate as translate
from emf_manager.api.fleet import PageQuery, tagged
from emf_manager.api.jobs import Key
from emf_manager.api.paging import Page, decode_cursor, encode_cursor
from emf_manager.api.plan_check import check_plan
from emf_manager.api.problems import ProblemError
from emf_manager.api.service import Caller, Manager
from emf_manager.plan_book import PlanOrder
from emf_manager.plan_records import PlanRecord, PlanState
from emf_manager.plans.recall import plan_view, step_records
from emf_manager.plans.values import Plan
from emf_manager.plans.yaml_tree import Fault, FaultsError

__all__ = ["router"]

router = APIRouter(tags=["plans"])


class PlanQuery(PageQuery):
    user: Annotated[str, Field(max_length=255)] | None = None
    state: PlanState | None = None


@router.post("/plans/check", response_model=pm.PlanCheck)
async def check(manager: Manager, caller: Caller, body: pm.PlanRequest) -> Any:
    """Tell everything that is wrong with a document, against the fleet as it is now."""
    plan, faults = await check_plan(manager, caller, body.document, body.vars)
    if plan is None or faults:
        return pm.PlanCheck(valid=False, faults=tuple(map(translate.fault, faults)))
    view = plan_view(draft(plan), plan, step_records(plan, ""), {}, 0)
    catalogue = await manager.engine.catalogue()
    jobs = translate.jobs(view.jobs, catalogue)
    return pm.PlanCheck(valid=True, name=plan.name, jobs=jobs, graph=translate.graph(view.jobs))


@router.post("/plans", status_code=201, response_model=pm.Plan)
async def create_plan(
    manager: Manager, caller: Caller, body: pm.PlanRequest, idempotency_key: Key = None
) -> Any:
    """Run a plan, if nothing is wrong with it; answered once it is on disk."""
    plan, faults = await check_plan(manager, caller, body.document, body.vars)
    if plan is None or faults:
        raise refusal(faults)
    order = PlanOrder(plan, body.document, caller.user, idempotency_key)
    view = await manager.plans.create(order)
    answer = translate.plan(view, await manager.engine.catalogue())
    where = {"Location": f"/api/v1/plans/{view.id}"}
    return JSONResponse(answer.model_dump(mode="json"), status_code=201, headers=where)


@router.get("/plans", response_model=Page[pm.PlanSummary])
async def list_plans(manager: Manager, query: Annotated[PlanQuery, Query()]) -> Any:
    """List plans, the newest first."""
    before = None if query.cursor is None else str(decode_cursor(query.cursor, str)[0])
    found = await manager.plans.newest(
        limit=query.limit + 1, before=before, requester=query.user, state=query.state
    )
    cut = tuple(map(translate.plan_summary, found[: query.limit]))
    following = encode_cursor((cut[-1].id,)) if len(found) > query.limit else None
    return Page[pm.PlanSummary](items=cut, next=following)


@router.get("/plans/{plan_id}", response_model=pm.Plan)
async def show_plan(manager: Manager, plan_id: str, request: Request) -> Any:
    """Show one plan: its jobs, their steps, and where to draw them."""
    view = await manager.plans.read(plan_id)
    plan = translate.plan(view, await manager.engine.catalogue())
    return tagged(request, plan, plan.model_copy(update={"event": 0}))


@router.post("/plans/{plan_id}/cancel", response_model=pm.Plan, status_code=202)
async def cancel_plan(manager: Manager, caller: Caller, plan_id: str) -> Any:
    """Start nothing more of a plan, and ask what runs to stop."""
    given = await manager.plans.document(plan_id)
    if caller.mandates and caller.user not in {given.requester, given.acting}:
        why = f"no mandate of {caller.user} allows to cancel a plan of {given.acting}"
        raise ProblemError(403, "forbidden", why)
    view = await manager.plans.cancel(plan_id, requester=caller.user)
    return translate.plan(view, await manager.engine.catalogue())


@router.post("/plans/{plan_id}/resume", response_model=pm.Plan, status_code=202)
async def resume_plan(manager: Manager, caller: Caller, plan_id: str) -> Any:
    """Run again what did not succeed, as the caller's own orders; what succeeded stays."""
    given = await manager.plans.document(plan_id)
    plan, faults = await check_plan(manager, caller, given.text, given.vars)
    if plan is None or faults:
        raise refusal(faults)
    view = await manager.plans.resume(plan_id, requester=caller.user)
    return translate.plan(view, await manager.engine.catalogue())


def draft(plan: Plan) -> PlanRecord:
    """Return the record of a plan that is only looked at."""
    return PlanRecord("", plan.name, "", "", 0.0, 0.0, "", "", (), plan.timeout_s)


def refusal(faults: Sequence[Fault]) -> ProblemError:
    """Return the problem for a document that cannot run."""
    kinds = {fault.kind for fault in faults}
    detail = str(FaultsError(list(faults)))
    if kinds == {"forbidden"}:
        return ProblemError(403, "forbidden", detail)
    if kinds == {"no-node-matched"}:
        return ProblemError(404, "no-node-matched", detail)
    return ProblemError(422, "invalid", detail)
