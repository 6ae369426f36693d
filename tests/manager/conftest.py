"""The databases that everything which is kept is tested over."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from emf_manager.store.connections import sqlite_url
from tests.manager.store_databases import DATABASES, empty_postgresql, postgresql_server


@pytest.fixture(scope="session")
def postgresql() -> Generator[str, None, None]:
    """Return the URL of a server for all tests of this process."""
    with postgresql_server() as url:
        yield url


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database: SQLite's in memory, its file, and PostgreSQL."""
    match request.param:
        case "memory":
            return "sqlite://"
        case "file":
            return sqlite_url(tmp_path / "manager.db")
        case _:
            return empty_postgresql(request.getfixturevalue("postgresql"))
