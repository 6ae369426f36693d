"""Curves as SVG paths: from points in time to what a template draws. Pure; no script is needed.

A point is a time (seconds) and a number, or None where there is a gap. What a curve shows is told
in words too, and a plot has its figures as a table, for people who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from emf_manager.web.figures import per_second, quantity

__all__ = ["Plot", "Points", "Series", "Sparkline", "plot", "sparkline"]

Points = Sequence[tuple[float, float | None]]
SPARK_WIDTH, SPARK_HEIGHT = 120, 28
PLOT_WIDTH, PLOT_HEIGHT = 640, 180
MOST_TABLED = 24
"""Rows of a plot's table."""
STEPS = (60, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 604800)


@dataclass(frozen=True)
class Series:
    """A series as the history has it; a counter's points are its rate."""

    name: str
    kind: str
    unit: str
    points: Points

    @property
    def say(self) -> Callable[[float | None, str], str]:
        """How to say one of its numbers."""
        return per_second if self.kind == "counter" else quantity

    @property
    def numbers(self) -> list[float]:
        """Its numbers, without gaps."""
        return [value for _, value in self.points if value is not None and math.isfinite(value)]


@dataclass(frozen=True)
class Sparkline:
    """A curve for a cell of a table."""

    line: str
    area: str
    text: str
    """The newest figure."""
    words: str
    """What there is to see."""
    width: int = SPARK_WIDTH
    height: int = SPARK_HEIGHT


@dataclass(frozen=True)
class Drawn:
    """One line of a plot."""

    label: str
    line: str
    text: str
    """The newest figure."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Plot:
    """Several series on one pair of axes."""

    lines: tuple[Drawn, ...]
    across: tuple[Tick, ...]
    upward: tuple[Tick, ...]
    words: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Time, and the figure of each series."""
    width: int = PLOT_WIDTH
    height: int = PLOT_HEIGHT


def sparkline(series: Series) -> Sparkline | None:
    """Return a small curve; None where there are not two points."""
    numbers = series.numbers
    if len(numbers) < 2:
        return None
    box = Box.around([series], SPARK_WIDTH, SPARK_HEIGHT, pad=2)
    line = box.line(series.points)
    newest = series.say(numbers[-1], series.unit)
    least, most = (series.say(one, series.unit) for one in (min(numbers), max(numbers)))
    return Sparkline(
        line=line,
        area=box.area(series.points),
        text=newest,
        words=f"now {newest}, from {least} to {most}",
    )


def plot(named: Sequence[tuple[str, Series]]) -> Plot | None:
    """Return a plot; None where no series has two points. All have the first one's unit."""
    shown = [(label, one) for label, one in named if len(one.numbers) >= 2]
    if not shown:
        return None
    first = shown[0][1]
    shown = [
        (label, one) for label, one in shown if (one.unit, one.kind) == (first.unit, first.kind)
    ]
    every = [one for _, one in shown]
    box = Box.around(every, PLOT_WIDTH, PLOT_HEIGHT, pad=0)
    lines = tuple(
        Drawn(label, box.line(one.points), first.say(one.numbers[-1], one.unit))
        for label, one in shown
    )
    return Plot(
        lines=lines,
        across=box.across(),
        upward=box.upward(lambda value: first.say(value, short(first.unit))),
        words="; ".join(f"{one.label} now {one.text}" for one in lines),
        rows=table(every),
    )


