"""Blocks of the history in the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection, delete, func, select, tuple_

from emf_manager.store import schema as t
from emf_manager.store.history import HistoryRow
from emf_manager.store.rows import read, row_of, upsert

__all__ = ["SqlHistory"]

AT_ONCE = 2000
"""Rows dropped in one transaction: everybody else's writes wait for it."""

T = TypeVar("T")


class Work(Protocol):
    """Has work done on a connection: in a read, or in one transaction of the writer's."""

    def __call__(self, work: Callable[[Connection], T], /) -> Awaitable[T]:
        """Do it, and return what it returned."""
        ...


class SqlHistory:
    """A ``HistoryStore`` over the reads and writes of an ``SqlStore``."""

    def __init__(self, reading: Work, writing: Work) -> None:
        self._read = reading
        self._write = writing

    async def add(self, rows: Sequence[HistoryRow]) -> None:
        def keep(connection: Connection) -> None:
            named = {row.node for row in rows}
            here = select(t.nodes.c.fqdn).where(
                t.nodes.c.fqdn.in_(named), t.nodes.c.state != "removed"
            )
            known = set(connection.execute(here).scalars())
            upsert(connection, t.history, [row_of(row) for row in rows if row.node in known])

        await self._write(keep)

    async def read(
        self, node: str, daemon: str, step: int, *, after: float, before: float, limit: int = 1000
    ) -> tuple[HistoryRow, ...]:
        mine = t.history.c
        wanted = (
            select(t.history)
            .where(mine.node == node, mine.daemon == daemon, mine.step == step)
            .where(mine.until > after, mine.start < before)
            .order_by(mine.start)
            .limit(limit)
        )
        return await self._read(
            lambda c: tuple(read(HistoryRow, row) for row in c.execute(wanted).mappings())
        )

    async def reach(self, node: str, daemon: str, step: int) -> float | None:
        mine = t.history.c
        wanted = select(func.max(mine.until)).where(
            mine.node == node, mine.daemon == daemon, mine.step == step
        )
        return await self._read(lambda c: c.execute(wanted).scalar_one())

    async def daemons(self, *, node: str | None = None, step: int) -> tuple[tuple[str, str], ...]:
        mine = t.history.c
        wanted = select(mine.node, mine.daemon).where(mine.step == step).distinct()
        if node is not None:
            wanted = wanted.where(mine.node == node)
        return await self._read(
            lambda c: tuple((row.node, row.daemon) for row in c.execute(wanted))
        )

    async def prune(self, step: int, *, before: float) -> int:
        mine = t.history.c
        key = (mine.node, mine.daemon, mine.step, mine.start)
        some = select(*key).where(mine.step == step, mine.until < before).limit(AT_ONCE)
        old = delete(t.history).where(tuple_(*key).in_(some))
        gone = last = await self._write(lambda c: c.execute(old).rowcount)
        while last == AT_ONCE:
            last = await self._write(lambda c: c.execute(old).rowcount)
            gone += last
        return gone
