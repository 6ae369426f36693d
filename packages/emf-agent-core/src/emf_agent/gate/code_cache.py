"""Compiled code by content: a stale entry cannot exist, since its name is what it was made from.

The folder belongs to root alone (or, without root, to the running user alone); that is its defence.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import stat
import sys
from pathlib import Path
from types import CodeType

__all__ = ["CodeCache"]


class CodeCache:
    """A folder of marshalled code objects; without one it compiles every time."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder if folder is not None and is_private(folder) else None

    def code(self, path: str, source: bytes, sha256: str) -> CodeType:
        """Return the code of a source file whose bytes have this SHA-256."""
        if self._folder is None:
            return compiled(path, source)
        entry = self._folder / entry_name(path, sha256)
        try:
            found = marshal.loads(entry.read_bytes())  # noqa: S302 - written by us, root's alone
        except (OSError, ValueError, EOFError, TypeError):
            found = None
        if isinstance(found, CodeType):
            return found
        code = compiled(path, source)
        with contextlib.suppress(OSError):
            store(entry, marshal.dumps(code))
        return code


def compiled(path: str, source: bytes) -> CodeType:
    """Compile the very bytes that were hashed."""
    code: CodeType = compile(source, path, "exec", dont_inherit=True)
    return code


def entry_name(path: str, sha256: str) -> str:
    """Return the name of an entry: what it was made from, and by which interpreter.

    The path is part of it because code objects hold it for tracebacks.
    """
    made_from = hashlib.sha256(f"{sha256}\0{path}\0{sys.version}".encode()).hexdigest()
    return f"{made_from}.{sys.implementation.cache_tag}{sys.flags.optimize}"


def is_private(folder: Path) -> bool:
    """Make the folder where it is missing; tell whether it is ours alone."""
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = os.lstat(folder)
        return (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.geteuid()
            and not found.st_mode & 0o077
        )
    return False


def store(entry: Path, data: bytes) -> None:
    """Write an entry in one step; others may write the same one at the same time."""
    part = entry.with_name(f"{entry.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(entry)
