"""What is known, as callers see it: from records and values to views. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from emf_agent.wire import OutcomeKind
from emf_manager.agents.values import Host, Session
from emf_manager.records import (
    Event,
    Job,
    LatestValue,
    NewEvent,
    Node,
    NodeState,
    Outcome,
    SessionRecord,
    Target,
)
from emf_manager.rollouts import read_rollout
from emf_manager.store.interface import TargetTally
from emf_manager.store.roll_rows import RollRow
from emf_manager.views import (
    Counts,
    DataView,
    EventView,
    JobView,
    NodeView,
    RollEntry,
    SessionView,
    TargetView,
)

__all__ = [
    "SHOWN_AS",
    "count_tally",
    "count_targets",
    "data_view",
    "event_view",
    "job_created",
    "job_view",
    "node_view",
    "roll_entry",
    "session_state",
    "session_views",
    "target_view",
]

COUNT_OF: dict[OutcomeKind, str] = {"ok": "succeeded"}
"""Outcomes that are counted under another name."""
SHOWN_AS: dict[NodeState, Literal["connected", "silent", "never"]] = {
    "new": "never",
    "online": "connected",
    "silent": "silent",
    "removed": "silent",
}


def node_view(node: Node, last_contact: float | None, sessions: Mapping[str, Session]) -> NodeView:
    """Return a node; the last contact may be ahead of what is written down."""
    return NodeView(
        fqdn=node.fqdn,
        state=SHOWN_AS[node.state],
        reason=node.reason,
        last_contact=last_contact,
        protocol=node.protocol,
        agent_version=node.agent_version,
        boot_id=node.boot_id,
        mode=node.mode,
        waiting=node.waiting,
        role=node.role,
        labels=dict(node.labels),
        sessions={name: session_state(sessions[name]) for name in sorted(sessions)},
    )


def roll_entry(row: RollRow, node: Node | None, last_contact: float | None) -> RollEntry:
    """Return a node on the roll; what its desk knows may be ahead of what is written down."""
    state = row.state if node is None else node.state
    contact = row.last_contact if node is None else last_contact
    return RollEntry(row.fqdn, row.role, SHOWN_AS[state], row.waiting, contact)


def session_views(host: Host, records: Mapping[str, SessionRecord]) -> tuple[SessionView, ...]:
    """Return the sessions a node has now."""
    return tuple(
        SessionView(
            node=host.fqdn,
            daemon=daemon,
            session_id=session.id,
            state=session_state(session),
            since=records[daemon].started,
            sequence=session.sequence,
        )
        for daemon, session in host.sessions.items()
    )


def session_state(session: Session) -> Literal["active", "lost"]:
    return "lost" if session.lost else "active"


def data_view(value: LatestValue, session: Session | None, wall: float) -> DataView:
    """Return a latest value; ``session`` is the one its daemon has now, if any."""
    current = session is not None and session.id == value.session_id and not session.lost
    return DataView(
        node=value.node,
        daemon=value.daemon,
        session_id=value.session_id,
        sequence=value.sequence,
        as_of=value.received,
        age_s=max(0.0, wall - value.received),
        stale=not current,
        value=value.body,
    )


def event_view(event: Event) -> EventView:
    """Return a stored event."""
    body = dict(event.body) if isinstance(event.body, dict) else {"value": event.body}
    return EventView(event.sequence, event.at, event.kind, event.node, body)


def job_created(job: Job, wall: float) -> NewEvent:
    """Return the event that a job begins."""
    return NewEvent(
        wall,
        "job.created",
        None,
        {
            "job": job.id,
            "action": job.action,
            "requester": job.requester,
            "targeted": job.open_targets,
        },
    )


def target_view(target: Target, *, silent: bool, outcome: Outcome | None = None) -> TargetView:
    """Return a target as callers see it."""
    ended = outcome or target.outcome
    return TargetView(
        node=target.node,
        action_id=target.action_id,
        state="final" if ended is not None else target.state,
        silent=silent,
        cancel=target.cancel,
        outcome=None if ended is None else ended.kind,
        result=None if ended is None else ended.result,
        reason=None if ended is None else ended.reason,
        seconds=None if ended is None else ended.seconds,
        truncated=ended is not None and ended.truncated,
        fraction=target.fraction,
        message=target.message,
        batch=target.batch,
        cancelled_by=target.cancel_requester,
    )


def job_view(job: Job, counts: Counts) -> JobView:
    """Return a job as callers see it, without its targets."""
    return JobView(
        id=job.id,
        action=job.action,
        args=job.args,
        requester=job.requester,
        created=job.created,
        timeout_s=job.timeout_s,
        expires=job.expires,
        dry_run=job.dry_run,
        state=job.state,
        counts=counts,
        rollout=read_rollout(job.rollout),
        deadline=job.deadline,
    )


def count_tally(tally: TargetTally) -> Counts:
    """Return the store's tally as counts."""
    return count_targets((state, outcome, n) for (state, outcome), n in tally.items())


def count_targets(counted: Iterable[tuple[str, OutcomeKind | None, int]]) -> Counts:
    """Count targets by state, and final ones by outcome: they always add up (P14)."""
    sums: dict[str, int] = {}
    for state, outcome, number in counted:
        name = state if outcome is None else COUNT_OF.get(outcome, outcome)
        sums[name] = sums.get(name, 0) + number
    return Counts(targeted=sum(sums.values()), **sums)
