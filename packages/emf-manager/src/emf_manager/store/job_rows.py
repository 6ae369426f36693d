"""Jobs and their targets in the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal, cast

from sqlalchemy import Connection, func, select

from emf_agent.wire import OutcomeKind
from emf_manager.records import Job, NewEvent, Target, TargetState
from emf_manager.store import schema as t
from emf_manager.store.interface import Created, KeyReusedError, StoreError, TargetTally
from emf_manager.store.rows import insert_new, read, read_target, row_of, target_row
from emf_manager.store.trails import append_events

__all__ = ["count_states", "create_job", "find_job", "list_jobs", "open_jobs", "tally"]

SAME = ("action", "args", "secret_digest", "timeout_s", "dry_run", "rollout")
"""What two orders under one key must agree in, beside their nodes."""


def create_job(
    connection: Connection, job: Job, targets: Sequence[Target], events: Sequence[NewEvent]
) -> Created:
    """Insert a job, or return the one that the requester's key names already."""
    job = replace(job, open_targets=len(targets))
    if not insert_new(connection, t.jobs, row_of(job)):
        return _earlier(connection, job, targets)
    if targets:
        connection.execute(t.targets.insert(), [target_row(target) for target in targets])
    return Created(job, tuple(targets), created=True, events=append_events(connection, events))


def _earlier(connection: Connection, job: Job, targets: Sequence[Target]) -> Created:
    if job.idempotency_key is None:
        raise StoreError(f"there is a job {job.id} already")
    found = connection.execute(
        select(t.jobs.c.id).where(
            t.jobs.c.requester == job.requester, t.jobs.c.idempotency_key == job.idempotency_key
        )
    ).scalar_one_or_none()
    earlier = None if found is None else find_job(connection, found)
    if earlier is None:
        raise StoreError(f"there is a job {job.id} already")
    first, its_targets = earlier
    same_order = all(getattr(first, name) == getattr(job, name) for name in SAME)
    if not same_order or {one.node for one in its_targets} != {one.node for one in targets}:
        raise KeyReusedError(job.idempotency_key, first.id)
    return Created(first, its_targets, created=False)


def find_job(connection: Connection, job_id: str) -> tuple[Job, tuple[Target, ...]] | None:
    row = connection.execute(select(t.jobs).where(t.jobs.c.id == job_id)).mappings().first()
    if row is None:
        return None
    rows = connection.execute(
        select(t.targets).where(t.targets.c.job_id == job_id).order_by(t.targets.c.node)
    ).mappings()
    return read(Job, row), tuple(map(read_target, rows))


def open_jobs(connection: Connection) -> tuple[tuple[Job, ...], tuple[Target, ...]]:
    """Return the jobs with open targets, and these targets, oldest first."""
    running = select(t.jobs).where(t.jobs.c.open_targets > 0).order_by(t.jobs.c.id)
    waiting = (
        select(t.targets)
        .join(t.jobs)
        .where(t.jobs.c.open_targets > 0, t.targets.c.state != "final")
        .order_by(t.targets.c.job_id, t.targets.c.action_id)
    )
    return (
        tuple(read(Job, row) for row in connection.execute(running).mappings()),
        tuple(read_target(row) for row in connection.execute(waiting).mappings()),
    )


def list_jobs(
    connection: Connection,
    *,
    limit: int,
    before: str | None,
    requester: str | None,
    state: Literal["running", "done"] | None,
    action: str | None = None,
) -> tuple[Job, ...]:
    wanted = select(t.jobs).order_by(t.jobs.c.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(t.jobs.c.id < before)
    if requester is not None:
        wanted = wanted.where(t.jobs.c.requester == requester)
    if state is not None:
        is_open = t.jobs.c.open_targets > 0
        wanted = wanted.where(is_open if state == "running" else ~is_open)
    if action is not None:
        wanted = wanted.where(t.jobs.c.action == action)
    return tuple(read(Job, row) for row in connection.execute(wanted).mappings())


def tally(connection: Connection, job_ids: Collection[str]) -> dict[str, TargetTally]:
    counted: dict[str, dict[tuple[TargetState, OutcomeKind | None], int]] = {
        job_id: {} for job_id in job_ids
    }
    group = (t.targets.c.job_id, t.targets.c.state, t.targets.c.outcome)
    statement = select(*group, func.count()).where(t.targets.c.job_id.in_(job_ids)).group_by(*group)
    for job_id, state, outcome, count in connection.execute(statement):
        counted[job_id][cast(TargetState, state), cast("OutcomeKind | None", outcome)] = count
    return dict(counted)


def count_states(connection: Connection) -> dict[str, int]:
    """Count jobs by state."""
    of_all = select(func.count()).select_from(t.jobs)
    every: int = connection.execute(of_all).scalar_one()
    done: int = connection.execute(of_all.where(t.jobs.c.open_targets == 0)).scalar_one()
    return {"running": every - done, "done": done}
