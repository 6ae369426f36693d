"""Losses: everything that could not be read, counted always and shown up to a limit."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

__all__ = ["Diagnostic", "Losses"]

SAMPLE_BYTES = 80


class Diagnostic(NamedTuple):
    """One loss: the parameter, the line in the output (1 is the first), why, and what."""

    source: str
    param: str
    line: int
    reason: str
    sample: bytes

    def __str__(self) -> str:
        shown = self.sample.decode("utf-8", "backslashreplace")
        return f"{self.source}:{self.line}: {self.param}: {self.reason}: {shown!r}"


class Losses:
    """Counts losses by parameter and reason; keeps the first ``keep`` of them to show."""

    def __init__(self, source: str = "input", keep: int = 1000) -> None:
        self.source = source
        self.counts: Counter[tuple[str, str]] = Counter()
        self.shown: list[Diagnostic] = []
        self._keep = keep

    def note(self, param: str, line: int, reason: str, sample: bytes = b"") -> None:
        """Record one loss; ``reason`` comes from a small fixed set of words."""
        self.counts[param, reason] += 1
        if len(self.shown) < self._keep:
            clipped = bytes(sample[:SAMPLE_BYTES])
            self.shown.append(Diagnostic(self.source, param, line, reason, clipped))

    def merge(self, other: Losses) -> None:
        """Take over what another reader lost."""
        self.counts.update(other.counts)
        self.shown.extend(other.shown[: max(0, self._keep - len(self.shown))])

    @property
    def total(self) -> int:
        """How many losses there were in all."""
        return self.counts.total() if hasattr(self.counts, "total") else sum(self.counts.values())
