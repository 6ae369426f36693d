"""Send lines in order and exactly once each: cut, count, try again, go on where the manager is."""

from __future__ import annotations

import logging
import math
import random
import uuid
from collections.abc import Iterable, Sequence

import anyio

from emf_agent.errors import ManagerUnreachableError
from emf_plugins_lustre.mailboxes.sender import (
    Address,
    Chunk,
    ChunkTooLargeError,
    MailboxSender,
    StreamRewoundError,
)

__all__ = ["CHUNK_LINES", "LineStream", "chunks_of"]

logger = logging.getLogger(__name__)

CHUNK_LINES = 1000
CHUNK_BYTES = 1024 * 1024
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


def chunks_of(lines: Iterable[bytes]) -> Iterable[tuple[bytes, ...]]:
    """Cut lines into chunks of bounded count and size; a line longer than that goes alone."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if chunk and (len(chunk) == CHUNK_LINES or size + len(line) > CHUNK_BYTES):
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(line)
        size += len(line) + 1
    if chunk:
        yield tuple(chunk)


class LineStream:
    """One stream of lines to one address."""

    def __init__(
        self,
        sender: MailboxSender,
        address: Address,
        *,
        stream_id: str | None = None,
        offset: int = 0,
        patience_s: float = math.inf,
    ) -> None:
        self._sender = sender
        self._address = address
        self._stream_id = stream_id or uuid.uuid4().hex
        self._patience_s = patience_s
        self._position = offset
        self._stored = offset
        self._resumable = True
        self.rejected = 0
        """Lines that the manager had no use for."""

    @property
    def delivered(self) -> int:
        """Return how many lines of the stream were given and are stored."""
        return min(self._position, self._stored)

    async def send(self, lines: Sequence[bytes]) -> None:
        """Return once all these lines are stored.

        A manager that is away is tried again, ``patience_s`` from its last sign of life.

        Raises:
            ManagerUnreachableError: patience is over.
            StreamRewoundError: the manager lost lines that were given before.
            UnknownMailboxError, ManagerRefusedError: see the sender.

        """
        for chunk in chunks_of(lines):
            await self._store(chunk)

    async def finish(self) -> None:
        """Tell the manager that no more comes; one that knows no streams is told nothing."""
        if self._resumable:
            await self._try(Chunk(self._stream_id, self._position, (), last=True))

    async def _store(self, lines: tuple[bytes, ...]) -> None:
        end = self._position + len(lines)
        while self._stored < end:
            # Of a repetition, only what the manager has not seen.
            rest = lines[len(lines) - (end - max(self._stored, self._position)) :]
            before = self._stored
            await self._try_split(Chunk(self._stream_id, end - len(rest), rest))
            if self._stored == before:
                raise ManagerUnreachableError(
                    str(self._address), "it acknowledged nothing of a chunk"
                )
        self._position = end

    async def _try_split(self, chunk: Chunk) -> None:
        try:
            await self._try(chunk)
        except ChunkTooLargeError:
            if len(chunk.lines) < 2:
                raise
            half = chunk.lines[: len(chunk.lines) // 2]
            await self._try_split(Chunk(chunk.stream_id, chunk.offset, half))

    async def _try(self, chunk: Chunk) -> None:
        pause_s = FIRST_PAUSE_S
        give_up_at = anyio.current_time() + self._patience_s
        while True:
            try:
                receipt = await self._sender.send(self._address, chunk)
                break
            except ManagerUnreachableError as error:
                wait_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret, only spread
                if anyio.current_time() + wait_s > give_up_at:
                    raise
                logger.warning("lines wait to=%s reason=%s", self._address, error)
                await anyio.sleep(wait_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        if receipt.next_offset < chunk.offset:
            raise StreamRewoundError(self._address, receipt.next_offset)
        self._stored = receipt.next_offset
        self._resumable = receipt.resumable
        self.rejected += receipt.rejected
