"""Two numbered trails without gaps: events, and the hash-chained audit (requirement R18)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select, update

from emf_manager.audit_chain import FIRST_DIGEST, digest
from emf_manager.records import AuditEntry, Event, NewAudit, NewEvent
from emf_manager.store import schema as t
from emf_manager.store.rows import row_of

__all__ = ["append_audit", "append_events", "take_numbers"]


def take_numbers(connection: Connection, trail: str, count: int) -> int:
    """Take the next numbers of a counter, and return the last before them.

    The row stays locked until the commit, so numbers become visible in their order.
    """
    mine = t.counters.c.name == trail
    connection.execute(update(t.counters).where(mine).values(value=t.counters.c.value + count))
    last: int = connection.execute(select(t.counters.c.value).where(mine)).scalar_one()
    return last - count


def append_events(connection: Connection, new: Sequence[NewEvent]) -> tuple[Event, ...]:
    """Append events, and return them with their numbers."""
    if not new:
        return ()
    last = take_numbers(connection, "events", len(new))
    numbered = tuple(
        Event(sequence=number, **row_of(event)) for number, event in enumerate(new, last + 1)
    )
    connection.execute(t.events.insert(), [row_of(event) for event in numbered])
    return numbered


def append_audit(connection: Connection, new: Iterable[NewAudit]) -> tuple[AuditEntry, ...]:
    """Append lines to the audit trail, each chained to the one before."""
    appended: list[AuditEntry] = []
    for entry in new:
        last = take_numbers(connection, "audit", 1)
        previous = connection.execute(
            select(t.audit.c.digest).where(t.audit.c.sequence == last)
        ).scalar_one_or_none()
        link = AuditEntry(last + 1, entry, digest(previous or FIRST_DIGEST, last + 1, entry))
        row = {**row_of(entry), "sequence": link.sequence, "digest": link.digest}
        connection.execute(t.audit.insert(), row)
        appended.append(link)
    return tuple(appended)
