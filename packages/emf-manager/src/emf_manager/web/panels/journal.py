"""Panels of the daemon ``journal``: the newest lines of the node's log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from pydantic import TypeAdapter

from emf_manager.web.panels.blocks import Block, Line, Log, Shape, Tone

__all__ = ["journal", "lines_of"]

TONES: dict[str, Tone] = {
    "Emerg": "bad", "Alert": "bad", "Crit": "bad", "Err": "bad", "Warning": "warn",
    "Notice": "busy", "Info": "ok", "Debug": "idle",
}  # fmt: skip
WORDS = {"Emerg": "emergency", "Crit": "critical", "Err": "error"}
MOST_LINES = 1000
LONGEST = 4000


class Moment(Shape):
    """A time since 1970."""

    secs: int = 0
    nanos: int = 0


class Entry(Shape):
    """A line of the journal."""

    datetime: Moment = Moment()
    severity: str = "Info"
    source: str = ""
    message: str = ""


ENTRIES: TypeAdapter[tuple[Entry, ...]] = TypeAdapter(tuple[Entry, ...])


def journal(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    entries = ENTRIES.validate_python(payload or ())
    shown = entries[-MOST_LINES:]
    return (Log("Journal", tuple(lines_of(shown)), beyond=len(entries) - len(shown)),)


def lines_of(entries: Iterable[Entry]) -> Iterable[Line]:
    for one in entries:
        yield Line(
            when=moment(one.datetime.secs, one.datetime.nanos),
            level=WORDS.get(one.severity, one.severity.lower()),
            tone=TONES.get(one.severity, "idle"),
            source=one.source[:200],
            text=one.message[:LONGEST],
        )


def moment(seconds: int, nanoseconds: int) -> str:
    try:
        at = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return "?"
    return f"{at:%Y-%m-%d %H:%M:%S}.{max(0, nanoseconds) // 1_000_000:03d}Z"
