"""The text of ldev.conf(5): which server has which target on which device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["BackFileSystem", "LdevEntry", "with_entries"]

BackFileSystem = Literal["zfs", "ldiskfs"]
NOBODY = "-"


@dataclass(frozen=True)
class LdevEntry:
    """One target."""

    primary: str
    failover: str | None
    label: str
    device: str
    fs_type: BackFileSystem | None = None

    @property
    def line(self) -> str:
        """Return its line, without an end."""
        return " ".join((self.primary, self.failover or NOBODY, self.label, self._typed_device))

    @property
    def _typed_device(self) -> str:
        if self.fs_type is None or self.device.startswith(("zfs:", "ldiskfs:")):
            return self.device
        return f"{self.fs_type}:{self.device}"


def with_entries(text: str, entries: Sequence[LdevEntry]) -> str:
    """Return ldev.conf with exactly these entries; the same text if it has them.

    Entries are compared whole (W-P7), in any order and any spacing. Comments and blank lines
    stay where they are, before the entries that follow.
    """
    if entries_of(text) == {entry.line for entry in entries}:
        return text
    remarks = [line for line in text.splitlines() if not fields_of(line)]
    while remarks and not remarks[-1].strip():
        remarks.pop()
    return "".join(f"{line}\n" for line in (*remarks, *(entry.line for entry in entries)))


def entries_of(text: str) -> set[str]:
    """Return the entries of a file, with single blanks; more fields than four are part of one."""
    return {" ".join(fields) for fields in map(fields_of, text.splitlines()) if fields}


def fields_of(line: str) -> Sequence[str]:
    """Return the fields of an entry, none of a comment or a blank line."""
    return () if line.lstrip().startswith("#") else line.split()
