"""Routes of jobs: start an action on many nodes, see what became of it, cancel it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from pydantic import Field
from starlette.responses import JSONResponse

from emf_manager.api import models as m
from emf_manager.api import translate
from emf_manager.api.fleet import PageQuery, tagged
from emf_manager.api.mandates import allow
from emf_manager.api.paging import Page, decode_cursor, encode_cursor
from emf_manager.api.redaction import hide_secrets
from emf_manager.api.service import Caller, Manager, Service
from emf_manager.api.targets import targeted
from emf_manager.authorization import Principal
from emf_manager.views import JobOrder, JobView

__all__ = ["Key", "place", "router"]

router = APIRouter(tags=["jobs"])

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="Chosen by the caller: the same key again is the same job (promise P1).",
    ),
]


class JobQuery(PageQuery):
    user: Annotated[str, Field(max_length=255)] | None = None
    state: Literal["running", "done"] | None = Field(
        default=None, description="done: every node has its outcome."
    )
    action: Annotated[str, Field(max_length=255)] | None = Field(
        default=None, description="Only jobs of this action."
    )


@router.post("/jobs", status_code=201, response_model=m.Job)
async def create_job(
    manager: Manager, caller: Caller, body: m.JobRequest, idempotency_key: Key = None
) -> Any:
    """Start an action on a node set; answered once the job is on disk."""
    job = await shown(manager, await place(manager, caller, body, idempotency_key))
    where = {"Location": f"/api/v1/jobs/{job.id}"}
    return JSONResponse(job.model_dump(mode="json"), status_code=201, headers=where)


async def place(
    manager: Service, caller: Principal, body: m.JobRequest, idempotency_key: str | None
) -> JobView:
    """Store the job that somebody asks for, if they may; raises what the API answers with."""
    nodes = await targeted(manager, body.nodes, body.exclude, body.facts)
    await allow(manager, caller, body.action, body.args, nodes)
    order = JobOrder(
        action=body.action,
        nodes=nodes,
        requester=caller.user,
        args=body.args,
        timeout_s=body.timeout_s,
        expires_in_s=body.expires_s,
        dry_run=body.dry_run,
        idempotency_key=idempotency_key,
        rollout=body.rollout(),
        expect=body.expect,
        deadline_s=body.deadline_s,
    )
    return await manager.engine.create_job(order)


@router.get("/jobs", response_model=Page[m.JobSummary])
async def list_jobs(manager: Manager, query: Annotated[JobQuery, Query()]) -> Any:
    """List jobs, the newest first."""
    before = None if query.cursor is None else str(decode_cursor(query.cursor, str)[0])
    found = await manager.engine.jobs(
        limit=query.limit + 1,
        before=before,
        requester=query.user,
        state=query.state,
        action=query.action,
    )
    catalogue = await manager.engine.catalogue() if found else ()
    cut = tuple(
        translate.job_summary(replace(view, args=hide_secrets(view.args, view.action, catalogue)))
        for view in found[: query.limit]
    )
    following = encode_cursor((cut[-1].id,)) if len(found) > query.limit else None
    return Page[m.JobSummary](items=cut, next=following)


@router.get("/jobs/{job_id}", response_model=m.Job)
async def show_job(manager: Manager, job_id: str, request: Request) -> Any:
    """Show one job with the outcome on every node."""
    job = await shown(manager, await manager.engine.job(job_id))
    return tagged(request, job, job.model_copy(update={"event": 0}))


@router.post("/jobs/{job_id}/cancel", response_model=m.Job, status_code=202)
async def cancel_job(manager: Manager, caller: Caller, job_id: str) -> Any:
    """Ask every node that is not done to stop; what became of it shows in the targets."""
    if caller.mandates:
        job = await manager.engine.job(job_id)
        nodes = [target.node for target in job.targets]
        await allow(manager, caller, job.action, job.args, nodes)
    return await shown(manager, await manager.engine.cancel_job(job_id, requester=caller.user))


async def shown(manager: Service, view: JobView) -> m.Job:
    """Return a job with its targets, and without the secrets it was given."""
    args = hide_secrets(view.args, view.action, await manager.engine.catalogue())
    return translate.job(replace(view, args=args))
