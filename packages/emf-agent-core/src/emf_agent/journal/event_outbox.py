"""Events of daemons that ask for every one: numbered, bounded, a drop never silent (P8)."""

from __future__ import annotations

import sqlite3

from emf_agent.journal.values import Event, EventGap, PendingEvents

__all__ = ["acknowledge", "append", "pending"]

EVENT_OVERHEAD_BYTES = 64


def append(database: sqlite3.Connection, daemon: str, payload_json: str, limit_bytes: int) -> int:
    """Add an event, drop the oldest beyond the limit, and return the event's number."""
    database.execute("INSERT OR IGNORE INTO outboxes VALUES (?, 1, 0, NULL, NULL)", (daemon,))
    (sequence, size_bytes) = database.execute(
        "SELECT next_sequence, size_bytes FROM outboxes WHERE daemon = ?", (daemon,)
    ).fetchone()
    database.execute("INSERT INTO events VALUES (?, ?, ?)", (daemon, sequence, payload_json))
    size_bytes += cost(payload_json)
    database.execute(
        "UPDATE outboxes SET next_sequence = ?, size_bytes = ? WHERE daemon = ?",
        (sequence + 1, size_bytes, daemon),
    )
    if size_bytes > limit_bytes:
        drop_oldest(database, daemon, size_bytes - limit_bytes)
    return int(sequence)


def cost(payload_json: str) -> int:
    """Return what an event counts for against the limit."""
    return len(payload_json.encode()) + EVENT_OVERHEAD_BYTES


def drop_oldest(database: sqlite3.Connection, daemon: str, excess_bytes: int) -> None:
    """Drop events from the front, never the newest, and lengthen the gap over them."""
    rows = database.execute(
        "SELECT sequence, payload_json FROM events WHERE daemon = ? ORDER BY sequence", (daemon,)
    )
    (newest,) = database.execute(
        "SELECT MAX(sequence) FROM events WHERE daemon = ?", (daemon,)
    ).fetchone()
    first = last = None
    freed = 0
    for sequence, payload_json in rows:
        if freed >= excess_bytes or sequence == newest:
            break
        first = sequence if first is None else first
        last = sequence
        freed += cost(payload_json)
    if first is None:
        return
    forget(database, daemon, last, freed)
    database.execute(
        "UPDATE outboxes SET gap_first = COALESCE(gap_first, ?), gap_last = ? WHERE daemon = ?",
        (first, last, daemon),
    )


def forget(database: sqlite3.Connection, daemon: str, up_to: int | None, freed: int) -> None:
    """Delete events and give their size back."""
    database.execute("DELETE FROM events WHERE daemon = ? AND sequence <= ?", (daemon, up_to))
    database.execute(
        "UPDATE outboxes SET size_bytes = size_bytes - ? WHERE daemon = ?", (freed, daemon)
    )


def pending(database: sqlite3.Connection, daemon: str, limit: int) -> PendingEvents:
    """Return the oldest events and the gap before them."""
    gap = database.execute(
        "SELECT gap_first, gap_last FROM outboxes WHERE daemon = ? AND gap_first IS NOT NULL",
        (daemon,),
    ).fetchone()
    rows = database.execute(
        "SELECT sequence, payload_json FROM events WHERE daemon = ? ORDER BY sequence LIMIT ?",
        (daemon, limit),
    )
    return PendingEvents(
        gap=None if gap is None else EventGap(*gap),
        events=tuple(Event(sequence, payload_json) for sequence, payload_json in rows),
    )


def acknowledge(database: sqlite3.Connection, daemon: str, up_to: int) -> None:
    """Forget what the manager has; of a gap that has grown since, the rest stays."""
    rows = database.execute(
        "SELECT payload_json FROM events WHERE daemon = ? AND sequence <= ?", (daemon, up_to)
    )
    forget(database, daemon, up_to, sum(cost(payload_json) for (payload_json,) in rows))
    database.execute(
        "UPDATE outboxes SET gap_first = NULL, gap_last = NULL WHERE daemon = ? AND gap_last <= ?",
        (daemon, up_to),
    )
    database.execute(
        "UPDATE outboxes SET gap_first = ? WHERE daemon = ? AND gap_first <= ?",
        (up_to + 1, daemon, up_to),
    )
