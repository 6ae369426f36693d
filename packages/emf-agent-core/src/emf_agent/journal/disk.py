"""The directory of the journal: its lock, its free space, and the ballast for a full disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from emf_agent.errors import JournalError

__all__ = ["FreeSpaceFloor", "JournalDirectory", "JournalInUseError"]

BALLAST_BYTES = 512 * 1024


@dataclass(frozen=True)
class FreeSpaceFloor:
    """Below it new actions are refused: this many bytes, or this part of a small file system."""

    bytes: int = 64 * 1024 * 1024
    fraction: float = 0.02

    def of(self, size_bytes: int) -> int:
        """Return the floor for a file system of a size."""
        return min(self.bytes, int(size_bytes * self.fraction))


class JournalInUseError(JournalError):
    """Another process holds the directory; two agents must not share one."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is in use by another agent; stop that one, or give this one"
            " a state directory of its own"
        )
        self.path = path


class JournalDirectory:
    """A directory that is the journal's alone, held by one process at a time."""

    def __init__(self, path: Path, floor: FreeSpaceFloor) -> None:
        """Make it where it is missing; raises OSError and JournalInUseError."""
        self.path = path
        self._floor = floor
        self._ballast = path / "ballast"
        missing = not path.exists()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise JournalInUseError(path) from None
        # A power cut may have left the name without the bytes.
        self._has_ballast = self._ballast.exists() and self._ballast.stat().st_size == BALLAST_BYTES
        if missing:
            sync_directory(path.parent)

    @property
    def database(self) -> Path:
        """Return where the database is."""
        return self.path / "journal.db"

    def sync(self) -> None:
        """Make the names in the directory durable, after files came or went."""
        os.fsync(self._descriptor)

    def check_space(self) -> None:
        """Raise JournalError where too little is free to take on more."""
        status = os.fstatvfs(self._descriptor)
        free = status.f_bavail * status.f_frsize
        floor = self._floor.of(status.f_blocks * status.f_frsize)
        if not self._has_ballast:
            # What was given back is for results, not for new actions.
            floor += BALLAST_BYTES
        if free < floor:
            raise JournalError(
                f"{self.path}: {free // 1024} KiB free, {floor // 1024} KiB are needed"
                " to take new actions; free some space"
            )

    def load_ballast(self) -> None:
        """Set some space aside, if it is not there and the disk is not full."""
        if self._has_ballast:
            return
        try:
            self.check_space()
            # Random: zeros take no space where a file system compresses.
            self._ballast.write_bytes(os.urandom(BALLAST_BYTES))
            self._has_ballast = True
        except (JournalError, OSError):
            self._ballast.unlink(missing_ok=True)

    def drop_ballast(self) -> bool:
        """Give the space back for results that must be recorded; False if it was given before."""
        self._has_ballast = False
        try:
            self._ballast.unlink()
        except OSError:
            return False
        return True

    def move_database_aside(self, mark: str) -> Path:
        """Rename a broken database, with what belongs to it, and return its new name."""
        number = 0
        while (aside := self.path / f"journal.db.corrupt-{mark}.{number}").exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.database}{suffix}").rename(f"{aside}{suffix}")
        self.sync()
        return aside

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._descriptor)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
