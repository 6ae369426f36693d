"""The pages of actions: the catalogue with its search, and for each a form that orders a job."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from emf_manager.api import models as m
from emf_manager.api import rollout_models as rm
from emf_manager.api.paging import MAX_PAGE
from emf_manager.api.paging import Page as ListPage
from emf_manager.api.problems import ProblemError
from emf_manager.nodesets import fold_nodes
from emf_manager.web import orders
from emf_manager.web.answers import get
from emf_manager.web.pages import UI, Page, Visit
from emf_manager.web.schema_forms.filled import ABSENT

__all__ = ["PAGES", "Preview"]

WHERE = frozenset(rm.TargetsRequest.model_fields) - {"action", "show_facts"}
"""What of an order says where it runs."""
MANY = 1
"""On more nodes than this an action that changes something is asked about once more."""


@dataclass(frozen=True)
class Preview:
    """On which nodes an order would run."""

    nodes: str
    count: int
    silent: str
    """Those that are out of contact now."""
    batches: int
    left_out: tuple[tuple[str, str, int], ...]
    """Why nodes that are meant are left out, which, and how many."""


async def catalogue(visit: Visit) -> Response:
    """Show every action, or those in which each word of a search stands."""
    query = visit.request.query_params.get("q", "")[:200]
    wanted = query.lower().split()
    found = await get(visit, ListPage[m.Action], "/actions", limit=MAX_PAGE)
    shown = [
        action
        for action in found.items
        if all(word in f"{action.name} {action.plugin} {action.summary}".lower() for word in wanted)
    ]
    plugins: dict[str, list[m.Action]] = {}
    for action in shown:
        plugins.setdefault(action.plugin, []).append(action)
    return visit.page(
        "actions.html", plugins=sorted(plugins.items()), query=query, total=len(found.items),
        shown=len(shown),
    )  # fmt: skip


async def show(visit: Visit) -> Response:
    """Show an action with a fresh form; ``?job=`` fills in what an earlier job was ordered with."""
    action = await get(visit, m.Action, f"/actions/{visit.request.path_params['name']}")
    nodes, args = visit.request.query_params.get("nodes", "")[:65536], ABSENT
    if job_id := visit.request.query_params.get("job"):
        job = await get(visit, m.Job, f"/jobs/{job_id[:255]}")
        nodes = nodes or fold_nodes(target.node for target in job.targets)
        args = by_name(job.args, action.args_schema)
    order = orders.fresh(action.args_schema, nodes=nodes, args=args)
    return page(visit, action, order)


def by_name(args: Any, schema: dict[str, Any]) -> Any:
    """Return a job's arguments by name, as a form has them."""
    places = schema.get("x-positional")
    if isinstance(args, dict) or not isinstance(places, list):
        return args
    if args is None:
        return {}
    given = args if isinstance(args, list) else [args]
    return dict(zip(places, given, strict=False))


async def order(visit: Visit) -> Response:
    """Take a form: change its rows, show where it would run, or run it."""
    action = await get(visit, m.Action, f"/actions/{visit.request.path_params['name']}")
    form = orders.sent(action.args_schema, visit.form)
    if visit.form.get("edit"):
        return page(visit, action, form)
    runs = visit.form.get("do") == "run"
    told, request = orders.judged(form)
    if told.is_faulty if runs else told.where_is_faulty:
        return page(visit, action, told, status=422)
    try:
        preview = await previewed(visit, action, request)
        sure = visit.form.get("sure") == f"{preview.count}"
        changes = not form.dry_run and not action.read_only
        asks = runs and preview.count > MANY and changes and not sure
        if asks or not runs:
            return page(visit, action, form, preview=preview, asks=asks)
        body = {**request, "action": action.name}
        job = await visit.call("POST", "/jobs", body, key=visit.form.get("key"))
    except ProblemError as problem:
        return page(visit, action, orders.with_faults(form, problem), status=problem.status)
    return visit.go(f"{UI}/jobs/{job.body['id']}")


async def previewed(visit: Visit, action: m.Action, request: dict[str, Any]) -> Preview:
    """Return where an order would run.

    Raises:
        ProblemError: it would run nowhere, or the API cannot read it.

    """
    body = {name: request[name] for name in WHERE if name in request}
    answer = await visit.call("POST", "/targets", {**body, "action": action.name})
    found = rm.Targets.model_validate(answer.body)
    reasons: dict[str, list[str]] = {}
    for one in found.left_out:
        reasons.setdefault(one.reason, []).append(one.node)
    return Preview(
        nodes=fold_nodes(one.node for one in found.matched),
        count=len(found.matched),
        silent=fold_nodes(one.node for one in found.matched if one.state != "connected"),
        batches=found.batches,
        left_out=tuple((why, fold_nodes(nodes), len(nodes)) for why, nodes in reasons.items()),
    )


def page(
    visit: Visit,
    action: m.Action,
    form: orders.Order,
    *,
    preview: Preview | None = None,
    asks: bool = False,
    status: int = 200,
) -> Response:
    """Return the page of an action with a form."""
    facts, others = orders.split(form.options)
    return visit.page(
        "action.html",
        status=status,
        action=action,
        order=form,
        options_open=orders.holds_something(others),
        facts=facts,
        others=others,
        preview=preview,
        asks=asks,
        key=visit.form.get("key") or uuid.uuid4().hex,
    )


PAGES = (
    Page("/actions", "read", catalogue, nav="Actions"),
    Page("/actions/{name}", "read", show),
    Page("/actions/{name}", "operate", order, methods=("POST",)),
)
