"""A refusal: the reason code, what it is about, what was found, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["GateError", "Refusal"]


@dataclass(frozen=True)
class Refusal:
    """One reason why something may not run; ``code`` is stable and short."""

    code: str
    """``interp perm sig lock policy meta hash entry type claim ambiguous shadowed missing``."""
    subject: str
    """A file, a distribution or a plugin."""
    found: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.code}: {self.subject}: {self.found}{advice}"


class GateError(Exception):
    """The gate says no; carries every refusal found."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("\n".join(map(str, refusals)))
        self.refusals = tuple(refusals)
