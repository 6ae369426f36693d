"""Replace a file of the system at once and whole: its readers see the old text or the new one.

Mode, owner, access list and security label stay those of the file that was there (W-P10).
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio.to_thread

from emf_agent.errors import ActionError

__all__ = ["edit_text", "read_text_or_none", "replace_text"]

NEW_FILE_MODE = 0o644

_T = TypeVar("_T")


async def edit_text(path: Path, edit: Callable[[str], str], *, dry_run: bool = False) -> bool:
    """Replace a file's text by the edited one; return whether it differs.

    A missing file counts as empty. Bytes that are no UTF-8 survive. Raises ActionError with the
    file's name where it cannot be read or replaced.
    """

    def read_and_replace() -> bool:
        before = read_file(path)
        after = edit(before or "")
        if after == (before or ""):
            return False
        if not dry_run:
            replace_file(path, after)
        return True

    return await in_thread(path, read_and_replace)


async def replace_text(path: Path, text: str, *, dry_run: bool = False) -> bool:
    """Make a file hold ``text``, with the folders above it; return whether it differed."""

    def replace_if_different() -> bool:
        if read_file(path) == text:
            return False
        if not dry_run:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text)
        return True

    return await in_thread(path, replace_if_different)


async def read_text_or_none(path: Path) -> str | None:
    """Return a file's text, or None where there is no such file."""
    return await in_thread(path, lambda: read_file(path))


async def in_thread(path: Path, work: Callable[[], _T]) -> _T:
    """Run file work off the loop, its errors told with the file's name."""
    try:
        return await anyio.to_thread.run_sync(work)
    except OSError as error:
        why = error.strerror or str(error)
        raise ActionError(f"{path}: {why} (os error {error.errno})") from error


def read_file(path: Path) -> str | None:
    """Return the text, bytes that are no UTF-8 as surrogates; None where there is no file."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def replace_file(path: Path, text: str) -> None:
    """Write beside the file, make it durable, rename; a symbolic link stays one."""
    real = path.resolve()
    descriptor, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            dress_like(real, file.fileno())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(real)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(real.parent)


def dress_like(model: Path, descriptor: int) -> None:
    """Give the new file the owner, mode and extended attributes of the one it replaces."""
    try:
        status = model.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, NEW_FILE_MODE)
        return
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    for attribute in os.listxattr(model):
        os.setxattr(descriptor, attribute, os.getxattr(model, attribute))


def sync_folder(folder: Path) -> None:
    """Make the rename durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
