"""How the store opens, fails and ends: settings, schema, full disks, restarts."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, inspect

from emf_agent.errors import ConfigurationError
from emf_manager.records import LatestValue, NewAudit, NewEvent, Node
from emf_manager.store import connections, schema
from emf_manager.store.connections import connect, sqlite_url
from emf_manager.store.interface import Changes, StoreError, StoreFullError
from emf_manager.store.sql import open_store
from emf_manager.store.upgrade import bring_up_to_date, migrations

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the store works in threads


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manager.db"


async def test_a_store_is_there_after_a_restart(path: Path) -> None:
    async with open_store(sqlite_url(path)) as store:
        await store.record(Changes(nodes=(Node("oss1"),), events=(NewEvent(1.0, "x"),)))
    async with open_store(sqlite_url(path)) as store:
        loaded = await store.load()
    assert ([node.fqdn for node in loaded.nodes], loaded.last_event) == (["oss1"], 1)


@pytest.mark.slow
async def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    """A process of its own is started, which takes longer than a second."""
    program = f"""
        import anyio
        from emf_manager.records import NewEvent
        from emf_manager.store.interface import Changes
        from emf_manager.store.sql import open_store

        async def main():
            async with open_store({sqlite_url(path)!r}) as store:
                while True:
                    done = await store.record(Changes(events=(NewEvent(1.0, "x"),)))
                    print(done.events[0].sequence, flush=True)

        anyio.run(main)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline() for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [line for line in writer.stdout if line.endswith("\n")]
    async with open_store(sqlite_url(path)) as store:
        assert (await store.event_bounds())[1] >= int(acknowledged[-1])


async def test_the_file_is_its_owners_alone(path: Path) -> None:
    async with open_store(sqlite_url(path)):
        files = list(path.parent.glob("manager.db*"))
        assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}


async def test_another_process_can_write_while_the_store_is_open(path: Path) -> None:
    async with open_store(sqlite_url(path)) as ours, open_store(sqlite_url(path)) as theirs:
        await theirs.record(Changes(nodes=(Node("oss1"),)))
        await ours.record(Changes(nodes=(Node("oss2"),)))
        assert [node.fqdn for node in await ours.nodes()] == ["oss1", "oss2"]
        assert [node.fqdn for node in await theirs.nodes()] == ["oss1", "oss2"]


async def test_durability_settings_are_on_and_readers_cannot_write(path: Path) -> None:
    opened = connect(sqlite_url(path))
    for engine in (opened.writing, opened.reading):
        with engine.connect() as connection:
            said = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
            assert said == ["wal", 2, 1]
    with opened.reading.connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.exec_driver_sql("CREATE TABLE t (x)")
    opened.dispose()


async def test_writes_that_come_together_share_a_commit() -> None:
    commits: list[int] = []
    opened = connect("sqlite://")
    event.listen(opened.writing, "commit", lambda _: commits.append(1))
    bring_up_to_date(opened.writing)
    commits.clear()
    from emf_manager.store.sql import SqlStore
    from emf_manager.store.writer import Writer

    writer = Writer(opened.writing)
    store = SqlStore(opened, writer)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        async with anyio.create_task_group() as callers:
            for number in range(200):
                callers.start_soon(store.record, Changes(nodes=(Node(f"n{number}"),)))
        writer.close()
    assert 1 <= len(commits) <= 3
    opened.dispose()


async def test_a_full_store_says_so_and_works_again_when_there_is_room(path: Path) -> None:
    async with open_store(sqlite_url(path), max_bytes=400_000) as store:
        await store.record(Changes(nodes=(Node("oss1"),)))
        big = LatestValue("oss1", "host", "s1", 1, "x" * 600_000, 1.0)
        with pytest.raises(StoreFullError, match="free disk space"):
            await store.record(Changes(values=(big,), events=(NewEvent(1.0, "lost"),)))

        refused: list[str] = []

        async def write(name: str, body: str) -> None:
            try:
                await store.record(Changes(values=(LatestValue("oss1", name, "s", 1, body, 1.0),)))
            except StoreFullError:
                refused.append(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, "small", "x")
            tasks.start_soon(write, "big", "x" * 600_000)
            tasks.start_soon(write, "small too", "x")

        assert refused == ["big"]
        assert {value.daemon for value in await store.values()} == {"small", "small too"}
        assert await store.events() == ()


