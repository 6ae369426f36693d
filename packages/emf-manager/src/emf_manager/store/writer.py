"""One writer with group commit: what is asked for while a commit runs goes into the next one.

A write that finds the writer idle is committed at once; under load commits start 5 ms apart and
each carries all that came in. Every caller is told after the commit, and a write that fails is
undone alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from emf_agent.errors import EmfError
from emf_manager.store.connections import explain_failure
from emf_manager.store.interface import StoreError

__all__ = ["Writer", "Written", "commit_group"]

logger = logging.getLogger(__name__)

WINDOW_S = 0.005
GROUP = 512
"""Writes in one commit; the rest wait for the next."""

T = TypeVar("T")
Work = Callable[[Connection], Any]


class Pending:
    """One write, from asked to answered."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.done = anyio.Event()
        self.result: Any = None
        self.error: Exception | None = StoreError("the store was closed before this was written")


@dataclass
class Written:
    """What a writer has done so far."""

    commits: int = 0
    writes: int = 0
    failures: int = 0
    seconds: float = 0.0
    """Spent in commits."""


class Writer:
    """Owns the write connection; ``run`` is a task of the store's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: list[Pending] = []
        self._wake = anyio.Event()
        self._closing = False
        self._thread = anyio.CapacityLimiter(1)
        self.written = Written()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Have the work done in a transaction, and return its result after the commit.

        The work may be done twice, the first time rolled back: it must act on the connection only.

        Raises:
            StoreError: it could not be done, or the store is closed. What the work raised.

        """
        if self._closing:
            raise StoreError("the store is closed")
        pending = Pending(work)
        self._queue.append(pending)
        self._wake.set()
        await pending.done.wait()
        if pending.error is not None:
            raise pending.error
        return cast(T, pending.result)

    async def run(self) -> None:
        """Commit group after group until closed; then what is still waiting, and end."""
        try:
            while self._queue or not self._closing:
                await self._wake.wait()
                if not self._closing:
                    self._wake = anyio.Event()
                while self._queue:
                    await self._commit_next()
        finally:
            self._closing = True
            for pending in self._queue:
                pending.done.set()

    def close(self) -> None:
        """Take nothing more; ``run`` ends when what waits is written."""
        self._closing = True
        self._wake.set()

    async def _commit_next(self) -> None:
        not_before = anyio.current_time() + WINDOW_S
        group, self._queue = self._queue[:GROUP], self._queue[GROUP:]
        began = time.monotonic()
        try:
            await anyio.to_thread.run_sync(commit_group, self._engine, group, limiter=self._thread)
        finally:
            self._count(group, time.monotonic() - began)
            for pending in group:
                pending.done.set()
        if self._queue:
            await anyio.sleep_until(not_before)

    def _count(self, group: Sequence[Pending], seconds: float) -> None:
        self.written.commits += 1
        self.written.writes += len(group)
        self.written.failures += sum(pending.error is not None for pending in group)
        self.written.seconds += seconds


def commit_group(engine: Engine, group: Sequence[Pending]) -> None:
    """Do all the work in one transaction; what fails is undone alone.

    A database error that is not about one statement's data may have ended the transaction under
    our feet (a full disk does), so then each is done in a transaction of its own.
    """
    if len(group) > 1 and _commit_together(engine, group):
        return
    for pending in group:
        try:
            with engine.begin() as connection:
                pending.result = pending.work(connection)
            pending.error = None
        except Exception as error:  # noqa: BLE001 - it is the caller's, and raised there
            pending.error = _told(error)


def _commit_together(engine: Engine, group: Sequence[Pending]) -> bool:
    try:
        with engine.begin() as connection:
            failures = [_try_one(connection, pending) for pending in group]
    except (SQLAlchemyError, EmfError) as error:
        logger.warning("a group of %d writes failed, each is tried alone: %s", len(group), error)
        return False
    for pending, failure in zip(group, failures, strict=True):
        pending.error = failure
    return True


def _try_one(connection: Connection, pending: Pending) -> Exception | None:
    """Do one in a savepoint; return what was wrong with it alone."""
    try:
        with connection.begin_nested():
            pending.result = pending.work(connection)
    except DBAPIError as error:
        if not isinstance(error, IntegrityError | DataError):
            raise
        return _told(error)
    except Exception as error:  # noqa: BLE001 - it is the caller's, and raised there
        return _told(error)
    return None


def _told(error: Exception) -> Exception:
    """Return the error for the caller: ours as it is, the database's as a StoreError."""
    if isinstance(error, EmfError):
        return error
    if isinstance(error, DBAPIError):
        return explain_failure(error)
    logger.error("a write failed by a fault of ours", exc_info=error)
    told = StoreError(f"a fault of the manager while writing: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told
