"""Backups of the SQLite store: made while it is in use, put back while it is not.

The authority's key is never in one (requirement R19).
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from emf_manager.store.interface import StoreError

__all__ = ["back_up", "epoch_of", "put_back"]


def back_up(database: Path, target: Path) -> None:
    """Write a consistent copy of a database in use; it is on disk when this returns.

    Raises:
        StoreError: the target is there already, or cannot be written.

    """
    if target.exists():
        raise StoreError(f"{target} is there already; name a new file")
    fresh = copy(database, target.absolute().parent)
    try:
        fresh.rename(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StoreError(f"{target} cannot be written: {error.strerror}") from error


def put_back(backup: Path, database: Path) -> Path | None:
    """Put a backup in the place of a database that nobody has open; return where that went.

    Raises:
        StoreError: the backup is none of ours or damaged, or the place cannot be written.

    """
    if epoch_of(backup) is None:
        raise StoreError(f"{backup} is not a backup of an emf-manager")
    fresh = copy(backup, database.parent)
    replaced = None
    if database.exists():
        # Opening folds the log into the file, so that what is kept is whole.
        fold(database)
        replaced = database.with_name(f"{database.name}.replaced")
        database.replace(replaced)
    for rest in ("-wal", "-shm"):
        database.with_name(database.name + rest).unlink(missing_ok=True)
    fresh.replace(database)
    return replaced


def epoch_of(database: Path) -> int | None:
    """Return the epoch of a manager's database; None where it is missing, damaged, not ours."""
    if not database.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as raw:
            if raw.execute("PRAGMA quick_check").fetchone() != ("ok",):
                return None
            row = raw.execute("SELECT value FROM counters WHERE name = 'epoch'").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else int(row[0])


def copy(database: Path, folder: Path) -> Path:
    """Return a new private file in a folder, with the content of a database."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=".manager.", suffix=".db", dir=folder)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror}") from error
    fresh = Path(name)
    try:
        with closing(sqlite3.connect(database)) as old, closing(sqlite3.connect(fresh)) as new:
            old.backup(new)
        os.fsync(descriptor)
    except (sqlite3.Error, OSError) as error:
        fresh.unlink(missing_ok=True)
        raise StoreError(f"{database} cannot be copied to {folder}: {error}") from error
    finally:
        os.close(descriptor)
    return fresh


def fold(database: Path) -> None:
    try:
        with closing(sqlite3.connect(database)) as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        # A damaged database is what a backup is for; it is kept as it is.
        return
