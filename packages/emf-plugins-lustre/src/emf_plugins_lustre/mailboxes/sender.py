"""What is asked of whoever carries lines to the manager: chunks with an offset, acknowledged.

A stream has an id and counts its lines from 0. A chunk says how many lines of its stream come
before it, so that the manager can tell a repetition from more of the same, and can say from where
a broken stream goes on (architecture, section 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from emf_agent.errors import EmfError

__all__ = [
    "Address",
    "Chunk",
    "ChunkTooLargeError",
    "MailboxSender",
    "Receipt",
    "StreamRewoundError",
    "UnknownMailboxError",
]


@dataclass(frozen=True)
class Address:
    """Where lines go."""

    kind: Literal["mailbox", "report"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Chunk:
    """A part of a stream."""

    stream_id: str
    offset: int
    """Lines of the stream before this chunk."""
    lines: tuple[bytes, ...]
    """Without their ends."""
    last: bool = False


@dataclass(frozen=True)
class Receipt:
    """What the manager has of a stream."""

    next_offset: int
    """Lines of the stream that it has stored; the next chunk begins here."""
    rejected: int = 0
    """Lines of this chunk that it had no use for."""
    resumable: bool = True
    """Whether it knows streams; an older manager only knows requests."""


class MailboxSender(Protocol):
    """Carries chunks. Keeps nothing of a stream: those who send know where they are."""

    async def send(self, address: Address, chunk: Chunk) -> Receipt:
        """Return once the manager has answered for the chunk.

        The answer may name another offset than the chunk's end: less where the manager has lost
        what it had, more where it has seen this before.

        Raises:
            ManagerUnreachableError: no answer, or one that asks to try again later.
            UnknownMailboxError: there is no such mailbox.
            ChunkTooLargeError: fewer lines at once.
            ManagerRefusedError: no, and trying again is useless.

        """
        ...


class UnknownMailboxError(EmfError):
    """The manager has no such mailbox or report; it may get one."""

    def __init__(self, address: Address) -> None:
        super().__init__(f"the manager has no {address}; make it there, or remove it here")


class ChunkTooLargeError(EmfError):
    """The manager takes no request of this size."""


class StreamRewoundError(EmfError):
    """The manager lost lines of a stream that we no longer have."""

    def __init__(self, address: Address, offset: int) -> None:
        super().__init__(
            f"the manager has only {offset} lines of the stream to {address}; send it again"
        )
        self.offset = offset
