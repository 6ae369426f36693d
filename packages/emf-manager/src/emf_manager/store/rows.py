"""Between records and rows: the same names on both sides, nested outcomes laid flat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Connection, RowMapping, Table
from sqlalchemy.dialects import postgresql, sqlite

from emf_manager.authorization import Mandate
from emf_manager.records import Node, Orphan, Outcome, Target, User

__all__ = [
    "insert_new",
    "mandates_column",
    "outcome_columns",
    "read",
    "read_node",
    "read_orphan",
    "read_target",
    "read_user",
    "row_of",
    "target_row",
    "upsert",
    "user_row",
]

Record = TypeVar("Record")


def row_of(record: Any) -> dict[str, Any]:
    """Return a flat record as a row."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def read(kind: type[Record], row: Mapping[Any, Any]) -> Record:
    """Return a row as a flat record."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # always a record
    return kind(**{name: row[name] for name in names})


def read_node(row: RowMapping) -> Node:
    return read(Node, {**row, "superseded": tuple(row["superseded"])})


def outcome_columns(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as the columns that targets and orphans share."""
    return {
        "outcome": outcome.kind,
        "outcome_by": outcome.by,
        "outcome_at": outcome.at,
        "result": outcome.result,
        "reason": outcome.reason,
        "seconds": outcome.seconds,
        "truncated": outcome.truncated,
    }


def read_outcome(row: RowMapping) -> Outcome | None:
    if row["outcome"] is None:
        return None
    return Outcome(
        action_id=row["action_id"],
        node=row["node"],
        kind=row["outcome"],
        at=row["outcome_at"],
        by=row["outcome_by"],
        result=row["result"],
        reason=row["reason"],
        seconds=row["seconds"],
        truncated=row["truncated"],
    )


def target_row(target: Target) -> dict[str, Any]:
    row = row_of(target)
    del row["outcome"]
    return row


def read_target(row: RowMapping) -> Target:
    return read(Target, {**row, "outcome": read_outcome(row)})


def read_orphan(row: RowMapping) -> Orphan:
    outcome = read_outcome(row)
    assert outcome is not None
    return Orphan(row["node"], row["action_id"], outcome)


def user_row(user: User) -> dict[str, Any]:
    return {**row_of(user), "mandates": mandates_column(user.mandates)}


def read_user(row: RowMapping) -> User:
    mandates = tuple(
        Mandate(
            nodes=one["nodes"],
            actions=tuple(one["actions"]),
            args={name: tuple(values) for name, values in one["args"].items()},
        )
        for one in row["mandates"] or ()
    )
    return read(User, {**row, "mandates": mandates})


def mandates_column(mandates: Sequence[Mandate]) -> JsonValue:
    return [asdict(one) for one in mandates] or None


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    keep: Collection[str] = (),
    unless: ColumnElement[bool] | None = None,
) -> None:
    """Insert rows, or replace those with the same primary key, but for the columns to keep.

    A row that is there, and of which ``unless`` holds, stays as it is.
    """
    if not rows:
        return
    statement = _insert(connection, table)
    key = [column.name for column in table.primary_key]
    new = {
        name: statement.excluded[name]
        for name in (column.name for column in table.columns)
        if name not in key and name not in keep
    }
    where = None if unless is None else ~unless
    merged = statement.on_conflict_do_update(index_elements=key, set_=new, where=where)
    connection.execute(merged, list(rows))


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless something unique about it is there; tell whether it went in."""
    statement = _insert(connection, table).on_conflict_do_nothing()
    counted = {"preserve_rowcount": True}
    return connection.execute(statement, dict(row), execution_options=counted).rowcount == 1


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
