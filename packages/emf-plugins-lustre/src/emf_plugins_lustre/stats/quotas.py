"""Quotas: limits of the quota master, usage on each target; hundreds of thousands of rows.

Grammar: "lustre statistics, quotas". Read line by line into columns, never as YAML: an index
of 180,000 ids is ordinary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.numbers import count, identity
from emf_plugins_lustre.stats.records import QuotaLimits, QuotaUsage

__all__ = ["read_limits", "read_usage"]

_ID = re.compile(rb"\s*-\s*id:\s*(\S+)\s*\Z")
_CELL = re.compile(rb"\b(\w+):\s*(-?\w+)")
NOT_SUPPORTED = b"not supported"


def read_limits(lines: Iterable[tuple[int, bytes]], losses: Losses, param: str) -> QuotaLimits:
    """Return ``limits`` of all ids; a cell that is missing or negative is ``None``."""
    limits = QuotaLimits([], [], [], [], [])
    for identifier, cells in _rows(lines, losses, param, b"limits:"):
        limits.ids.append(identifier)
        limits.hard.append(count(cells.get(b"hard", b"")))
        limits.soft.append(count(cells.get(b"soft", b"")))
        limits.granted.append(count(cells.get(b"granted", b"")))
        limits.time.append(count(cells.get(b"time", b"")))
    return limits


def read_usage(lines: Iterable[tuple[int, bytes]], losses: Losses, param: str) -> QuotaUsage:
    """Return ``usage`` of all ids; empty, and no loss, where accounting is not supported."""
    usage = QuotaUsage([], [], [])
    for identifier, cells in _rows(lines, losses, param, b"usage:"):
        usage.ids.append(identifier)
        usage.inodes.append(count(cells.get(b"inodes", b"")))
        usage.kbytes.append(count(cells.get(b"kbytes", b"")))
    return usage


def _rows(
    lines: Iterable[tuple[int, bytes]], losses: Losses, param: str, word: bytes
) -> Iterable[tuple[int, dict[bytes, bytes]]]:
    identifier: int | None = None
    for position, (number, line) in enumerate(lines):
        if word in line:
            cells = dict(_CELL.findall(line.partition(b"{")[2]))
            if identifier is None or not cells or b"}" not in line:
                losses.note(param, number, "unreadable row", line)
            else:
                if b"-" in line:
                    losses.note(param, number, "negative number", line)
                yield identifier, cells
            identifier = None
        elif (match := _ID.match(line)) is not None:
            identifier = identity(match[1])
            if identifier is None:
                losses.note(param, number, "unreadable id", line)
        elif not line.strip() or (position == 0 and _is_title(line)):
            continue
        else:
            losses.note(param, number, "unreadable row", line)


def _is_title(line: bytes) -> bool:
    return line.strip() == NOT_SUPPORTED or re.fullmatch(rb"[\w-]+:?", line.strip()) is not None
