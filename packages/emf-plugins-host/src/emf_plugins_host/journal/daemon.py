"""Daemon ``journal``: follows the systemd journal from where the manager's copy ends."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from time import time
from typing import ClassVar, Literal

import anyio
import anyio.to_thread

from emf_agent.command import CommandFailedError, CommandNotFoundError, open_command
from emf_agent.plugin import Daemon, NotApplicableError, Payload
from emf_plugins_host.journal.cursor_file import load_cursor, save_cursor
from emf_plugins_host.journal.intake import Intake, JournalSettings
from emf_plugins_host.journal_entries import (
    FIELDS,
    Entry,
    ExportParser,
    JournalLine,
    entries,
    journal_line,
)

__all__ = ["Journal"]

logger = logging.getLogger(__name__)

MOST_UNCONFIRMED = 8
"""Batches that wait for the manager; beyond that the journal itself keeps what comes."""


class Journal(Daemon):
    """Every entry of the journal once and in order, also over restarts of agent and manager."""

    name: ClassVar[str] = "journal"
    delivery: ClassVar[Literal["latest", "every"]] = "every"

    def __init__(
        self, settings: JournalSettings | None = None, *, wall_clock: Callable[[], float] = time
    ) -> None:
        self._settings = settings or JournalSettings()
        self._wall_clock = wall_clock
        self._intake = Intake(self._settings)
        self._position: str | None = None
        self._unconfirmed: deque[tuple[list[JournalLine], str]] = deque()
        self._room = anyio.Event()

    async def start_session(self) -> list[JournalLine] | None:
        """Read on from the durable cursor, or the newest entries where there is none; one batch.

        Raises:
            NotApplicableError: this node has no journal.

        """
        directory = self.context.state_directory
        self._position = await anyio.to_thread.run_sync(load_cursor, directory)
        try:
            await self._read_first()
        except CommandNotFoundError as error:
            raise NotApplicableError(f"this node has no systemd journal: {error}") from error
        except CommandFailedError as error:
            if self._position is None:
                raise
            # The journal was removed, or belongs to another machine now.
            logger.warning("cursor=%s is of no use, beginning anew: %s", self._position, error)
            self._position = None
            await self._read_first()
        return await self.update_session()

    async def _read_first(self) -> None:
        newest = f"--lines={self._settings.first_entries}"
        start = newest if self._position is None else f"--after-cursor={self._position}"
        await self._read([start], self._take_until_full)

    async def update_session(self) -> list[JournalLine] | None:
        """Return the next batch, if there is one and the manager is not behind already."""
        if len(self._unconfirmed) >= MOST_UNCONFIRMED:
            return None
        batch = self._intake.take()
        if batch is None:
            return None
        self._room.set()
        lines = [journal_line(entry) for entry in batch.entries]
        self._unconfirmed.append((lines, batch.cursor))
        if not self._intake.is_empty:
            self.context.wake()
        return lines

    async def watch_session(self) -> None:
        """Follow the journal for as long as the session lives."""
        start = ["--lines=0"] if self._position is None else [f"--after-cursor={self._position}"]
        await self._read(["--follow", "--no-tail", *start], self._take_and_wake)

    async def _take_until_full(self, entry: Entry) -> bool:
        await self._take(entry)
        return not self._intake.is_full

    async def _take_and_wake(self, entry: Entry) -> bool:
        while self._intake.is_full:
            self._room = anyio.Event()
            await self._room.wait()
        await self._take(entry)
        self.context.wake()
        return True

    async def _take(self, entry: Entry) -> None:
        """Put an entry into the queue, at the permitted rate."""
        while True:
            now = anyio.current_time()
            wait_s = self._intake.offer(entry, now=now, wall_clock=self._wall_clock())
            if wait_s == 0:
                break
            await anyio.sleep(wait_s)
        self._position = entry.cursor

    async def _read(
        self, arguments: Sequence[str], take: Callable[[Entry], Awaitable[bool]]
    ) -> None:
        """Give what journalctl prints to ``take``, as slowly as that takes it, until it says no."""
        argv = [
            "journalctl",
            "--output=export",
            f"--output-fields={','.join(FIELDS)}",
            f"--priority={self._settings.least_priority}",
            "--no-pager",
            "--quiet",
            *arguments,
        ]
        parser = ExportParser()
        async with open_command(argv, grace_s=0) as stream:
            while data := await stream.read():
                for entry in entries(parser.feed(data)):
                    if not await take(entry):
                        return
            await stream.finished()

    async def delivered(self, payload: Payload) -> None:
        """Write down that everything up to the end of this batch need not be read again."""
        for position, (lines, cursor) in enumerate(self._unconfirmed):
            if lines is payload:
                for _ in range(position + 1):
                    self._unconfirmed.popleft()
                directory = self.context.state_directory
                await anyio.to_thread.run_sync(save_cursor, directory, cursor)
                break
        if not self._intake.is_empty:
            self.context.wake()
