"""Opens the journal's database as durable as it has to be, and moves a broken one aside."""

from __future__ import annotations

import logging
import sqlite3
import uuid
from pathlib import Path

from emf_agent.errors import JournalError
from emf_agent.journal.disk import JournalDirectory
from emf_agent.journal.schema import migrate

__all__ = ["PAGE_BYTES", "open_database"]

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 5000
PAGE_BYTES = 4096

SETTINGS: tuple[tuple[str, str | int, str | int], ...] = (
    # Before WAL: its index is then in memory. In a mapped file, a write to a full disk is SIGBUS.
    ("locking_mode", "EXCLUSIVE", "exclusive"),
    ("journal_mode", "WAL", "wal"),
    # FULL, not NORMAL: with NORMAL a power cut loses what was acknowledged (reliability, 5).
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
    ("busy_timeout", BUSY_TIMEOUT_MS, BUSY_TIMEOUT_MS),
)


def open_database(
    directory: JournalDirectory, *, limit_bytes: int, mark: str
) -> tuple[sqlite3.Connection, Path | None]:
    """Return the connection, and where a broken file went if there was one.

    ``mark`` names such a file. Raises OSError, sqlite3.Error and JournalError.
    """
    fresh = not directory.database.exists()
    try:
        database, aside = connect(directory.database, limit_bytes), None
    except BrokenDatabaseError as error:
        aside = directory.move_database_aside(mark)
        logger.error("journal broken path=%s moved_to=%s why=%s", directory.path, aside, error)
        database = connect(directory.database, limit_bytes)
    if fresh or aside is not None:
        directory.sync()
    return database, aside


class BrokenDatabaseError(Exception):
    """The file cannot be read as the journal it was."""


def connect(path: Path, limit_bytes: int) -> sqlite3.Connection:
    """Open a file, check it where it was not closed, and bring it to the present version."""
    # Calls come one at a time, but not always from the same worker thread.
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        prepare(database, limit_bytes)
    except sqlite3.DatabaseError as error:
        database.close()
        if is_broken(error):
            raise BrokenDatabaseError(str(error)) from error
        raise
    except (JournalError, BrokenDatabaseError):
        database.close()
        raise
    return database


def is_broken(error: sqlite3.DatabaseError) -> bool:
    """Tell a broken file from a full, locked or read-only disk, which sqlite3 gives subclasses."""
    if isinstance(error, sqlite3.OperationalError):
        # A table that is not there: the file is a database, but not this one any more.
        return "no such" in str(error)
    return True


def prepare(database: sqlite3.Connection, limit_bytes: int) -> None:
    """Set and read back what durability rests on, check, and migrate."""
    for name, value, expected in SETTINGS:
        database.execute(f"PRAGMA {name} = {value}")
        (found,) = database.execute(f"PRAGMA {name}").fetchone()
        if found != expected:
            raise JournalError(f"the journal's {name} is {found} where it must be {expected}")
    database.execute(f"PRAGMA max_page_count = {limit_bytes // PAGE_BYTES}")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version:
        (closed_cleanly,) = database.execute("SELECT closed_cleanly FROM journal").fetchone() or (
            0,
        )
        if not closed_cleanly:
            verdict = [row[0] for row in database.execute("PRAGMA quick_check(1)")]
            if verdict != ["ok"]:
                raise BrokenDatabaseError("; ".join(verdict))
    elif database.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise BrokenDatabaseError("it has tables, but no version")
    migrate(database, str(uuid.uuid4()))
    if database.execute("SELECT 1 FROM journal").fetchone() is None:
        raise BrokenDatabaseError("its identity is gone")
    database.execute("UPDATE journal SET closed_cleanly = 0")
