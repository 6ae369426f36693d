"""The real journal without its worker thread, so that it works in virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio.lowlevel

from emf_agent.errors import JournalError
from emf_agent.journal import FreeSpaceFloor, Journal, Limits
from emf_agent.journal.journal import translated
from emf_agent.journal.store import Store

__all__ = ["open_unthreaded_journal"]

T = TypeVar("T")
ANYTHING_GOES = Limits(floor=FreeSpaceFloor(0, 0.0))


class UnthreadedJournal(Journal):
    """Calls SQLite on the loop itself."""

    async def _call(self, call: Callable[[Store], T]) -> T:
        if self._store is None:
            raise JournalError(self.fault or "the journal is closed")
        await anyio.lowlevel.checkpoint()
        return translated(call, self._store)


@asynccontextmanager
async def open_unthreaded_journal(
    directory: Path,
    *,
    wall_clock: Callable[[], float],
    limits: Limits = ANYTHING_GOES,
    fault: Callable[[str], None] = lambda _: None,
) -> AsyncGenerator[Journal]:
    """Open a journal as :func:`emf_agent.journal.open_journal` does, for a test."""
    store = Store(directory, wall_clock=wall_clock, limits=limits, fault=fault)
    try:
        yield UnthreadedJournal(store, None)
    finally:
        store.close()
