"""Numbers for people: short, with their unit, and many of them as one line of bars. Pure."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["quantity", "sparkline"]

BARS = "▁▂▃▄▅▆▇█"
BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
DECIMAL = ("", "k", "M", "G", "T", "P", "E")
WHOLE = 1000


def quantity(value: float | None, unit: str, *, per_second: bool) -> str:
    """Return a number with its unit, such as ``1.2 MiB/s``; ``-`` where there is none."""
    if value is None:
        return "-"
    base, prefixes = (1024, BINARY) if unit == "bytes" else (1000, DECIMAL)
    size, place = abs(value), 0
    while size >= base and place + 1 < len(prefixes):
        size, place = size / base, place + 1
    digits = f"{size:.0f}" if size >= WHOLE or size == int(size) else f"{size:.3g}"
    sign = "-" if value < 0 and digits != "0" else ""
    shown = "B" if unit == "bytes" else unit
    gap = " " if shown or prefixes[place] else ""
    return f"{sign}{digits}{gap}{prefixes[place]}{shown}{'/s' if per_second else ''}"


def sparkline(values: Sequence[float | None]) -> str:
    """Return one bar for each value between the lowest and the highest; a space for none."""
    known = [value for value in values if value is not None]
    if not known:
        return " " * len(values)
    low, high = min(known), max(known)
    span = high - low

    def bar(value: float) -> str:
        return BARS[0] if span == 0 else BARS[round((value - low) / span * (len(BARS) - 1))]

    return "".join(" " if value is None else bar(value) for value in values)
