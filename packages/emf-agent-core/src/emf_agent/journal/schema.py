"""The tables of the journal and the way from each former version to the present one."""

from __future__ import annotations

import sqlite3

from emf_agent.errors import JournalError

__all__ = ["APPLICATION_ID", "VERSION", "migrate"]

APPLICATION_ID = 0x454D4641  # "EMFA": `file journal.db` then tells what it is

STRICT = " STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""

FIRST = f"""
CREATE TABLE journal (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    journal_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    closed_cleanly INTEGER NOT NULL,
    collected_until REAL NOT NULL
){STRICT};
CREATE TABLE actions (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('accepted', 'started', 'finished', 'acknowledged')),
    action TEXT NOT NULL,
    args_json TEXT NOT NULL,
    redacted INTEGER NOT NULL,
    idempotent INTEGER NOT NULL,
    detached INTEGER NOT NULL,
    expires_at REAL,
    timeout_s REAL,
    dry_run INTEGER NOT NULL,
    requester TEXT,
    accepted_at REAL NOT NULL,
    finished_at REAL,
    kind TEXT,
    result_json TEXT,
    reason TEXT,
    seconds REAL,
    truncated INTEGER,
    changed INTEGER NOT NULL,
    CHECK ((kind IS NOT NULL) = (state IN ('finished', 'acknowledged')))
){STRICT};
CREATE INDEX actions_unsettled ON actions (state, changed) WHERE state <> 'acknowledged';
CREATE INDEX actions_collectable ON actions (COALESCE(expires_at, finished_at))
    WHERE state = 'acknowledged';
CREATE TABLE outboxes (
    daemon TEXT PRIMARY KEY,
    next_sequence INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    gap_first INTEGER,
    gap_last INTEGER
){STRICT};
CREATE TABLE events (
    daemon TEXT NOT NULL REFERENCES outboxes (daemon),
    sequence INTEGER NOT NULL,
    payload_json TEXT NOT NULL,
    PRIMARY KEY (daemon, sequence)
){STRICT};
"""

MIGRATIONS = (FIRST,)
"""Migration n leads from version n to n + 1; one that was released is never changed."""

VERSION = len(MIGRATIONS)


def migrate(database: sqlite3.Connection, journal_id: str) -> None:
    """Bring a file to the present version, each step whole or not at all.

    ``journal_id`` is written into a file that has none. Raises JournalError for a newer file.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise JournalError(
            f"the journal has version {version}, this agent knows {VERSION}:"
            " install the newer agent again, or move the journal away"
        )
    for number in range(version, VERSION):
        database.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[number].split(";\n"):
                if statement.strip():
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {number + 1}")
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(
                "INSERT OR IGNORE INTO journal VALUES (1, ?, 0, 0, 0.0)", (journal_id,)
            )
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")
