"""From the engine's views to the API's models: pure, and the only place that knows both."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from emf_manager import views as v
from emf_manager.api import models as m
from emf_manager.api.rollout_models import options_of
from emf_manager.authorization import Mandate
from emf_manager.nodesets import fold_nodes
from emf_manager.records import Certificate
from emf_manager.store.node_rows import NodeFile, PastTarget

__all__ = ["action", "data", "event", "job", "job_summary", "moment", "node", "node_detail"]
__all__ += ["certain", "mandate", "ping", "session"]

PLUGINS: TypeAdapter[tuple[m.Plugin, ...]] = TypeAdapter(tuple[m.Plugin, ...])


def moment(wall: float | None) -> datetime | None:
    """Return wall-clock seconds as an aware time."""
    return None if wall is None else datetime.fromtimestamp(wall, timezone.utc)


def certain(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, timezone.utc)


def node(view: v.NodeView, now: float, *, alerts: int) -> m.Node:
    """Return a node for a list."""
    return m.Node(**node_members(view, now), alerts=alerts)


def node_detail(
    view: v.NodeView, report: JsonValue, file: NodeFile, now: float, *, alerts: int
) -> m.NodeDetail:
    """Return a node with the plugins of its agent's report, where there is one to read."""
    found = report.get("plugins") if isinstance(report, dict) else None
    try:
        plugins = PLUGINS.validate_python(found or ())
    except ValidationError:
        plugins = ()
    return m.NodeDetail(
        **node_members(view, now),
        alerts=alerts,
        plugins=plugins,
        enrolled=certain(file.enrolled),
        certificates=tuple(map(certificate, file.certificates)),
        jobs=tuple(map(node_job, file.past)),
    )


def certificate(kept: Certificate) -> m.NodeCertificate:
    return m.NodeCertificate(
        serial=kept.serial,
        not_before=certain(kept.not_before),
        not_after=certain(kept.not_after),
        revoked=moment(kept.revoked),
        reason=kept.reason,
    )


def node_job(past: PastTarget) -> m.NodeJob:
    return m.NodeJob(
        job_id=past.job_id,
        action=past.action,
        user=past.requester,
        created=certain(past.created),
        dry_run=past.dry_run,
        state=past.state,
        outcome=past.outcome,
        reason=past.reason,
        seconds=past.seconds,
    )


def node_members(view: v.NodeView, now: float) -> dict[str, Any]:
    contact = view.last_contact
    return {
        **asdict(view),
        "last_contact": moment(contact),
        "age_s": None if contact is None else max(0.0, now - contact),
    }


def mandate(kept: Mandate) -> m.Mandate:
    """Return a mandate."""
    return m.Mandate(nodes=kept.nodes, actions=kept.actions, args=dict(kept.args))


def session(view: v.SessionView) -> m.Session:
    """Return a session."""
    return m.Session(**{**asdict(view), "since": certain(view.since)})


def data(view: v.DataView) -> m.DataItem:
    """Return a latest value."""
    return m.DataItem(**{**asdict(view), "as_of": certain(view.as_of)})


def action(entry: v.CatalogueEntry, among: frozenset[str] | None) -> m.Action | None:
    """Return an action as these nodes have it; None where none of them does."""
    variants = [
        (variant.description, [n for n in variant.nodes if among is None or n in among])
        for variant in entry.variants
    ]
    held = [(description, nodes) for description, nodes in variants if nodes]
    if not held:
        return None
    described, _ = max(held, key=lambda pair: len(pair[1]))
    nodes = sorted(name for _, names in held for name in names)
    others = tuple(
        m.ActionVariant(
            nodes=fold_nodes(names),
            args_schema=description.args_schema,
            result_schema=description.result_schema,
        )
        for description, names in held
        if description is not described
    )
    return m.Action(
        **described.model_dump(), nodes=fold_nodes(nodes), node_count=len(nodes), variants=others
    )


def job_summary(view: v.JobView) -> m.JobSummary:
    """Return a job for a list."""
    return m.JobSummary(**job_members(view))


def job(view: v.JobView) -> m.Job:
    """Return a job with its targets."""
    targets = tuple(target(each) for each in view.targets)
    return m.Job(**job_members(view), targets=targets, event=view.event)


def job_members(view: v.JobView) -> dict[str, Any]:
    return {
        "id": view.id,
        "action": view.action,
        "args": view.args,
        "user": view.requester,
        "created": certain(view.created),
        "state": view.state,
        "dry_run": view.dry_run,
        "timeout_s": view.timeout_s,
        "expires": certain(view.expires),
        "rollout": options_of(view.rollout),
        "deadline": moment(view.deadline),
        "counts": m.Counts(**asdict(view.counts)),
    }


def target(view: v.TargetView) -> m.JobTarget:
    return m.JobTarget(**asdict(view))


def ping(view: v.PingView) -> m.PingResult:
    """Return one node's answer."""
    return m.PingResult(**{**asdict(view), "last_contact": moment(view.last_contact)})


def event(view: v.EventView) -> m.Event:
    """Return an event; its job, where it is about one, stands beside its node."""
    job_id = view.body.get("job")
    return m.Event(
        sequence=view.sequence,
        at=certain(view.at),
        kind=view.kind,
        node=view.node,
        job=job_id if isinstance(job_id, str) else None,
        body=view.body,
    )
