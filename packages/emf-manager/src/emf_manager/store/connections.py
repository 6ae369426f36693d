"""The door to the database: how SQLite and PostgreSQL are opened, and what their errors mean."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from emf_agent.errors import ConfigurationError
from emf_manager.store.interface import StoreError, StoreFullError

__all__ = ["Connections", "connect", "explain_failure", "sqlite_url"]

BUSY_S = 15
"""How long a write waits for another process's, such as an admin command's."""
READERS = 4
SQLITE_FULL = 13
POSTGRESQL_FULL = ("53100", "53200")
PAGE_BYTES = 4096


@dataclass(frozen=True)
class Connections:
    """The engine that writes, one connection; and the one that reads."""

    writing: Engine
    reading: Engine
    in_memory: bool
    """Then there is one connection for both."""

    def dispose(self) -> None:
        """Close every connection; SQLite's last one folds its log into the file."""
        self.reading.dispose()
        self.writing.dispose()


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def connect(url: str, *, max_bytes: int | None = None) -> Connections:
    """Open a database by its SQLAlchemy URL; ``sqlite://`` is one in memory, for tests.

    Raises:
        ConfigurationError: the URL is not one we can use. StoreError: it cannot be opened.

    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError([f"store URL: {error}"]) from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed.set(drivername="sqlite+pysqlite"), max_bytes)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed.set(drivername="postgresql+psycopg"))
    shown = parsed.render_as_string(hide_password=True)
    raise ConfigurationError([f"store URL {shown}: use sqlite:///FILE or postgresql://…"])


def explain_failure(error: DBAPIError) -> StoreError:
    """Return our error for the database's: full, or failed; no parameter's value is repeated."""
    original = error.orig
    full = (
        getattr(original, "sqlite_errorcode", None) == SQLITE_FULL
        or "disk is full" in str(original)
        or getattr(original, "sqlstate", None) in POSTGRESQL_FULL
    )
    told = StoreFullError("the store") if full else StoreError(f"the store failed: {original}")
    told.__cause__ = error
    return told


def _sqlite(url: URL, max_bytes: int | None) -> Connections:
    in_memory = url.database in (None, "", ":memory:")
    # The module is named, or SQLAlchemy would import it later, perhaps as another user.
    how: dict[str, Any] = {
        "module": sqlite3,
        "connect_args": {"check_same_thread": False, "timeout": BUSY_S},
    }
    if in_memory:
        engine = create_engine(url, **how, poolclass=StaticPool)
        _prepare(engine, begin="BEGIN", max_bytes=max_bytes)
        return Connections(engine, engine, in_memory=True)
    assert url.database is not None
    _create_private(Path(url.database))
    writing = create_engine(url, **how, pool_size=1, max_overflow=0)
    _prepare(writing, begin="BEGIN IMMEDIATE", max_bytes=max_bytes)
    reading = create_engine(url, **how, pool_size=READERS, max_overflow=0)
    _prepare(reading, begin="BEGIN", query_only=True)
    return Connections(writing, reading, in_memory=False)


def _create_private(path: Path) -> None:
    """Make the file, for its owner alone, if it is not there."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error


def _prepare(
    engine: Engine, *, begin: str, query_only: bool = False, max_bytes: int | None = None
) -> None:
    """Set up every SQLite connection, and check that the settings durability rests on are on."""

    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        cursor.execute("PRAGMA synchronous=FULL")
        synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
        cursor.execute("PRAGMA foreign_keys=ON")
        if max_bytes is not None:
            cursor.execute(f"PRAGMA max_page_count={max(1, max_bytes // PAGE_BYTES)}")
        if query_only:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()
        if mode not in {"wal", "memory"} or synchronous != 2:
            raise StoreError(
                f"SQLite gave journal mode {mode}, synchronous {synchronous}; durability needs WAL "
                "and FULL (2): is the file on a network file system?"
            )

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", start)


def _postgresql(url: URL) -> Connections:
    try:
        writing = create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True)
        reading = create_engine(url, pool_size=READERS, max_overflow=0, pool_pre_ping=True)
    except (NoSuchModuleError, ImportError) as error:
        raise ConfigurationError(
            [f"store URL: PostgreSQL needs emf-manager[postgresql] installed ({error})"]
        ) from error
    return Connections(writing, reading, in_memory=False)
