"""Rewriting another program's configuration file: whole or not at all, with all it had.

A reader sees the old file or the new one, never half of one, also after a power cut. Owner, mode
and security label stay. Bytes that are no UTF-8 stay as they are.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from pathlib import Path

from emf_agent.errors import ActionError

__all__ = ["difference", "read_config", "replace_config"]


def read_config(path: Path) -> str:
    """Return a configuration file's text.

    Raises:
        ActionError: it is not there, or cannot be read.

    """
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ActionError(f"{path}: {error.strerror} (os error {error.errno})") from error


def replace_config(path: Path, text: str) -> None:
    """Put ``text`` in the file's place; a symbolic link stays one.

    Raises:
        ActionError: it cannot be written; the old file is as it was.

    """
    target = path.resolve()
    try:
        kept = target.stat()
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise ActionError(f"{path}: {error.strerror} (os error {error.errno})") from error
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            os.fchown(file.fileno(), kept.st_uid, kept.st_gid)
            os.fchmod(file.fileno(), kept.st_mode & 0o7777)
            copy_attributes(target, file.fileno())
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        raise ActionError(f"{path}: {error.strerror} (os error {error.errno})") from error


def copy_attributes(source: Path, descriptor: int) -> None:
    """Copy extended attributes, the security label among them, as far as may be."""
    with contextlib.suppress(OSError):
        for name in os.listxattr(source):
            with contextlib.suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(source, name))


def sync_folder(folder: Path) -> None:
    """Write the folder's own entry down, so that the new name outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def difference(path: Path, before: str, after: str) -> str:
    """Return what a change of a file would change, as a unified diff; empty where nothing."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), str(path), str(path), lineterm="", n=1
    )
    return "\n".join(lines).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
