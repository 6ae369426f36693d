"""What one ``record`` writes: an envelope's worth of news, all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from emf_manager.records import NewEvent, Outcome, Target, TargetState
from emf_manager.store import schema as t
from emf_manager.store.interface import (
    Changes,
    Committed,
    EnvelopeKey,
    OutcomeVerdict,
    Remark,
    TargetProgress,
)
from emf_manager.store.rows import (
    insert_new,
    outcome_columns,
    read_target,
    row_of,
    upsert,
)
from emf_manager.store.trails import append_audit, append_events

__all__ = ["ENVELOPES_KEPT", "close_targets", "judge", "record"]

ENVELOPES_KEPT = 64
"""Per node. An agent has one envelope in flight, so this is ample."""
EARLIER: Mapping[TargetState, tuple[TargetState, ...]] = {
    "queued": (),
    "offered": ("queued",),
    "accepted": ("queued", "offered"),
    "started": ("queued", "offered", "accepted"),
}
ADMINS_OWN = ("role", "labels", "enrolled", "waiting")


def record(connection: Connection, changes: Changes) -> Committed:
    """Apply changes in the order of their fields."""
    if changes.envelope is not None and not _remember(connection, changes.envelope):
        return Committed(repeated=True)
    rows = [row_of(node) for node in changes.nodes]
    upsert(connection, t.nodes, rows, keep=ADMINS_OWN, unless=t.nodes.c.state == "removed")
    upsert(connection, t.sessions, [row_of(session) for session in changes.sessions])
    upsert(connection, t.values, [row_of(value) for value in changes.values])
    for news in changes.targets:
        _note_progress(connection, news)
    verdicts, told = _settle(connection, changes.outcomes)
    events = append_events(connection, (*told, *changes.events))
    append_audit(connection, changes.audit)
    return Committed(events=events, outcomes=verdicts)


def judge(target: Target | None, outcome: Outcome) -> OutcomeVerdict:
    """Decide what a new outcome means beside what is known of its target (promises P3 and P4)."""
    if target is None or target.node != outcome.node:
        return OutcomeVerdict(outcome, "orphan")
    first = target.outcome
    if first is None:
        return OutcomeVerdict(outcome, "recorded", target.job_id)
    if outcome.by == "manager":
        return OutcomeVerdict(outcome, "late", target.job_id)
    if first.by == "manager" and first.kind == "unknown":
        return OutcomeVerdict(outcome, "resolved", target.job_id)
    if (first.kind, first.result) == (outcome.kind, outcome.result):
        return OutcomeVerdict(outcome, "repeated", target.job_id)
    return OutcomeVerdict(outcome, "conflict", target.job_id, first=first)


def _remember(connection: Connection, envelope: EnvelopeKey) -> bool:
    """Keep an envelope's id; False where it is there. Forget old ones now and then."""
    if not insert_new(connection, t.envelopes, {"node": envelope.node, "id": envelope.id}):
        return False
    mine = t.envelopes.c.node == envelope.node
    newest, kept = connection.execute(
        select(func.max(t.envelopes.c.number), func.count()).where(mine)
    ).one()
    if newest is not None and kept >= 2 * ENVELOPES_KEPT:
        oldest_kept = (
            select(t.envelopes.c.number)
            .where(mine)
            .order_by(t.envelopes.c.number.desc())
            .offset(ENVELOPES_KEPT - 1)
            .limit(1)
        )
        bound = connection.execute(oldest_kept).scalar_one()
        connection.execute(delete(t.envelopes).where(mine, t.envelopes.c.number < bound))
    return True


def _note_progress(connection: Connection, news: TargetProgress) -> None:
    mine = t.targets.c.action_id == news.action_id
    if news.state in EARLIER and news.state is not None:
        connection.execute(
            update(t.targets)
            .where(mine, t.targets.c.state.in_(EARLIER[news.state]))
            .values({"state": news.state, news.state: news.at})
        )
    said: dict[str, Any] = {
        name: value
        for name in ("fraction", "message", "cancel", "cancel_requester")
        if (value := getattr(news, name)) is not None
    }
    if said:
        connection.execute(update(t.targets).where(mine).values(said))


def _settle(
    connection: Connection, remarks: Iterable[Remark]
) -> tuple[tuple[OutcomeVerdict, ...], tuple[NewEvent, ...]]:
    """Record each outcome that is to be; return the verdicts, and the events that go with them."""
    verdicts: list[OutcomeVerdict] = []
    told: list[NewEvent] = []
    for remark in remarks:
        outcome = remark.outcome
        mine = t.targets.c.action_id == outcome.action_id
        row = connection.execute(select(t.targets).where(mine).with_for_update()).mappings().first()
        verdict = judge(None if row is None else read_target(row), outcome)
        columns = outcome_columns(outcome)
        if verdict.verdict == "orphan":
            row_key = {"node": outcome.node, "action_id": outcome.action_id}
            insert_new(connection, t.orphans, {**row_key, **columns})
        if verdict.verdict in {"recorded", "resolved"}:
            connection.execute(update(t.targets).where(mine).values(state="final", **columns))
            told.extend(remark.events)
        if verdict.verdict == "recorded":
            assert verdict.job_id is not None
            verdict = replace(verdict, job_done=close_targets(connection, verdict.job_id, 1))
        verdicts.append(verdict)
    return tuple(verdicts), tuple(told)


def close_targets(connection: Connection, job_id: str, count: int) -> bool:
    """Count targets of a job as done; tell whether they were the last."""
    mine = t.jobs.c.id == job_id
    left_open = t.jobs.c.open_targets - count
    connection.execute(update(t.jobs).where(mine).values(open_targets=left_open))
    left: int = connection.execute(select(t.jobs.c.open_targets).where(mine)).scalar_one()
    if left == 0:
        connection.execute(update(t.jobs).where(mine).values(sealed=None))
    return left == 0
