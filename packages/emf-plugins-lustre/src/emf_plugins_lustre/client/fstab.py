"""Edit the text of fstab: one entry for each mount point of ours, all else untouched (fstab(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass

from emf_agent.errors import ActionError

__all__ = ["FstabEntry", "with_entry", "without_mountpoint"]

OCTAL = re.compile(r"\\([0-7]{3})")
WAIT = "x-systemd.mount-timeout=20m"


@dataclass(frozen=True)
class FstabEntry:
    """A client mount as fstab says it."""

    mountspec: str
    mountpoint: str
    persist: bool
    """Whether it is mounted at boot."""

    @property
    def line(self) -> str:
        """Return its line, without an end."""
        options = f"{WAIT},_netdev" if self.persist else f"{WAIT},noauto,_netdev"
        fields = (self.mountspec, escaped(self.mountpoint), "lustre", options)
        return "\t".join(fields)


def with_entry(text: str, entry: FstabEntry) -> str:
    """Return fstab with exactly one entry for the mount point, where one was or at the end.

    Raises ActionError where another kind of file system has its place there.
    """
    refuse_others(text, entry.mountpoint)
    lines: list[str] = []
    placed = False
    for line in split(text):
        if not is_entry_of(line, entry.mountpoint):
            lines.append(line)
        elif not placed:
            lines.append(entry.line)
            placed = True
    if not placed:
        lines.append(entry.line)
    return join(lines)


def without_mountpoint(text: str, mountpoint: str) -> str:
    """Return fstab without Lustre entries for a mount point; the same text if there was none.

    Raises ActionError where another kind of file system has its place there.
    """
    refuse_others(text, mountpoint)
    lines = split(text)
    kept = [line for line in lines if not is_entry_of(line, mountpoint)]
    return text if len(kept) == len(lines) else join(kept)


def split(text: str) -> list[str]:
    """Cut at newlines only: other line ends are part of a line, and survive."""
    return text.removesuffix("\n").split("\n") if text else []


def join(lines: list[str]) -> str:
    """Return text with exactly one newline at its end."""
    return "".join(f"{line}\n" for line in lines)


def fields_of(line: str) -> list[str]:
    """Return the fields of an entry; none of a comment or a short line."""
    fields = line.split()
    return fields if len(fields) >= 3 and not fields[0].startswith("#") else []


def is_entry_of(line: str, mountpoint: str) -> bool:
    """Tell whether a line is an entry for a mount point."""
    fields = fields_of(line)
    return bool(fields) and (unescaped(fields[1]).rstrip("/") or "/") == mountpoint


def refuse_others(text: str, mountpoint: str) -> None:
    """Raise where the mount point belongs to something that is not Lustre."""
    for number, line in enumerate(split(text), start=1):
        if is_entry_of(line, mountpoint) and fields_of(line)[2] != "lustre":
            source, _, kind, *_ = fields_of(line)
            raise ActionError(
                f"fstab line {number} mounts {source} ({kind}) at {mountpoint}; it is not Lustre"
                " and is not touched: take another mount point, or remove that line yourself"
            )


def escaped(path: str) -> str:
    r"""Write blanks and backslashes as fstab wants them: ``\040``."""
    return "".join(f"\\{ord(char):03o}" if char in " \t\n\\#" else char for char in path)


def unescaped(field: str) -> str:
    """Read a field as mount does."""
    return OCTAL.sub(lambda match: chr(int(match[1], 8)), field)
