"""The door to the files of mailboxes: streams of lines, each appended exactly once, in order.

A stream has two files: the lines, and a note of how many of them count. A chunk is written, synced,
and then the note is replaced; what a crash left behind the noted end is cut off by the next chunk.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emf_agent.errors import EmfError

__all__ = [
    "Kind",
    "MailboxNameError",
    "MailboxSummary",
    "NotJoiningError",
    "Receipt",
    "Shelf",
    "UnknownMailboxError",
]

Kind = Literal["mailbox", "report"]

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@-]{0,199}")
LINES, NOTE = ".ndjson", ".json"


class MailboxNameError(EmfError):
    """A name that is no plain file name (W-S5): it could lead out of the folder."""

    exit_code = 2

    def __init__(self, kind: Kind) -> None:
        super().__init__(
            f"the name of a {kind} has 1 to 200 letters, digits, dots, dashes, underscores, colons "
            "or at signs, and begins with a letter, digit or underscore"
        )


class UnknownMailboxError(EmfError):
    """There is no such mailbox; nothing of what came is stored (W-T2)."""

    def __init__(self, kind: Kind, name: str) -> None:
        super().__init__(f"there is no {kind} {name!r}; `emf-manager mailbox create` makes one")


class NotJoiningError(EmfError):
    """A chunk that does not begin where its stream ends; says where that is."""

    def __init__(self, next_offset: int) -> None:
        super().__init__(f"the stream goes on at line {next_offset}")
        self.next_offset = next_offset


@dataclass(frozen=True)
class Receipt:
    """What is stored of a stream, and how many lines of the chunk were of no use."""

    next_offset: int
    rejected: int


@dataclass(frozen=True)
class MailboxSummary:
    """One mailbox, for people."""

    kind: Kind
    name: str
    streams: int
    lines: int
    bytes: int


@dataclass(frozen=True)
class Note:
    """How much of a stream's file counts."""

    node: str
    stream: str
    offset: int = 0
    """Lines that were taken, the rejected ones included."""
    lines: int = 0
    bytes: int = 0
    ended: bool = False


class Shelf:
    """All mailboxes and reports of a manager, below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, kind: Kind, name: str) -> None:
        """Make a mailbox; one that is there stays as it is.

        Raises:
            MailboxNameError: the name is no plain name.

        """
        place = self._place(kind, name)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(place.parent)

    def remove(self, kind: Kind, name: str) -> None:
        """Remove a mailbox with everything in it.

        Raises:
            UnknownMailboxError: there is none.

        """
        place = self._existing(kind, name)
        for file in place.iterdir():
            file.unlink()
        place.rmdir()

    def summaries(self) -> list[MailboxSummary]:
        """Return every mailbox and report, by name."""
        kinds: tuple[Kind, ...] = ("mailbox", "report")
        return [
            self._summary(kind, place.name)
            for kind in kinds
            for place in sorted((self._folder / kind).glob("*"))
        ]

    def read(self, kind: Kind, name: str) -> Iterator[bytes]:
        """Return the stored lines, stream by stream, without their ends.

        Raises:
            UnknownMailboxError: there is none.

        """
        place = self._existing(kind, name)
        for file in sorted(place.glob(f"*{NOTE}")):
            note = read_note(file)
            left = note.lines
            with file.with_suffix(LINES).open("rb") as lines:
                for line in lines:
                    if not left:
                        break
                    left -= 1
                    yield line.rstrip(b"\n")

    def append(
        self,
        kind: Kind,
        name: str,
        *,
        node: str,
        stream: str,
        offset: int,
        lines: Sequence[bytes],
        ended: bool = False,
    ) -> Receipt:
        """Store a chunk of a stream; what of it is stored already is passed over.

        Blocks until it is on the disk. Lines of a mailbox that are no item are counted, not stored.

        Raises:
            MailboxNameError, UnknownMailboxError: see there.
            NotJoiningError: lines between what is stored and this chunk are missing.
            OSError: the disk is full or broken; the stream is as it was.

        """
        place = self._existing(kind, name)
        key = hashlib.sha256(f"{node}\0{stream}".encode()).hexdigest()[:32]
        file = place / f"{key}{NOTE}"
        note = read_note(file) if file.exists() else Note(node, stream)
        if offset > note.offset:
            raise NotJoiningError(note.offset)
        fresh = lines[note.offset - offset :]
        good = [line for line in fresh if kind == "report" or is_item(line)]
        if fresh or ended != note.ended:
            size = write_after(file.with_suffix(LINES), note.bytes, good)
            note = Note(
                node,
                stream,
                offset=note.offset + len(fresh),
                lines=note.lines + len(good),
                bytes=size,
                ended=ended or note.ended,
            )
            write_note(file, note)
        return Receipt(note.offset, len(fresh) - len(good))

    def _summary(self, kind: Kind, name: str) -> MailboxSummary:
        notes = [read_note(file) for file in self._place(kind, name).glob(f"*{NOTE}")]
        return MailboxSummary(
            kind,
            name,
            streams=len(notes),
            lines=sum(note.lines for note in notes),
            bytes=sum(note.bytes for note in notes),
        )

    def _existing(self, kind: Kind, name: str) -> Path:
        place = self._place(kind, name)
        if not place.is_dir():
            raise UnknownMailboxError(kind, name)
        return place

    def _place(self, kind: Kind, name: str) -> Path:
        if NAME.fullmatch(name) is None:
            raise MailboxNameError(kind)
        return self._folder / kind / name


def is_item(line: bytes) -> bool:
    """Tell whether a line is an item of a mailbox: an object with a ``fid`` (protocol, 6.1)."""
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(item, dict) and isinstance(item.get("fid"), str)


def read_note(file: Path) -> Note:
    """Read a stream's note."""
    return Note(**json.loads(file.read_text()))


def write_note(file: Path, note: Note) -> None:
    """Replace a stream's note in one step."""
    fresh = file.with_suffix(".new")
    with fresh.open("w") as out:
        json.dump(note.__dict__, out)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
    sync_folder(file.parent)


def write_after(file: Path, size: int, lines: Sequence[bytes]) -> int:
    """Write lines behind the part of a file that counts, and return how much counts then."""
    number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(number, "r+b") as out:
        out.truncate(size)
        out.seek(size)
        out.writelines(line + b"\n" for line in lines)
        out.flush()
        os.fsync(out.fileno())
        return out.tell()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
