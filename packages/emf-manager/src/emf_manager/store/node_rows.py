"""What is on file about one node: when it enrolled, its certificates, what it was told to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, select

from emf_agent.wire import OutcomeKind
from emf_manager.records import Certificate, TargetState
from emf_manager.store import schema as t
from emf_manager.store.rows import read

__all__ = ["NodeFile", "NodeFiles", "PastTarget", "read_node_file"]

PAST_TARGETS = 20


@dataclass(frozen=True)
class PastTarget:
    """A job, as far as it is about one node."""

    job_id: str
    action: str
    requester: str
    created: float
    dry_run: bool
    state: TargetState
    outcome: OutcomeKind | None
    reason: str | None
    seconds: float | None


@dataclass(frozen=True)
class NodeFile:
    """What is on file about one node."""

    enrolled: float
    certificates: tuple[Certificate, ...]
    """Newest first."""
    past: tuple[PastTarget, ...]
    """The last jobs on it, newest first."""


class NodeFiles(Protocol):
    """The store as far as it keeps these."""

    async def node_file(self, fqdn: str) -> NodeFile | None:
        """Return what is on file about an enrolled node; None where there is none."""
        ...


def read_node_file(connection: Connection, fqdn: str) -> NodeFile | None:
    """Return what is on file about an enrolled node; None where there is none."""
    node, target, job = t.nodes.c, t.targets.c, t.jobs.c
    enrolled = connection.execute(
        select(node.enrolled).where(node.fqdn == fqdn, node.state != "removed")
    ).scalar_one_or_none()
    if enrolled is None:
        return None
    certificates = connection.execute(
        select(t.certificates)
        .where(t.certificates.c.fqdn == fqdn)
        .order_by(t.certificates.c.not_before.desc())
    ).mappings()
    past = connection.execute(
        select(
            target.job_id,
            job.action,
            job.requester,
            job.created,
            job.dry_run,
            target.state,
            target.outcome,
            target.reason,
            target.seconds,
        )
        .join(t.jobs)
        .where(target.node == fqdn)
        .order_by(target.job_id.desc())
        .limit(PAST_TARGETS)
    ).mappings()
    return NodeFile(
        enrolled,
        tuple(read(Certificate, row) for row in certificates),
        tuple(read(PastTarget, row) for row in past),
    )
