"""The store as the history sees it: packed blocks, by node, daemon and how coarse they are.

Unlike everything else in the store, what is added here may be lost with the manager's process: it
is written some minutes after it was said. Each call is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["HistoryRow", "HistoryStore"]


@dataclass(frozen=True)
class HistoryRow:
    """A packed block, and the span it covers: from ``start`` up to, not including, ``until``."""

    node: str
    daemon: str
    step: int
    """Seconds a bucket; 0 where each value is one."""
    start: float
    until: float
    body: bytes


class HistoryStore(Protocol):
    """What ``store.history`` does."""

    async def add(self, rows: Sequence[HistoryRow]) -> None:
        """Keep blocks; one of the same start is replaced, those of nodes that are gone dropped."""
        ...

    async def read(
        self, node: str, daemon: str, step: int, *, after: float, before: float, limit: int = 1000
    ) -> tuple[HistoryRow, ...]:
        """Return blocks that reach into a span, by start."""
        ...

    async def reach(self, node: str, daemon: str, step: int) -> float | None:
        """Return up to when there are blocks; None where there are none."""
        ...

    async def daemons(self, *, node: str | None = None, step: int) -> tuple[tuple[str, str], ...]:
        """Return the nodes and daemons that have blocks."""
        ...

    async def prune(self, step: int, *, before: float) -> int:
        """Drop blocks that end before a time, and count them."""
        ...
