"""One mailbox's branch of the post office: a socket to write lines to, a spool, a way out.

Writers are not acknowledged: they are made to wait instead, once the spool is full.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.abc
import anyio.to_thread

from emf_agent.errors import EmfError
from emf_plugins_lustre.mailboxes.line_stream import CHUNK_BYTES, CHUNK_LINES, LineStream
from emf_plugins_lustre.mailboxes.sender import Address, MailboxSender, StreamRewoundError
from emf_plugins_lustre.postoffice.spool import Segment, Spool

__all__ = ["Branch", "Whole"]

logger = logging.getLogger(__name__)

SOCKET_MODE = 0o600
PIECE_BYTES = 65536
LONGEST_LINE_BYTES = 65536
TRY_AGAIN_S = 15.0

_T = TypeVar("_T")


class Whole:
    """Cuts what a writer sends into whole lines; one that is too long is dropped and counted."""

    def __init__(self, longest_bytes: int = LONGEST_LINE_BYTES) -> None:
        self._longest = longest_bytes
        self._part = b""
        self._dropping = False
        self.dropped = 0

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Return the lines that these bytes complete; blank ones are none."""
        *ends, rest = (self._part + data).split(b"\n")
        if ends and self._dropping:
            self._dropping = False
            del ends[0]
        lines = [line for line in ends if len(line) <= self._longest]
        self.dropped += len(ends) - len(lines)
        if self._dropping or len(rest) > self._longest:
            self.dropped += not self._dropping
            self._dropping, rest = True, b""
        self._part = rest
        return [line for line in lines if line.strip()]

    def finish(self) -> Sequence[bytes]:
        """Return the last line, if it had no end."""
        part, self._part = self._part, b""
        return [part] if part.strip() else []


class Branch:
    """One mailbox. ``run`` is its life; it ends when it was closed and nothing waits."""

    def __init__(self, mailbox: str, socket: Path, spool: Spool, *, gather_s: float) -> None:
        self._address = Address("mailbox", mailbox)
        self._socket = socket
        self._spool = spool
        self._disk = anyio.Lock()
        self._gather_s = gather_s
        self._moved = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._listening: anyio.CancelScope | None = None
        self._connections = 0
        self._troubles: dict[str, str] = {}

    @property
    def trouble(self) -> str | None:
        """Return what keeps lines from coming in or going out, or None."""
        return "; ".join(self._troubles.values()) or None

    async def run(self, sender: MailboxSender, *, listens: bool) -> None:
        """Deliver what the spool has and gets; ends where it is closed and nothing waits."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                if listens:
                    self.open()
                await self._deliver(sender)
            finally:
                self._tasks = None
            tasks.cancel_scope.cancel()

    def open(self) -> None:
        """Listen, if it does not; only while it runs."""
        if self._tasks is not None and self._listening is None:
            self._listening = anyio.CancelScope()
            self._tasks.start_soon(self._listen, self._listening, self._tasks)

    def close(self) -> None:
        """Take no new connections; those that are there go on."""
        if self._listening is not None:
            self._listening.cancel()
        self._listening = None
        self._troubles.pop("socket", None)
        self._tell()

    def _tell(self) -> None:
        """Wake up who waits for lines, for room, or for the end."""
        self._moved.set()
        self._moved = anyio.Event()

    async def _listen(self, scope: anyio.CancelScope, tasks: anyio.abc.TaskGroup) -> None:
        with scope:
            while True:
                try:
                    listener = await anyio.create_unix_listener(self._socket, mode=SOCKET_MODE)
                except OSError as error:
                    self._troubles["socket"] = f"{self._socket}: {error.strerror or error}"
                    await anyio.sleep(TRY_AGAIN_S)
                    continue
                self._troubles.pop("socket", None)
                try:
                    async with listener:
                        await listener.serve(self._receive, tasks)
                finally:
                    self._socket.unlink(missing_ok=True)

    async def _receive(self, connection: anyio.abc.SocketStream) -> None:
        whole = Whole()
        self._connections += 1
        try:
            async with connection:
                while True:
                    try:
                        data = await connection.receive(PIECE_BYTES)
                    except anyio.EndOfStream:
                        break
                    except (anyio.BrokenResourceError, OSError) as error:
                        logger.warning("a writer broke off to=%s: %s", self._address, error)
                        break
                    await self._keep(whole.feed(data))
                await self._keep(whole.finish())
        finally:
            self._connections -= 1
            self._tell()
            if whole.dropped:
                logger.error("lines too long to=%s dropped=%d", self._address, whole.dropped)

    async def _keep(self, lines: Sequence[bytes]) -> None:
        while lines:
            if not self._spool.has_room:
                self._troubles["room"] = "the spool is full, writers wait"
                await self._moved.wait()
                continue
            try:
                await self._on_disk(lambda: self._spool.append(lines))
            except OSError as error:
                self._troubles["room"] = f"the spool cannot be written: {error.strerror or error}"
                await anyio.sleep(TRY_AGAIN_S)
                continue
            self._troubles.pop("room", None)
            self._tell()
            return

    async def _deliver(self, sender: MailboxSender) -> None:
        while True:
            try:
                segment = await self._on_disk(self._spool.oldest)
                if segment is not None and segment.waiting:
                    await self._deliver_segment(sender, segment)
                    self._troubles.pop("way", None)
                    continue
            except (EmfError, OSError) as error:
                self._troubles["way"] = str(error)
                logger.warning("lines wait to=%s reason=%s", self._address, error)
                await anyio.sleep(TRY_AGAIN_S)
                continue
            if self._listening is None and not self._connections:
                return
            await self._moved.wait()
            # Lines come in drops; a moment later there are more for the same request.
            await anyio.sleep(self._gather_s)

    async def _deliver_segment(self, sender: MailboxSender, segment: Segment) -> None:
        stream = LineStream(
            sender, self._address, stream_id=segment.stream_id, offset=segment.stored_lines
        )
        while segment.waiting:
            lines = await self._on_disk(lambda: segment.read(CHUNK_LINES, CHUNK_BYTES))
            try:
                await stream.send(lines)
            except StreamRewoundError as error:
                logger.warning("lines lost by=%s back_to=%d", self._address, error.offset)
                await self._on_disk(partial(segment.rewind, error.offset))
                return
            await self._on_disk(partial(segment.note_stored, lines))
            self._tell()
        if stream.rejected:
            logger.warning("lines rejected by=%s count=%d", self._address, stream.rejected)
        if segment.closed:
            await stream.finish()

    async def _on_disk(self, work: Callable[[], _T]) -> _T:
        async with self._disk:
            return await anyio.to_thread.run_sync(work)
