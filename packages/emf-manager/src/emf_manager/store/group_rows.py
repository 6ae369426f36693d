"""Groups of nodes in the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Connection, delete, select

from emf_manager.store import schema as t
from emf_manager.store.groups import Group
from emf_manager.store.rows import read, row_of, upsert
from emf_manager.store.writer import Writer

__all__ = ["SqlGroups"]

Read = Callable[[Callable[[Connection], Any]], Awaitable[Any]]


class SqlGroups:
    """A ``GroupStore``."""

    def __init__(self, writer: Writer, read: Read) -> None:
        self._writer = writer
        self._read = read

    async def listed(self) -> tuple[Group, ...]:
        found: tuple[Group, ...] = await self._read(listed)
        return found

    async def put(self, group: Group) -> bool:
        return await self._writer.write(lambda c: put(c, group))

    async def remove(self, name: str) -> bool:
        mine = delete(t.groups).where(t.groups.c.name == name)
        return await self._writer.write(lambda c: c.execute(mine).rowcount == 1)


def listed(connection: Connection) -> tuple[Group, ...]:
    rows = connection.execute(select(t.groups).order_by(t.groups.c.name)).mappings()
    return tuple(read(Group, row) for row in rows)


def put(connection: Connection, group: Group) -> bool:
    mine = select(t.groups.c.name).where(t.groups.c.name == group.name)
    known = connection.execute(mine).first() is not None
    upsert(connection, t.groups, [row_of(group)])
    return not known
