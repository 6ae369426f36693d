"""A manager's side of mailboxes: one in memory, and one that speaks HTTP through it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from emf_agent.errors import EmfError, ManagerUnreachableError
from emf_plugins_lustre.mailboxes.sender import Address, Chunk, Receipt, UnknownMailboxError

__all__ = ["FakeMailboxes"]


@dataclass
class FakeMailboxes:
    """Stores lines of streams, exactly where they belong; fails as it is told."""

    lines: dict[str, list[bytes]] = field(default_factory=dict)
    """What was stored, by address."""
    ends: list[str] = field(default_factory=list)
    """Streams that were ended."""
    chunks: list[tuple[str, Chunk]] = field(default_factory=list)
    failures: list[EmfError | str] = field(default_factory=list)
    """For the next chunks: an error before storing, ``"lost answer"`` after it."""
    unknown: set[str] = field(default_factory=set)
    away: bool = False
    knows_streams: bool = True
    most_stored: int | None = None
    """Of one chunk; the rest is not taken."""
    _offsets: dict[str, int] = field(default_factory=dict)
    _moved: anyio.Event | None = None

    async def send(self, address: Address, chunk: Chunk) -> Receipt:
        """Take a chunk as the manager does."""
        self.chunks.append((str(address), chunk))
        await anyio.sleep(0)
        if self.away:
            raise ManagerUnreachableError("https://manager", "away")
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, EmfError):
            raise failure
        if address.name in self.unknown:
            raise UnknownMailboxError(address)
        receipt = self._take(address, chunk)
        if failure is not None:
            raise ManagerUnreachableError("https://manager", failure)
        return receipt

    def _take(self, address: Address, chunk: Chunk) -> Receipt:
        have = self._offsets.get(chunk.stream_id, 0)
        if not self.knows_streams:
            have = chunk.offset
        if chunk.offset > have:
            return Receipt(have)
        fresh: Sequence[bytes] = chunk.lines[have - chunk.offset :][: self.most_stored]
        self.lines.setdefault(str(address), []).extend(fresh)
        self._offsets[chunk.stream_id] = have + len(fresh)
        if chunk.last:
            self.ends.append(chunk.stream_id)
        if self._moved is not None:
            self._moved.set()
        return Receipt(have + len(fresh), resumable=self.knows_streams)

    def forget(self) -> None:
        """Lose all streams, as a manager that was restored from a backup."""
        self._offsets.clear()
        self.lines.clear()

    async def stored(self, address: str, count: int) -> list[bytes]:
        """Wait until an address has as many lines, and return them."""
        with anyio.fail_after(30):
            while len(self.lines.get(address, ())) < count:
                self._moved = anyio.Event()
                await self._moved.wait()
        return self.lines[address]

    def fids(self, mailbox: str) -> list[str]:
        """Return the FIDs that a mailbox got."""
        return [json.loads(line)["fid"] for line in self.lines.get(f"mailbox {mailbox}", ())]

    @asynccontextmanager
    async def door(self) -> AsyncIterator[FakeMailboxes]:
        """Be what ``open_sender`` gives."""
        yield self
