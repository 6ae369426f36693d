"""Keep the lines of one mailbox on disk until the manager has stored them.

Lines are appended to segments, each a stream of its own with a name in order of time; what the
manager has stored is noted beside a segment, and a segment that is stored whole is removed. A
restart goes on where it was; power may take what the system had not written yet.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Segment", "Spool"]

SEGMENT_BYTES = 4 * 1024 * 1024
LINES, STORED = ".lines", ".stored"


@dataclass
class Segment:
    """A file of lines, and how much of it the manager has."""

    path: Path
    size: int = 0
    """Bytes of whole lines in the file."""
    stored_lines: int = 0
    stored_bytes: int = 0
    closed: bool = False
    """Nothing more is appended."""

    @property
    def stream_id(self) -> str:
        """Return the name of its stream."""
        return self.path.stem

    @property
    def waiting(self) -> int:
        """Return the bytes the manager does not have yet."""
        return self.size - self.stored_bytes

    def append(self, data: bytes) -> None:
        """Write whole lines at the end; where that fails, the file is as it was."""
        with self.path.open("ab") as file:
            try:
                file.write(data)
                file.flush()
            except OSError:
                os.truncate(self.path, self.size)
                raise
        self.size += len(data)

    def read(self, most_lines: int, most_bytes: int) -> Sequence[bytes]:
        """Return the first lines that wait, without their ends; at least one."""
        with self.path.open("rb") as file:
            file.seek(self.stored_bytes)
            data = file.read(min(self.waiting, most_bytes))
            if not data.endswith(b"\n"):
                whole = data[: data.rfind(b"\n") + 1]
                data = whole or data + file.readline()
        return data.removesuffix(b"\n").split(b"\n")[:most_lines] if data else []

    def note_stored(self, lines: Sequence[bytes]) -> None:
        """Take note that the manager has these lines too."""
        self.stored_lines += len(lines)
        self.stored_bytes += sum(map(len, lines)) + len(lines)
        self._write_note()

    def rewind(self, lines: int) -> None:
        """Go back to an earlier line: the manager has lost what came after it."""
        with self.path.open("rb") as file:
            self.stored_bytes = sum(len(file.readline()) for _ in range(lines))
        self.stored_lines = lines
        self._write_note()

    def _write_note(self) -> None:
        if not self.path.exists():
            return  # removed by hand: nothing is left to take note of
        beside = self.path.with_suffix(".new")
        beside.write_text(f"{self.stored_lines} {self.stored_bytes}\n")
        beside.replace(self.path.with_suffix(STORED))

    def remove(self) -> None:
        """Remove it from disk."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(STORED).unlink(missing_ok=True)

    @classmethod
    def found(cls, path: Path) -> Segment:
        """Return a segment that an earlier life left; a half line at its end is cut off."""
        data_end = last_line_end(path)
        os.truncate(path, data_end)
        segment = cls(path, size=data_end, closed=True)
        try:
            lines, size = map(int, path.with_suffix(STORED).read_text().split())
        except (OSError, ValueError):
            return segment  # never noted, or half: the manager tells what it has
        if 0 <= size <= data_end:
            segment.stored_lines, segment.stored_bytes = lines, size
        return segment


def last_line_end(path: Path, piece: int = 65536) -> int:
    """Return the offset behind the last newline of a file."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - piece)
            file.seek(begin)
            at = file.read(end - begin).rfind(b"\n")
            if at >= 0:
                return begin + at + 1
            end = begin
    return 0


class Spool:
    """The segments of a mailbox, oldest first. Calls block on the disk: make them in a thread."""

    def __init__(self, folder: Path, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._segment_bytes = segment_bytes
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = sorted(folder.glob(f"*{LINES}"))
        self._segments = [Segment.found(path) for path in found]
        self._number = 1 + max((int(path.name.partition("-")[0]) for path in found), default=0)

    @property
    def waiting_bytes(self) -> int:
        """Return the bytes the manager does not have yet."""
        return sum(segment.waiting for segment in self._segments)

    @property
    def has_room(self) -> bool:
        """Tell whether more may be appended."""
        return self.waiting_bytes < self._limit_bytes

    def append(self, lines: Sequence[bytes]) -> None:
        """Add lines, given without their ends."""
        self._forget_removed()
        if not self._segments or self._segments[-1].closed:
            name = f"{self._number:08d}-{uuid.uuid4().hex}{LINES}"
            self._number += 1
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._segments.append(Segment(self._folder / name))
        newest = self._segments[-1]
        newest.append(b"".join(line + b"\n" for line in lines))
        newest.closed = newest.size >= self._segment_bytes

    def oldest(self) -> Segment | None:
        """Return the segment whose turn it is; those that are stored whole are none."""
        self._forget_removed()
        while self._segments and self._segments[0].closed and not self._segments[0].waiting:
            self._segments.pop(0).remove()
        return self._segments[0] if self._segments else None

    def _forget_removed(self) -> None:
        """Drop segments that somebody removed: how a site gives up lines nobody will take."""
        self._segments = [one for one in self._segments if not one.size or one.path.exists()]

    def close(self) -> None:
        """Append no more to the newest segment."""
        if self._segments:
            self._segments[-1].closed = True

    def remove_if_empty(self) -> bool:
        """Remove the folder where nothing waits; return whether it is gone."""
        self.close()
        if self.oldest() is not None:
            return False
        if self._folder.exists():
            self._folder.rmdir()
        return True
