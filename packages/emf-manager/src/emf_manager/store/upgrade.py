"""Bringing a database to the schema of this version: made at once when new, migrated when older."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from emf_manager.store import schema as t
from emf_manager.store.connections import explain_failure
from emf_manager.store.interface import StoreError
from emf_manager.store.rows import insert_new

__all__ = ["bring_up_to_date", "migrations"]

logger = logging.getLogger(__name__)


def migrations() -> Config:
    """Return Alembic's configuration for the migrations that ship with the package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def bring_up_to_date(engine: Engine) -> None:
    """Make or migrate the schema, in one transaction.

    Raises:
        StoreError: the database is of a newer version, is not ours, or fails.

    """
    try:
        with engine.begin() as connection:
            _bring(connection)
    except DBAPIError as error:
        raise explain_failure(error) from error


def _bring(connection: Connection) -> None:
    context = MigrationContext.configure(connection)
    current = context.get_current_revision()
    if current == t.HEAD:
        return
    config = migrations()
    script = ScriptDirectory.from_config(config)
    if current is None:
        _make(connection, context, script)
        return
    if current not in {one.revision for one in script.walk_revisions()}:
        raise StoreError(
            f"the database has schema {current}, this version knows up to {t.HEAD}; "
            "start the newer emf-manager that made it, or restore a backup"
        )
    logger.info("migrating the database from schema %s to %s", current, t.HEAD)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _make(connection: Connection, context: MigrationContext, script: ScriptDirectory) -> None:
    if found := inspect(connection).get_table_names():
        raise StoreError(
            f"the database has tables ({', '.join(sorted(found)[:3])}, …) but is not an "
            "emf-manager's; name another one"
        )
    t.METADATA.create_all(connection)
    for name in t.COUNTERS:
        value = 1 if name == "epoch" else 0
        insert_new(connection, t.counters, {"name": name, "value": value})
    context.stamp(script, t.HEAD)
