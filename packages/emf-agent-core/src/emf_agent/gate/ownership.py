"""Who could have written a file: its owner and mode, and those of every folder above it.

A file is trusted when root (or, without root, the running user) owns it and each folder on the way
to it, and nobody else may write there. Links on the way count only if a trusted user owns them;
the last part may not be one (security requirement R2; osquery's CVE-2019-3567).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from emf_agent.gate.refusal import GateError, Refusal

__all__ = ["Lstat", "Readlink", "read_trusted", "trusted_owners", "untrusted"]

Lstat = Callable[[str], os.stat_result]
Readlink = Callable[[str], str]

LINKS_FOLLOWED = 40
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def trusted_owners() -> frozenset[int]:
    """Return root, and the user we run as."""
    return frozenset({0, os.geteuid()})


def fault(path: str, found: os.stat_result, owners: frozenset[int]) -> Refusal | None:
    """Return why one file, folder or link is not to be trusted, or None."""
    if found.st_uid not in owners:
        return Refusal("perm", path, f"belongs to user {found.st_uid}", f"chown root:root {path}")
    if stat.S_ISLNK(found.st_mode) or not found.st_mode & OTHERS_MAY_WRITE:
        return None
    # In a sticky folder (/tmp) others may add files, but not replace those of a trusted owner.
    if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
        return None
    mode = stat.S_IMODE(found.st_mode)
    return Refusal("perm", path, f"others may write it (mode {mode:04o})", f"chmod go-w {path}")


class Walk:
    """Judges paths and every folder above them; each folder is looked at once."""

    def __init__(
        self,
        owners: frozenset[int],
        lstat: Lstat = os.lstat,
        readlink: Readlink = os.readlink,
    ) -> None:
        self._owners = owners
        self._lstat = lstat
        self._readlink = readlink
        self._folders: dict[str, list[Refusal]] = {}

    def faults(self, path: str) -> list[Refusal]:
        """Return why a path is not to be trusted; it must be absolute, and its end no link."""
        parent = path.rpartition("/")[0]
        found = self.folder_faults(parent or "/")
        try:
            itself = self._lstat(path)
        except OSError as error:
            return [*found, Refusal("missing", path, error.strerror or str(error))]
        if stat.S_ISLNK(itself.st_mode):
            return [*found, Refusal("perm", path, "is a link", "put the file itself here")]
        own = fault(path, itself, self._owners)
        return [*found, own] if own else found

    def folder_faults(self, folder: str) -> list[Refusal]:
        """Return why a folder, or one above it, is not to be trusted; links are followed."""
        if folder not in self._folders:
            self._folders[folder] = self._walk(folder)
        return self._folders[folder]

    def _walk(self, folder: str) -> list[Refusal]:
        found: list[Refusal] = []
        left = list(reversed(PurePosixPath(folder).parts[1:]))
        here, links = "/", 0
        try:
            self._judge("/", found)
            while left:
                part = left.pop()
                if part == "..":
                    here = here.rpartition("/")[0] or "/"
                    continue
                there = f"{here.rstrip('/')}/{part}"
                if not stat.S_ISLNK(self._judge(there, found)):
                    here = there
                    continue
                links += 1
                if links > LINKS_FOLLOWED:
                    return [*found, Refusal("perm", folder, "goes through too many links")]
                target = PurePosixPath(self._readlink(there))
                if target.is_absolute():
                    here = "/"
                left += reversed([part for part in target.parts if part != "/"])
        except OSError as error:
            found.append(Refusal("missing", folder, error.strerror or str(error)))
        return found

    def _judge(self, path: str, found: list[Refusal]) -> int:
        looked_at = self._lstat(path)
        refusal = fault(path, looked_at, self._owners)
        if refusal and refusal not in found:
            found.append(refusal)
        return looked_at.st_mode


def untrusted(
    paths: Iterable[str],
    owners: frozenset[int],
    lstat: Lstat = os.lstat,
    readlink: Readlink = os.readlink,
) -> list[Refusal]:
    """Return why any of the absolute paths is not to be trusted, each reason once."""
    walk = Walk(owners, lstat, readlink)
    return list(dict.fromkeys(one for path in paths for one in walk.faults(path)))


def read_trusted(path: Path, owners: frozenset[int], *, limit_bytes: int) -> bytes:
    """Return the bytes of a trusted file; what is judged is the very file that is read.

    Raises:
        GateError: it is not trusted, not a regular file, too large, or not there.

    """
    path = path.absolute()
    name = str(path)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        code = "missing" if isinstance(error, FileNotFoundError) else "perm"
        found = "is a link" if path.is_symlink() else error.strerror or str(error)
        raise GateError([Refusal(code, name, found)]) from error
    try:
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode):
            raise GateError([Refusal("perm", name, "is not a regular file")])
        own = fault(name, opened, owners)
        found_faults = ([own] if own else []) + Walk(owners).folder_faults(str(path.parent))
        if found_faults:
            raise GateError(found_faults)
        text = read_at_most(descriptor, limit_bytes + 1)
    finally:
        os.close(descriptor)
    if len(text) > limit_bytes:
        raise GateError([Refusal("lock", name, f"is larger than {limit_bytes} bytes")])
    return text


def read_at_most(descriptor: int, size: int) -> bytes:
    """Return up to ``size`` bytes of a file."""
    parts = []
    while size > 0 and (part := os.read(descriptor, min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
