"""The edits of ntp.conf and chrony.conf that point a node at one time server. Pure text.

The marker is the ancestor's, so that a file it edited is recognised and can be undone. In ntp.conf
it ends a line (``server adm iburst # IML_EDIT server 0.pool.ntp.org``). chrony has no comments at
the end of a line, so there the added line stands between two lines of marker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["MARKER", "edit_chrony", "edit_ntp", "is_edited"]

MARKER = "# IML_EDIT"
BEGIN, END = f"{MARKER}_BEGIN", f"{MARKER}_END"
SOURCES = frozenset({"server", "pool"})
LOCAL = "localhost"


def is_edited(text: str) -> bool:
    """Tell whether the file carries an edit."""
    return MARKER in text


def edit_ntp(text: str, server: str | None) -> str:
    """Return ntp.conf with ``server`` as the only one; ``localhost``: this node's own clock; None:
    as it was before any edit. Doing it again, or for another server, does not pile up.
    """
    original = list(undo_ntp(text.splitlines()))
    if server is None:
        return joined(original)
    if server == LOCAL:
        added = [f"server  127.127.1.0 {MARKER}", f"fudge   127.127.1.0 stratum 10 {MARKER}"]
    else:
        added = [f"server {server} iburst {MARKER}"]
    edited: list[str] = []
    placed = False
    for line in original:
        if not is_source(line):
            edited.append(line)
        elif placed:
            edited.append(f"{MARKER} {line}")
        else:
            edited += [*added[:-1], f"{added[-1]} {line}"]
            placed = True
    return joined(edited if placed else [*edited, *added])


def undo_ntp(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines as they were: what follows the marker was the original."""
    for line in lines:
        _, marker, original = line.partition(MARKER)
        if not marker:
            yield line
        elif original.strip():
            yield original.strip()


def edit_chrony(text: str, server: str | None) -> str:
    """Return chrony.conf with ``server`` as the only one; see :func:`edit_ntp`."""
    original = list(undo_chrony(text.splitlines()))
    if server is None:
        return joined(original)
    added = "local stratum 10" if server == LOCAL else f"server {server} iburst"
    block = [BEGIN, added, END]
    edited: list[str] = []
    placed = False
    for line in original:
        if not is_source(line):
            edited.append(line)
            continue
        if not placed:
            edited += block
            placed = True
        edited.append(f"{MARKER} {line}")
    return joined(edited if placed else [*edited, *block])


def undo_chrony(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines as they were."""
    added = False
    for line in lines:
        if line == BEGIN:
            added = True
        elif line == END:
            added = False
        elif not added and line.startswith(f"{MARKER} "):
            yield line.removeprefix(f"{MARKER} ")
        elif not added:
            yield line


def is_source(line: str) -> bool:
    """Tell whether a line names a server."""
    words = line.split(None, 1)
    return bool(words) and words[0] in SOURCES


def joined(lines: Sequence[str]) -> str:
    """Return the file's text, each line with its end."""
    return "".join(f"{line}\n" for line in lines)
