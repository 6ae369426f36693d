"""What panels are made of, as values: cells, and blocks of cells. The template knows only these.

Text in them comes from nodes and may be anything; the template escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from emf_manager.web.figures import NONE

__all__ = [
    "MOST_ROWS",
    "Bar",
    "Block",
    "Branch",
    "Cell",
    "Chart",
    "Curve",
    "Facts",
    "Head",
    "Line",
    "Log",
    "Mark",
    "Raw",
    "Shape",
    "Table",
    "Tone",
    "Tree",
    "Words",
    "cut",
    "words",
]

MOST_ROWS = 500
"""Rows of one table, branches of one tree; what is beyond is counted."""
Tone = Literal["ok", "warn", "bad", "busy", "idle"]
T = TypeVar("T")


class Shape(BaseModel):
    """Base of what a panel reads of a payload: its members alone, whatever else is there."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# Cells


@dataclass(frozen=True)
class Words:
    """A piece of text or a figure; ``title`` is what it is in full."""

    text: str
    code: bool = False
    title: str = ""


@dataclass(frozen=True)
class Mark:
    """A state."""

    text: str
    tone: Tone


@dataclass(frozen=True)
class Bar:
    """How full something is."""

    share: float
    """0 to 1."""
    text: str
    tone: Tone = "ok"

    @property
    def width(self) -> int:
        """Percent, whole."""
        return round(100 * min(1.0, max(0.0, self.share)))


@dataclass(frozen=True)
class Curve:
    """A series over the last while, small; ``text`` where there is none to show."""

    series: str
    text: str = ""


Cell = Words | Mark | Bar | Curve


# Blocks


@dataclass(frozen=True)
class Facts:
    """Names with what they are."""

    title: str
    pairs: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True)
class Head:
    """The head of a column."""

    text: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first cell of a row names it."""

    title: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = "none"
    """What to say where there is no row."""
    beyond: int = 0
    """Rows that are not shown."""


@dataclass(frozen=True)
class Branch:
    """A node of a tree."""

    cells: tuple[Cell, ...]
    below: tuple[Branch, ...] = ()


@dataclass(frozen=True)
class Tree:
    """Things within things."""

    title: str
    branches: tuple[Branch, ...]
    empty: str = "none"
    beyond: int = 0


@dataclass(frozen=True)
class Line:
    """A line of a log."""

    when: str
    level: str
    tone: Tone
    source: str
    text: str


@dataclass(frozen=True)
class Log:
    """The newest lines of a log, the oldest first."""

    title: str
    lines: tuple[Line, ...]
    beyond: int = 0


@dataclass(frozen=True)
class Chart:
    """Series together, large."""

    title: str
    series: tuple[tuple[str, str], ...]
    """Name of each, and what to call it."""


@dataclass(frozen=True)
class Raw:
    """A value as it came."""

    title: str
    value: Any


Block = Facts | Table | Tree | Log | Chart | Raw


def words(value: object, *, code: bool = False) -> Words:
    """Return a value as words; a dash where there is none."""
    if value is None or value == "":
        return Words(NONE)
    if isinstance(value, bool):
        return Words("yes" if value else "no")
    return Words(str(value), code=code)


def cut(rows: Iterable[T], most: int = MOST_ROWS) -> tuple[tuple[T, ...], int]:
    """Return so many rows, and how many are beyond."""
    listed: Sequence[T] = tuple(rows)
    return tuple(listed[:most]), max(0, len(listed) - most)
