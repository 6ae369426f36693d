"""Numbers for people: a figure and its unit, short enough for a cell of a table."""

from __future__ import annotations

__all__ = ["NONE", "per_second", "quantity", "share"]

NONE = "\N{EN DASH}"
"""What is said where there is nothing to say."""
LARGEST = 1e30
"""What is larger, or not a number, is no measurement."""
BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
DECIMAL = ("", "k", "M", "G", "T", "P", "E")
COUNTED = {"bytes": "B", "seconds": "s", "percent": "%", "ratio": "", "celsius": "°C", "count": ""}


def quantity(value: float | None, unit: str = "") -> str:
    """Return a number with its unit; a dash where there is none."""
    if value is None or not abs(value) <= LARGEST:
        return NONE
    if unit == "bytes":
        return scaled(value, 1024, BINARY)
    if unit == "seconds":
        return duration(value)
    name = COUNTED.get(unit, unit)
    text = scaled(value, 1000, DECIMAL, joint="")
    return f"{text} {name}" if name else text


def per_second(value: float | None, unit: str = "") -> str:
    """Return a rate with its unit."""
    if value is None or not abs(value) <= LARGEST:
        return NONE
    if unit == "seconds":
        return share(value)
    return f"{quantity(value, unit)}/s"


def share(value: float | None) -> str:
    """Return a share of one in percent."""
    if value is None or not abs(value) <= LARGEST:
        return NONE
    return f"{100 * value:.1f} %" if 0 < abs(value) < 0.1 else f"{100 * value:.0f} %"


def scaled(value: float, base: int, units: tuple[str, ...], *, joint: str = " ") -> str:
    at = 0
    value = value or 0.0  # there is a zero with a minus
    while abs(value) >= base and at < len(units) - 1:
        value, at = value / base, at + 1
    text = f"{value:.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.3g}"
    return f"{text}{joint}{units[at]}" if units[at] else text


def duration(seconds: float) -> str:
    small = abs(seconds)
    if not small:
        return "0 s"
    if small and small < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    if small and small < 1:
        return f"{seconds * 1e3:.3g} ms"
    if small < 60:
        return f"{seconds:.3g} s"
    if small < 3600:
        return f"{seconds / 60:.0f} min"
    if small < 86400:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds // 86400:.0f} d {seconds % 86400 // 3600:.0f} h"