@dataclass(frozen=True)
class Box:
    """What part of time and of numbers is shown, and on how large a ground."""

    since: float
    until: float
    low: float
    high: float
    width: int
    height: int
    pad: int

    @classmethod
    def around(cls, series: Sequence[Series], width: int, height: int, *, pad: int) -> Box:
        """Return the box that holds them, from the first number on.

        A large one begins at zero, a small one only where that is not far away.
        """
        times = [
            at
            for one in series
            for at, value in one.points
            if value is not None and math.isfinite(value)
        ]
        numbers = [value for one in series for value in one.numbers]
        low, high = min(numbers), max(numbers)
        if 0 <= low < (math.inf if pad == 0 else high * 0.8) or low == high >= 0:
            low = 0.0
        top = high if high > low else low + max(1.0, abs(low))
        if pad == 0:
            base = 1024 if series[0].unit == "bytes" else 1000
            top = rounded_up(top - low, base) + low
        since, until = min(times), max(at for one in series for at, _ in one.points)
        return cls(since, max(until, since + 1), low, top, width, height, pad)

    def x(self, at: float) -> float:
        """Return where a time stands."""
        return round((at - self.since) / (self.until - self.since) * self.width, 1)

    def y(self, value: float) -> float:
        """Return where a number stands."""
        room = self.height - 2 * self.pad
        return round(self.pad + room * (1 - (value - self.low) / (self.high - self.low)), 1)

    def line(self, points: Points) -> str:
        """Return the path of a curve, which has a gap where there are no numbers."""
        return " ".join(
            "M" + " L".join(f"{x} {y}" for x, y in stretch) for stretch in self.stretches(points)
        )

    def area(self, points: Points) -> str:
        """Return the path of the ground below a curve."""
        floor = self.height
        return " ".join(
            f"M{stretch[0][0]} {floor} L" + " L".join(f"{x} {y}" for x, y in stretch)
            + f" L{stretch[-1][0]} {floor}Z"
            for stretch in self.stretches(points)
        )  # fmt: skip

    def stretches(self, points: Points) -> list[list[tuple[float, float]]]:
        """Return the stretches without a gap."""
        found: list[list[tuple[float, float]]] = [[]]
        for at, value in points:
            if value is None or not math.isfinite(value) or at < self.since:
                found.append([])
            else:
                found[-1].append((self.x(at), self.y(value)))
        return [stretch for stretch in found if stretch]

    def across(self) -> tuple[Tick, ...]:
        """Return the marks of the time axis, at whole minutes, hours or days."""
        span = self.until - self.since
        step = next((one for one in STEPS if span / one <= 6), STEPS[-1])
        first = math.ceil(self.since / step) * step
        count = int((self.until - first) // step) + 1
        return tuple(
            Tick(self.x(at), clock(at, span))
            for at in (first + n * step for n in range(min(count, 12)))
        )

    def upward(self, say: Callable[[float], str]) -> tuple[Tick, ...]:
        """Return the marks of the axis of numbers."""
        values = [self.low + (self.high - self.low) * part / 4 for part in range(5)]
        return tuple(Tick(self.y(value), say(value)) for value in values)


def short(unit: str) -> str:
    """Return a unit for an axis: a word is said beside it, not at each mark."""
    return unit if unit in {"bytes", "seconds", "percent", "ratio", "celsius"} else ""


def rounded_up(value: float, base: int) -> float:
    """Return the next number that is easy to quarter, and to say in powers of a base."""
    if value <= 0:
        return 1.0
    scale = float(base) ** math.floor(math.log(value, base))
    value /= scale
    return scale * tenfold(value)


def tenfold(value: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(value))
    return next(
        (
            step * magnitude
            for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8)
            if step * magnitude >= value
        ),
        10 * magnitude,
    )


def clock(at: float, span: float) -> str:
    moment = datetime.fromtimestamp(at, timezone.utc)
    return f"{moment:%d %b}" if span > 3 * 86400 else f"{moment:%H:%M}"


def table(series: Sequence[Series]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return figures at some of the times, the newest first."""
    times = sorted({at for one in series for at, _ in one.points}, reverse=True)
    chosen = times[:: max(1, len(times) // MOST_TABLED)][:MOST_TABLED]
    by_time = [dict(one.points) for one in series]
    return tuple(
        (
            f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S}Z",
            tuple(
                one.say(found.get(at), one.unit) for one, found in zip(series, by_time, strict=True)
            ),
        )
        for at in chosen
    )