async def test_a_closed_store_takes_nothing(path: Path) -> None:
    async with open_store(sqlite_url(path)) as store:
        pass
    with pytest.raises(StoreError, match="closed"):
        await store.audit(NewAudit(1.0, "a", "b"))


async def test_what_was_asked_for_before_the_end_is_written(path: Path) -> None:
    async with anyio.create_task_group() as tasks, open_store(sqlite_url(path)) as store:
        for number in range(50):
            tasks.start_soon(store.record, Changes(nodes=(Node(f"n{number}"),)))
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
    async with open_store(sqlite_url(path)) as store:
        assert len(await store.nodes()) == 50


async def test_a_fault_of_ours_in_a_write_is_the_callers_alone(path: Path) -> None:
    async with open_store(sqlite_url(path)) as store:
        with pytest.raises(StoreError, match="not JSON serializable"):
            await store.record(Changes(events=(NewEvent(1.0, "x", body=object()),)))  # type: ignore[arg-type]
        await store.record(Changes(events=(NewEvent(1.0, "x"),)))
        assert await store.event_bounds() == (1, 1)


# The schema


async def test_migrations_lead_to_the_schema_of_the_tables(path: Path) -> None:
    config = migrations()
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD
    engine = create_engine(sqlite_url(path))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, schema.METADATA) == []
    engine.dispose()
    async with open_store(sqlite_url(path)) as store:
        loaded = await store.load()
        assert (loaded.epoch, loaded.last_event) == (1, 0)


async def test_an_older_database_is_migrated_when_it_is_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(sqlite_url(path)) as store:
        await store.record(Changes(nodes=(Node("oss1"),)))
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = 'before'")
    later = path.parent / "migrations"
    (later / "versions").mkdir(parents=True)
    shipped = Path(connections.__file__).parent / "migrations"
    (later / "env.py").write_text((shipped / "env.py").read_text())
    for name, before, step in (("before", None, "pass"), ("later", "before", ADDS_A_TABLE)):
        (later / "versions" / f"{name}.py").write_text(
            f"from alembic import op\nimport sqlalchemy as sa\n"
            f"revision = {name!r}\ndown_revision = {before!r}\n"
            f"def upgrade():\n    {step}\n"
        )
    config = migrations()
    config.set_main_option("script_location", str(later))
    monkeypatch.setattr("emf_manager.store.upgrade.migrations", lambda: config)
    monkeypatch.setattr(schema, "HEAD", "later")

    async with open_store(sqlite_url(path)) as store:
        assert [node.fqdn for node in await store.nodes()] == ["oss1"]
    engine = create_engine(sqlite_url(path))
    assert "racks" in inspect(engine).get_table_names()
    engine.dispose()


ADDS_A_TABLE = "op.create_table('racks', sa.Column('name', sa.Text, primary_key=True))"


async def test_a_database_of_a_newer_version_is_left_alone(path: Path) -> None:
    async with open_store(sqlite_url(path)):
        pass
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"schema 9999.*newer"):
        async with open_store(sqlite_url(path)):
            pass


async def test_a_database_that_is_not_ours_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE songs (title)")
    with pytest.raises(StoreError, match=r"songs.*not an emf-manager's"):
        async with open_store(sqlite_url(path)):
            pass


@pytest.mark.parametrize(
    "content", [b"hello, I am not a database at all, and long enough to see", b"\x00" * 5000]
)
async def test_a_file_that_is_no_database_is_named_as_such(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"not a database|malformed"):
        async with open_store(sqlite_url(path)):
            pass
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("not a url", "store URL"),
        ("mysql://x/y", "sqlite:///FILE or postgresql"),
        ("mysql://maria:hunter2@x/y", r"maria:\*\*\*@"),
    ],
)
async def test_a_wrong_url_is_a_configuration_error(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        async with open_store(url):
            pass


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere/manager\.db: cannot be opened"):
        async with open_store(sqlite_url(tmp_path / "nowhere" / "manager.db")):
            pass


async def test_a_database_that_does_not_answer_is_a_store_error() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="the store failed"):
        async with open_store("postgresql://emf@/none?host=/nonexistent"):
            pass
