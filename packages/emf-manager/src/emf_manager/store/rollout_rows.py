"""Held targets in the database: released together, or ended together, in one statement each."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Connection, select, update

from emf_manager.records import NewEvent, Outcome
from emf_manager.store import schema as t
from emf_manager.store.changes import close_targets
from emf_manager.store.rollouts import Released, Stopped
from emf_manager.store.rows import outcome_columns, read_target
from emf_manager.store.trails import append_events
from emf_manager.store.writer import Writer

__all__ = ["SqlRollouts"]


class SqlRollouts:
    """A ``RolloutStore``."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def release(
        self, job_id: str, action_ids: Collection[str], *, batch: int, at: float
    ) -> Released:
        return await self._writer.write(lambda c: release(c, job_id, action_ids, batch, at))

    async def stop(
        self,
        job_id: str,
        action_ids: Collection[str],
        *,
        kind: Literal["cancelled", "expired"],
        reason: str,
        at: float,
    ) -> Stopped:
        outcome = Outcome("", "", kind, at, by="manager", reason=reason)
        return await self._writer.write(lambda c: stop(c, job_id, action_ids, outcome))


def release(
    connection: Connection, job_id: str, action_ids: Collection[str], batch: int, at: float
) -> Released:
    held = update(t.targets).where(*these(job_id, action_ids, "held"))
    connection.execute(held.values(state="queued", queued=at))
    queued = select(t.targets).where(*these(job_id, action_ids, "queued"))
    rows = connection.execute(queued.order_by(t.targets.c.node)).mappings()
    targets = tuple(map(read_target, rows))
    body: JsonValue = {"job": job_id, "batch": batch, "targets": len(targets)}
    told = (NewEvent(at, "job.released", None, body),) if targets else ()
    return Released(targets, append_events(connection, told))


def stop(
    connection: Connection, job_id: str, action_ids: Collection[str], outcome: Outcome
) -> Stopped:
    held = update(t.targets).where(*these(job_id, action_ids, "held"))
    count = connection.execute(held.values(state="final", **outcome_columns(outcome))).rowcount
    if count == 0:
        return Stopped(0, ())
    done = close_targets(connection, job_id, count)
    body: dict[str, JsonValue] = {
        "job": job_id,
        "outcome": outcome.kind,
        "reason": outcome.reason,
        "targets": count,
    }
    told = [NewEvent(outcome.at, "job.stopped", None, body)]
    if done:
        told.append(NewEvent(outcome.at, "job.done", None, {"job": job_id}))
    return Stopped(count, append_events(connection, told))


def these(job_id: str, action_ids: Collection[str], state: str) -> tuple[ColumnElement[bool], ...]:
    target = t.targets.c
    return target.job_id == job_id, target.state == state, target.action_id.in_(action_ids)
