"""All of one node together, as values: its agent, its sessions, its open actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from emf_manager import jobs
from emf_manager.agents import rules
from emf_manager.agents import values as v
from emf_manager.catalogue import Catalogue, read_catalogue
from emf_manager.facts import Facts, facts_of_value
from emf_manager.records import (
    NewAudit,
    Node,
    SessionRecord,
)
from emf_manager.store.interface import Changes

__all__ = [
    "AGENT",
    "Added",
    "CancelActions",
    "Desk",
    "Effect",
    "Event",
    "Turn",
    "WithholdActions",
    "due",
    "restore",
]

AGENT = "agent"
"""The built-in daemon through which an agent describes itself."""


@dataclass(frozen=True)
class Desk:
    """One node."""

    node: Node
    host: v.Host
    records: Mapping[str, SessionRecord] = field(default_factory=dict)
    """Of the sessions there are now, by daemon."""
    open: Mapping[str, jobs.Open] = field(default_factory=dict)
    """Open targets by action id, oldest first."""
    silent_since: float | None = None
    """Monotonic; None while the node is in contact."""
    last_contact: float | None = None
    """Wall clock; ahead of what is written down."""
    catalogue: Catalogue | None = None
    """What the agent said it can do."""
    audited: tuple[NewAudit, ...] = ()
    """The newest lines of the audit trail about it; bounded."""
    facts: Mapping[str, Facts] = field(default_factory=dict)
    """By daemon, what its latest value says the node is."""


@dataclass(frozen=True)
class Added:
    """Jobs for this node are on disk."""

    opened: tuple[jobs.Open, ...]


@dataclass(frozen=True)
class CancelActions:
    """Somebody wants these actions to end."""

    action_ids: tuple[str, ...]
    requester: str


@dataclass(frozen=True)
class WithholdActions:
    """These actions, with the reason of each, cannot be handed out."""

    refused: tuple[tuple[str, str], ...]


Event = v.Event | Added | CancelActions | WithholdActions
Effect = v.Accept | v.Refuse | v.Hang | v.Wake | v.Answer


@dataclass(frozen=True)
class Turn:
    """What one event came to."""

    desk: Desk
    changes: Changes
    """Must be on disk before the effects."""
    effects: tuple[Effect, ...]


def due(desk: Desk) -> float | None:
    """Return when the next ``Tick`` matters (monotonic), or None when none does."""
    moments = [jobs.due(open_, desk.silent_since) for open_ in desk.open.values()]
    moments.append(rules.due(desk.host))
    return min((moment for moment in moments if moment is not None), default=None)


def restore(
    node: Node,
    now: float,
    wall: float,
    *,
    lease_s: float = rules.LEASE_S,
    sessions: Iterable[SessionRecord] = (),
    said: Mapping[str, JsonValue] | None = None,
    envelopes: tuple[str, ...] = (),
) -> Desk:
    """Return a node as it was written down; one that was in contact has a lease to come back.

    ``said`` are the last values of daemons, as far as they matter here.
    """
    silent = node.state != "online"
    gone = node.instance is None or node.instance in node.superseded
    records = {record.daemon: record for record in sessions}
    host = v.Host(
        fqdn=node.fqdn,
        instance=None if gone else node.instance,
        boot=node.boot_time,
        protocol=node.protocol or 1,
        superseded=node.superseded,
        lease_until=now + lease_s,
        silent=silent,
        sessions={
            daemon: v.Session(record.session_id, daemon, record.sequence, lost=silent)
            for daemon, record in records.items()
        },
        envelopes=envelopes,
        journal_id=node.journal_id,
        journal_sequence=node.journal_sequence,
    )
    return Desk(
        node=node,
        host=host,
        records=records,
        silent_since=now - max(0.0, wall - (node.last_contact or wall)) if silent else None,
        last_contact=node.last_contact,
        catalogue=read_catalogue((said or {}).get(AGENT)),
        facts={daemon: facts_of_value(daemon, body) for daemon, body in (said or {}).items()},
    )
