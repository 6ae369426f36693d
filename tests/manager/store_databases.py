"""The databases the store is tested over, and a PostgreSQL server of our own while tests run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

__all__ = ["DATABASES", "empty_postgresql", "postgresql_server"]

DATABASES = [
    pytest.param("memory", id="sqlite-in-memory"),
    pytest.param("file", id="sqlite-file"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.slow),  # a server is started
]
PLACES = (
    *os.environ.get("PATH", "").split(":"),
    *map(str, Path("/usr/lib/postgresql").glob("*/bin")),
)


@contextmanager
def postgresql_server() -> Generator[str, None, None]:
    """Yield the URL of a PostgreSQL: that of EMF_TEST_POSTGRESQL, or one started for this run."""
    if url := os.environ.get("EMF_TEST_POSTGRESQL"):
        yield url
        return
    pytest.importorskip("psycopg", reason="PostgreSQL: psycopg is not installed")
    initdb = shutil.which("initdb", path=":".join(PLACES))
    if initdb is None:
        pytest.skip("PostgreSQL is not installed, and EMF_TEST_POSTGRESQL names no server")
    bin_dir = Path(initdb).resolve().parent
    account = "postgres" if os.getuid() == 0 else None
    place = Path(tempfile.mkdtemp(prefix="emf-pg-"))
    if account:
        shutil.chown(place, account)

    def run(program: str, *arguments: str | Path) -> None:
        line = [bin_dir / program, "-D", place / "data", *arguments]
        subprocess.run(line, user=account, cwd=place, check=True, stdout=subprocess.DEVNULL)

    options = f"-c listen_addresses= -c unix_socket_directories={place} -c fsync=off"
    try:
        run("initdb", "-U", "emf", "-A", "trust", "--no-sync")
        run("pg_ctl", "-w", "-l", place / "log", "-o", options, "start")
        try:
            yield f"postgresql://emf@/postgres?host={place}"
        finally:
            run("pg_ctl", "-m", "fast", "stop")
    finally:
        shutil.rmtree(place)


def empty_postgresql(url: str) -> str:
    """Drop everything in the database, and return its URL."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return url
