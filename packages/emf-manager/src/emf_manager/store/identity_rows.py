"""Who a node is, in the database: grants, certificates, enrolment and removal."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue
from sqlalchemy import Connection, delete, select, update

from emf_agent.wire import OutcomeKind
from emf_manager.records import Certificate, NewAudit, NewEvent, Node, Outcome, Target
from emf_manager.store import schema as t
from emf_manager.store.changes import record
from emf_manager.store.interface import (
    Changes,
    Committed,
    GrantUnusableError,
    NameAliveError,
    Remark,
)
from emf_manager.store.rows import read, read_node, read_target, row_of, upsert
from emf_manager.store.trails import append_audit, append_events

__all__ = ["approve_node", "enrol", "label_node", "nodes_listed", "remove_node", "revoke_node"]


def enrol(
    connection: Connection, grant_id: str, certificate: Certificate, at: float, audit: NewAudit
) -> tuple[Node, tuple[Certificate, ...]]:
    """Redeem a grant and bind a name, as ``Store.enrol`` says."""
    mine = t.grants.c.id == grant_id
    redeemed = connection.execute(
        update(t.grants)
        .where(
            mine, t.grants.c.uses_left > 0, t.grants.c.expires > at, t.grants.c.revoked.is_(None)
        )
        .values(uses_left=t.grants.c.uses_left - 1)
    )
    if redeemed.rowcount != 1:
        raise GrantUnusableError("the token is used up, expired or revoked; make a new one")
    grant = connection.execute(select(t.grants).where(mine)).mappings().one()
    waiting = bool(grant["approval"])
    node = Node(certificate.fqdn, role=grant["role"], enrolled=at, waiting=waiting)
    upsert(connection, t.nodes, [row_of(node)], keep=("labels",))
    live = _live_certificates(connection, certificate.fqdn, at)
    strangers = any(one.key_sha256 != certificate.key_sha256 for one in live)
    if strangers and not grant["replace"]:
        raise NameAliveError(certificate.fqdn)
    replaced = _revoke(connection, live, at, "replaced")
    about: JsonValue = {"role": node.role, "again": bool(live), "waiting": waiting}
    told = NewEvent(at, "node.enrolled", node.fqdn, about)
    forgotten = _forget(connection, node.fqdn, at, "enrolled-again", told)
    over = [one.job_id for one in forgotten.outcomes if one.job_done]
    append_events(connection, [NewEvent(at, "job.done", None, {"job": job}) for job in over])
    connection.execute(t.certificates.insert(), row_of(certificate))
    append_audit(connection, (audit,))
    return node, replaced


def remove_node(
    connection: Connection, fqdn: str, at: float, reason: str, audit: NewAudit
) -> tuple[Committed, tuple[Certificate, ...]] | None:
    """Forget a node, as ``Store.remove_node`` says."""
    mine = t.nodes.c.fqdn == fqdn
    row = connection.execute(select(t.nodes).where(mine)).mappings().first()
    if row is None or row["state"] == "removed":
        return None
    gone = _revoke(connection, _live_certificates(connection, fqdn, at), at, reason)
    forgotten = {"state": "removed", "reason": reason, "labels": {}}
    connection.execute(update(t.nodes).where(mine).values(forgotten))
    told = NewEvent(at, "node.removed", fqdn, {"reason": reason})
    committed = _forget(connection, fqdn, at, "node-removed", told)
    append_audit(connection, (audit,))
    return committed, gone


def revoke_node(
    connection: Connection, fqdn: str, at: float, reason: str, audit: NewAudit
) -> tuple[Committed, tuple[Certificate, ...]] | None:
    """Take a node's certificates away and nothing else, as ``Store.revoke_node`` says."""
    row = connection.execute(select(t.nodes).where(t.nodes.c.fqdn == fqdn)).mappings().first()
    if row is None or row["state"] == "removed":
        return None
    gone = _revoke(connection, _live_certificates(connection, fqdn, at), at, reason)
    told = NewEvent(at, "node.revoked", fqdn, {"reason": reason, "certificates": len(gone)})
    return record(connection, Changes(events=(told,), audit=(audit,))), gone


def approve_node(connection: Connection, fqdn: str, at: float, audit: NewAudit) -> Committed | None:
    """Let a waiting node speak, as ``Store.approve_node`` says."""
    node = t.nodes.c
    approved = (
        update(t.nodes)
        .where(node.fqdn == fqdn, node.waiting.is_(True), node.state != "removed")
        .values(waiting=False)
    )
    if connection.execute(approved).rowcount != 1:
        return None
    told = NewEvent(at, "node.approved", fqdn)
    return record(connection, Changes(events=(told,), audit=(audit,)))


def label_node(
    connection: Connection, fqdn: str, labels: Mapping[str, str], at: float, audit: NewAudit
) -> Committed | None:
    """Give a node labels, as ``Store.label_node`` says."""
    node = t.nodes.c
    mine = node.fqdn == fqdn, node.state != "removed"
    labelled = update(t.nodes).where(*mine).values(labels=dict(labels))
    if connection.execute(labelled).rowcount != 1:
        return None
    told = NewEvent(at, "node.labelled", fqdn, {"labels": dict(labels)})
    return record(connection, Changes(events=(told,), audit=(audit,)))


def _live_certificates(connection: Connection, fqdn: str, at: float) -> tuple[Certificate, ...]:
    live = select(t.certificates).where(
        t.certificates.c.fqdn == fqdn,
        t.certificates.c.revoked.is_(None),
        t.certificates.c.not_after > at,
    )
    return tuple(read(Certificate, row) for row in connection.execute(live).mappings())


def _revoke(
    connection: Connection, some: tuple[Certificate, ...], at: float, reason: str
) -> tuple[Certificate, ...]:
    serials = [certificate.serial for certificate in some]
    if serials:
        connection.execute(
            update(t.certificates)
            .where(t.certificates.c.serial.in_(serials))
            .values(revoked=at, reason=reason)
        )
    return some


def _forget(connection: Connection, fqdn: str, at: float, reason: str, told: NewEvent) -> Committed:
    """Leave nothing of a name's earlier life to be seen under it (requirement R13)."""
    connection.execute(delete(t.values).where(t.values.c.node == fqdn))
    connection.execute(delete(t.history).where(t.history.c.node == fqdn))
    connection.execute(delete(t.envelopes).where(t.envelopes.c.node == fqdn))
    connection.execute(
        update(t.sessions)
        .where(t.sessions.c.node == fqdn, t.sessions.c.state != "ended")
        .values(state="ended", ended=at, reason=reason)
    )
    waiting = connection.execute(
        select(t.targets).where(t.targets.c.node == fqdn, t.targets.c.state != "final")
    ).mappings()
    remarks = tuple(Remark(_given_up(read_target(row), at, reason)) for row in waiting)
    return record(connection, Changes(outcomes=remarks, events=(told,)))


def _given_up(target: Target, at: float, reason: str) -> Outcome:
    """Return what is known of a target that no one will answer for: not offered is not run."""
    kind: OutcomeKind = "cancelled" if target.state in ("held", "queued") else "unknown"
    return Outcome(target.action_id, target.node, kind, at, by="manager", reason=reason)


def nodes_listed(connection: Connection, *, removed: bool) -> tuple[Node, ...]:
    """Return nodes by name."""
    wanted = select(t.nodes).order_by(t.nodes.c.fqdn)
    if not removed:
        wanted = wanted.where(t.nodes.c.state != "removed")
    return tuple(map(read_node, connection.execute(wanted).mappings()))
