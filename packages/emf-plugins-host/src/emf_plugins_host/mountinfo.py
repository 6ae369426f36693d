"""Mounts and swap, from /proc/self/mountinfo and /proc/swaps (proc_pid_mountinfo(5), proc(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Mount", "mounts", "swaps"]

OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One mount."""

    source: str
    target: str
    fs_type: str
    opts: str
    """Options of the mount and of its file system, joined as findmnt(8) does."""
    device: str
    """``major:minor``; a made-up one for what has no block device."""
    root: str
    """Which part of the file system is mounted: ``/`` but for bind mounts and subvolumes."""


def mounts(text: str) -> list[Mount]:
    """Return the mounts in the order they were made; lines that do not parse are left out."""
    found = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, more = left.split(" "), right.split(" ")
        if not separator or len(fields) < 6 or len(more) < 3:
            continue
        found.append(
            Mount(
                source=unescaped(more[1]),
                target=unescaped(fields[4]),
                fs_type=unescaped(more[0]),
                opts=joined(fields[5], more[2]),
                device=fields[2],
                root=unescaped(fields[3]),
            )
        )
    return found


def swaps(text: str) -> list[Mount]:
    """Return the swap areas in use, in the form findmnt(8) gives them in fstab."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 5:
            source = unescaped(fields[0])
            found.append(Mount(source, "swap", "swap", f"pri={fields[4]}", "0:0", "/"))
    return found


def joined(of_mount: str, of_file_system: str) -> str:
    """Return both lists of options; ``rw`` and ``ro`` once, as the mount has it."""
    own = of_mount.split(",")
    seen = {*own, "rw", "ro"}
    return ",".join([*own, *(one for one in of_file_system.split(",") if one and one not in seen)])


def unescaped(field: str) -> str:
    r"""Return a field without the kernel's octal escapes (``\040`` is a space)."""
    if "\\" not in field:
        return field
    raw = OCTAL.sub(lambda match: chr(int(match[1], 8)), field)
    try:
        # The kernel escapes bytes, not characters; here each byte has become one character.
        return raw.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return raw
