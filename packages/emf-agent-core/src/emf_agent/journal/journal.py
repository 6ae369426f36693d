"""The journal as the loops see it: awaitable, one call at a time, our errors only."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread

from emf_agent.errors import JournalError
from emf_agent.journal.disk import JournalInUseError
from emf_agent.journal.store import Limits, Store
from emf_agent.journal.values import (
    Acceptance,
    Accepted,
    Conflict,
    Finished,
    Identity,
    Known,
    Outcome,
    PendingEvents,
    Recovery,
    Unacknowledged,
)

__all__ = ["Journal", "open_journal"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Witness(Protocol):
    """Whoever keeps a record of its own; an action that it cannot note is not taken or begun.

    Called in the journal's worker thread, beside the record itself: one way there for both.
    """

    def accepted(self, order: Acceptance) -> None:
        """Hear of a new order, before it is taken; JournalError."""
        ...

    def started(self, action_id: str) -> None:
        """Hear of a start, before its effect; JournalError."""
        ...

    def ended(self, action_id: str, outcome: Outcome) -> None:
        """Hear how it ended."""
        ...


class Journal:
    """The agent's durable memory; every method that writes returns when it is on the disk.

    Each raises JournalError where the disk is full, read-only or broken. Secrets are the caller's
    to take out of arguments and results before.
    """

    def __init__(self, store: Store | None, fault: str | None) -> None:
        self._store = store
        self.fault = fault
        """Why there is no journal: the agent then runs and reports, but takes no actions."""
        self.witness: Witness | None = None
        self._one_at_a_time = anyio.CapacityLimiter(1)

    @property
    def identity(self) -> Identity:
        """Return which journal this is and how far it has come; an empty id where there is none."""
        return Identity("", 0) if self._store is None else self._store.identity

    @property
    def moved_aside(self) -> Path | None:
        """Return where a broken predecessor went at this start: its memory is lost."""
        return None if self._store is None else self._store.moved_aside

    async def _call(self, call: Callable[[Store], T]) -> T:
        if self._store is None:
            raise JournalError(self.fault or "the journal is closed")
        # Never abandoned: a caller that is cancelled still learns whether it is on the disk.
        return await anyio.to_thread.run_sync(
            partial(translated, call, self._store), limiter=self._one_at_a_time
        )

    async def known(self, action_id: str) -> Known | None:
        """Return what is known of an id, changing nothing; None where it was never taken."""
        return await self._call(lambda store: store.known(action_id))

    async def accept(self, acceptance: Acceptance) -> Accepted | Known:
        """Take an action on: once per id, as long as its tombstone lives.

        Also raises JournalError where the disk has less free space than the floor.
        """

        def accept(store: Store) -> Accepted | Known:
            if self.witness is not None and store.known(acceptance.id) is None:
                self.witness.accepted(acceptance)
            return store.accept(acceptance)

        return await self._call(accept)

    async def start(self, action_id: str) -> None:
        """Record that the effect begins; it may only begin after this has returned.

        Raises NotStartableError where it was begun before, has ended, or has expired.
        """

        def start(store: Store) -> None:
            store.start(action_id)
            if self.witness is not None:
                self.witness.started(action_id)

        await self._call(start)

    async def finish(self, action_id: str, outcome: Outcome) -> Finished | Conflict:
        """Record how it ended; it may only be told after this has returned. The first stays."""

        def finish(store: Store) -> Finished | Conflict:
            finished = store.finish(action_id, outcome)
            if self.witness is not None and isinstance(finished, Finished):
                self.witness.ended(action_id, outcome)
            return finished

        return await self._call(finish)

    async def outcome(self, action_id: str) -> Outcome | None:
        """Return how an action ended; None if it has not, or is not known."""
        return await self._call(lambda store: store.outcome(action_id))

    async def unacknowledged(self, limit: int = 100) -> list[Unacknowledged]:
        """Return outcomes that the manager has not confirmed, oldest first."""
        return await self._call(lambda store: store.unacknowledged(limit))

    async def acknowledge(self, action_ids: Collection[str]) -> None:
        """Note that the manager has these outcomes; unknown ids change nothing."""
        await self._call(lambda store: store.acknowledge(action_ids))

    async def recover(self) -> Recovery:
        """Settle what a former process had begun; once, before anything runs."""
        if self._store is None:
            return Recovery()
        return await self._call(Store.recover)

    async def collect_garbage(self) -> int:
        """Remove tombstones that are due and tidy the files; to be called when idle."""
        return await self._call(Store.collect_garbage)

    async def append_event(self, daemon: str, payload_json: str) -> int:
        """Keep a daemon's event until it is confirmed; return its number, counted from 1."""
        return await self._call(lambda store: store.append_event(daemon, payload_json))

    async def pending_events(self, daemon: str, limit: int = 100) -> PendingEvents:
        """Return a daemon's oldest events, and the gap before them where some were dropped."""
        return await self._call(lambda store: store.pending_events(daemon, limit))

    async def acknowledge_events(self, daemon: str, up_to: int) -> None:
        """Forget a daemon's events up to a number that the manager has confirmed."""
        await self._call(lambda store: store.acknowledge_events(daemon, up_to))

    async def close(self) -> None:
        """Close the files; later calls raise JournalError."""
        store, self._store = self._store, None
        if store is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(store.close, limiter=self._one_at_a_time)


def translated(call: Callable[[Store], T], store: Store) -> T:
    """Turn what SQLite and the system say into a JournalError that tells what to do."""
    try:
        return call(store)
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"the journal takes no record: {error}; {advice(error)}") from error


def advice(error: Exception) -> str:
    """Return the next move for an operator."""
    text = str(error)
    if "full" in text or "No space" in text:
        return "free some space on its file system"
    if "readonly" in text or "Read-only" in text:
        return "make its file system writable"
    return "look at its disk; a restart of the agent moves a broken file aside"


def no_fault(_: str) -> None:
    """Let every fault point pass."""


@asynccontextmanager
async def open_journal(
    directory: Path,
    *,
    wall_clock: Callable[[], float],
    limits: Limits | None = None,
    fault: Callable[[str], None] = no_fault,
) -> AsyncGenerator[Journal, None]:
    """Open the journal in a directory of its own, creating it where it is missing.

    Raises JournalInUseError where another process holds the directory; never fails for the state of
    the disk: a broken file is moved aside (``moved_aside``), and where
    nothing can be opened at all the journal says so (``fault``) and refuses every action.
    ``wall_clock`` gives seconds since 1970; ``fault`` is called in the worker thread with names
    like ``started:before`` around each durable point, for tests that end the process there.
    """
    try:
        store, why = (
            await anyio.to_thread.run_sync(
                partial(
                    translated_open,
                    directory,
                    wall_clock=wall_clock,
                    limits=limits or Limits(),
                    fault=fault,
                )
            ),
            None,
        )
    except JournalInUseError:
        raise
    except JournalError as error:
        logger.error("no journal path=%s why=%s", directory, error)
        store, why = None, f"{error}, then restart the agent"
    journal = Journal(store, why)
    try:
        yield journal
    finally:
        await journal.close()


def translated_open(
    directory: Path,
    *,
    wall_clock: Callable[[], float],
    limits: Limits,
    fault: Callable[[str], None],
) -> Store:
    """Open the store with our errors only."""
    try:
        return Store(directory, wall_clock=wall_clock, limits=limits, fault=fault)
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"{directory}: {error}; {advice(error)}") from error
