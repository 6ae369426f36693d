"""Statistics blocks: ``snapshot_time`` and rows ``name count samples [unit] min max sum sumsq``.

Grammar: "lustre statistics, statistics blocks". Used by every ``stats``, ``md_stats``,
``dt_stats``. A row that does not fit costs that row; a cell below zero becomes ``None``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.numbers import count, epoch_text
from emf_plugins_lustre.stats.records import Header, Row, Rows

__all__ = ["HeaderLines", "read_rows"]

_ROW = re.compile(rb"\s*(\S+)\s+(-?\d+)\s+samples(?:\s+\[([^\]]*)\])?((?:\s+-?\d+)*)\s*\Z")
_TIMES = {b"snapshot_time", b"start_time", b"elapsed_time"}


class HeaderLines:
    """Collects the times at the head of a block; ``take`` says whether a line was one."""

    def __init__(self) -> None:
        self._times: dict[str, str] = {}

    def take(self, line: bytes) -> bool:
        """Read ``snapshot_time``, ``start_time`` or ``elapsed_time``, with or without colon."""
        parts = line.split(None, 2)
        if len(parts) < 2:
            return False
        name = parts[0].rstrip(b":")
        if name not in _TIMES:
            return False
        time = epoch_text(parts[1])
        if time is not None:
            self._times[name.decode()] = time
        return time is not None

    def header(self) -> Header | None:
        """Return the header, or ``None`` for a block without any time."""
        return Header(**self._times) if self._times else None


def read_rows(
    lines: Iterable[tuple[int, bytes]], losses: Losses, param: str
) -> tuple[Rows, Header | None]:
    """Return the rows and the times of one block."""
    head = HeaderLines()
    rows: list[Row] = []
    for number, line in lines:
        if line.isspace() or not line:
            continue
        if b"_time" in line and b" samples" not in line and head.take(line):
            continue
        row = _row(line)
        if row is None:
            losses.note(param, number, "unreadable row", line)
        else:
            rows.append(row)
            if b" -" in line:
                losses.note(param, number, "negative number", line)
    return Rows(tuple(rows)), head.header()


def _row(line: bytes) -> Row | None:
    match = _ROW.match(line)
    if match is None:
        return None
    name, samples, unit, rest = match.groups()
    number = count(samples)
    if number is None:
        return None
    cells = [count(cell) for cell in rest.split()]
    if len(cells) not in {0, 3, 4}:
        return None
    return Row(
        name.decode("utf-8", "replace"), (unit or b"").decode("utf-8", "replace"), number, *cells
    )
