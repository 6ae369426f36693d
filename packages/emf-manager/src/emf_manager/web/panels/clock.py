"""Panels of the daemons ``ntp`` and ``clock``: whether the node's time can be trusted."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from emf_manager.web.figures import NONE, quantity
from emf_manager.web.panels.blocks import (
    Block,
    Cell,
    Chart,
    Curve,
    Facts,
    Head,
    Mark,
    Shape,
    Table,
    Words,
    cut,
    words,
)

__all__ = ["clock", "ntp"]


class Unsynced(Shape):
    """A service runs, and the clock is not synchronised."""

    Unsynced: str | None


class Tracking(Shape):
    """How the clock follows."""

    reference: str = ""
    stratum: int | None = None
    offset_seconds: float | None = None
    frequency_ppm: float | None = None
    root_delay_seconds: float | None = None
    leap: str = ""


class Source(Shape):
    """One server."""

    name: str
    mode: str = ""
    state: str = ""
    stratum: int | None = None
    reach: int | None = None
    offset_seconds: float | None = None


class Clock(Shape):
    """The payload."""

    services: tuple[Any, ...]
    synchronized: bool | None
    tracking: Tracking | None = None
    sources: tuple[Source, ...] = ()


STATE: TypeAdapter[str | Unsynced] = TypeAdapter(str | Unsynced)
STATES = {
    "Synced": Mark("synchronised", "ok"),
    "None": Mark("no time service runs", "bad"),
    "Multiple": Mark("several time services fight over the clock", "bad"),
    "Unknown": Mark("not known", "warn"),
}


def ntp(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    read = STATE.validate_python(payload)
    if isinstance(read, Unsynced):
        offset = f", off by {read.Unsynced}" if read.Unsynced else ""
        state = Mark(f"not synchronised{offset}", "bad")
    else:
        state = STATES.get(read, Mark(read, "warn"))
    return (Facts("Time", (("clock", state),)),)


def clock(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    read = Clock.model_validate(payload)
    known = {True: Mark("synchronised", "ok"), False: Mark("not synchronised", "bad")}
    state = Mark("not known", "warn") if read.synchronized is None else known[read.synchronized]
    pairs: list[tuple[str, Cell]] = [("clock", state)]
    pairs.append(("service", words(", ".join(map(str, read.services)) or "none")))
    if (one := read.tracking) is not None:
        pairs += [
            ("follows", words(one.reference, code=True)),
            ("stratum", words(one.stratum)),
            ("offset", Words(quantity(one.offset_seconds, "seconds"))),
            ("frequency error", Words(quantity(one.frequency_ppm, "ppm"))),
            ("root delay", Words(quantity(one.root_delay_seconds, "seconds"))),
            ("leap second", words(one.leap)),
        ]
    heads = (
        Head("Source"), Head("State"), Head("Offset"), Head("Stratum", number=True),
        Head("Reach", number=True), Head("Kind"),
    )  # fmt: skip
    rows, beyond = cut(map(row, read.sources))
    return (
        Facts("Time", tuple(pairs)),
        Chart("Offset", (("tracking.offset_seconds", "offset"),)),
        Table("Sources", heads, rows, beyond=beyond),
    )


def row(one: Source) -> tuple[Cell, ...]:
    good = {"selected", "combined"}
    bad = {"unreachable", "falseticker"}
    tone: Mark = Mark(one.state or NONE, "ok" if one.state in good else "idle")
    offset = quantity(one.offset_seconds, "seconds")
    return (
        words(one.name, code=True),
        Mark(one.state, "bad") if one.state in bad else tone,
        Curve(f"sources[{one.name}].offset_seconds", text=offset),
        words(one.stratum),
        words(None if one.reach is None else f"{one.reach:08b}", code=True),
        words(one.mode),
    )
