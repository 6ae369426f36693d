"""The pages of plans: all of them, one as a graph with steps, a document to check or run."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from starlette.responses import Response

from emf_manager.api import plan_models as pm
from emf_manager.api.paging import Page as ListPage
from emf_manager.api.problems import ProblemError
from emf_manager.web.answers import get
from emf_manager.web.pages import UI, Page, Visit

__all__ = ["PAGES", "TONES", "path_of"]

TONES: Mapping[str, str] = {
    "succeeded": "ok", "failed": "bad", "timed_out": "bad", "running": "busy",
    "cancelled": "warn", "skipped": "warn", "pending": "idle",
}  # fmt: skip
RESUMABLE = frozenset({"failed", "cancelled", "timed_out"})
DOCUMENT = """\
version: 1
name: restart lnet
jobs:
  servers:
    nodes: "@oss"
    steps:
      - action: restart_unit
        args: {unit: lnet.service}
        timeout: 1m
"""


async def show_all(visit: Visit) -> Response:
    """List plans, the newest first."""
    cursor = visit.request.query_params.get("cursor")
    state = visit.request.query_params.get("state", "")[:32]
    found = await get(
        visit, ListPage[pm.PlanSummary], "/plans", limit=50, cursor=cursor, state=state or None
    )
    return visit.page(
        "plans.html", plans=found.items, following=found.next, cursor=cursor, state=state,
        tones=TONES,
    )  # fmt: skip


async def show(visit: Visit) -> Response:
    """Show one plan."""
    plan = await get(visit, pm.Plan, f"/plans/{visit.request.path_params['plan_id']}")
    return visit.page(
        "plan.html", plan=plan, graph=plan.graph, jobs={job.name: job for job in plan.jobs},
        path_of=path_of, tones=TONES, resumable=plan.state in RESUMABLE,
    )  # fmt: skip


def path_of(edge: pm.PlanEdge) -> str:
    """Return a line of the graph as an SVG path, bent where it changes its height."""
    (x, y), *rest = edge.points
    steps = [f"M{x:g} {y:g}"]
    for to_x, to_y in rest:
        middle = (x + to_x) / 2
        bend = f"C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"
        steps.append(f"L{to_x:g} {to_y:g}" if to_y == y else bend)
        x, y = to_x, to_y
    return " ".join(steps)


async def fresh(visit: Visit) -> Response:
    """Show a form for a document."""
    return form(visit)


def form(
    visit: Visit,
    *,
    checked: pm.PlanCheck | None = None,
    problem: ProblemError | None = None,
    status: int = 200,
) -> Response:
    """Return the form, with what the check of its document came to."""
    graph = checked.graph if checked else None
    return visit.page(
        "plan_form.html",
        status=status,
        document=visit.form.get("document", DOCUMENT),
        checked=checked,
        problem=problem,
        graph=graph,
        jobs={job.name: job for job in checked.jobs} if checked else {},
        path_of=path_of,
        tones=TONES,
        key=visit.form.get("key") or uuid.uuid4().hex,
    )


async def order(visit: Visit) -> Response:
    """Check a document, and run it where that is asked for and nothing is wrong with it."""
    body = {"document": visit.value("document").replace("\r\n", "\n")}
    try:
        answer = await visit.call("POST", "/plans/check", body)
        checked = pm.PlanCheck.model_validate(answer.body)
        if visit.form.get("do") != "run" or not checked.valid:
            return form(visit, checked=checked, status=200 if checked.valid else 422)
        plan = await visit.call("POST", "/plans", body, key=visit.form.get("key"))
    except ProblemError as problem:
        return form(visit, problem=problem, status=problem.status)
    return visit.go(f"{UI}/plans/{plan.body['id']}")


async def cancel(visit: Visit) -> Response:
    """Start nothing more of a plan."""
    return await told(visit, "cancel")


async def resume(visit: Visit) -> Response:
    """Run again what did not succeed."""
    return await told(visit, "resume")


async def told(visit: Visit, what: str) -> Response:
    plan_id = visit.request.path_params["plan_id"]
    await visit.call("POST", f"/plans/{plan_id}/{what}")
    return visit.go(f"{UI}/plans/{plan_id}")


PAGES = (
    Page("/plans", "read", show_all, nav="Plans"),
    Page("/plans/new", "operate", fresh),
    Page("/plans/new", "operate", order, methods=("POST",)),
    Page("/plans/{plan_id}", "read", show),
    Page("/plans/{plan_id}/cancel", "operate", cancel, methods=("POST",)),
    Page("/plans/{plan_id}/resume", "operate", resume, methods=("POST",)),
)
