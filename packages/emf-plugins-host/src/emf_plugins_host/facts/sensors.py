"""Temperatures, fans, voltages, power: the kernel's hardware monitors, where there are any.

Kernel documentation: hwmon/sysfs-interface.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from typing_extensions import NotRequired, TypedDict

__all__ = ["Sensor", "sensors"]

Unit = Literal["celsius", "rpm", "volt", "ampere", "watt", "joule", "percent"]
UNITS: dict[str, tuple[Unit, float]] = {
    "temp": ("celsius", 1000),
    "fan": ("rpm", 1),
    "in": ("volt", 1000),
    "curr": ("ampere", 1000),
    "power": ("watt", 1_000_000),
    "energy": ("joule", 1_000_000),
    "humidity": ("percent", 1000),
}
INPUT = re.compile(r"([a-z]+)(\d+)_input")


class Sensor(TypedDict):
    """One reading."""

    chip: str
    label: str
    unit: Unit
    value: float
    max: NotRequired[float]
    critical: NotRequired[float]
    alarm: NotRequired[bool]


def sensors(sys: Path) -> list[Sensor]:
    """Read them all; a sensor that does not answer is left out."""
    found = []
    for chip in sorted((sys / "class/hwmon").glob("hwmon*")):
        for file in sorted(chip.glob("*_input"), key=by_kind_and_number):
            reading = sensor(chip, file)
            if reading is not None:
                found.append(reading)
    return found


def by_kind_and_number(file: Path) -> tuple[str, int]:
    """Sort ``temp10`` after ``temp9``."""
    match = INPUT.fullmatch(file.name)
    return ("", 0) if match is None else (match[1], int(match[2]))


def sensor(chip: Path, file: Path) -> Sensor | None:
    """Read one."""
    match = INPUT.fullmatch(file.name)
    raw = number(file)
    if match is None or match[1] not in UNITS or raw is None:
        return None
    unit, divisor = UNITS[match[1]]
    stem = file.name.removesuffix("_input")
    reading: Sensor = {
        "chip": text(chip / "name") or chip.name,
        "label": text(chip / f"{stem}_label") or stem,
        "unit": unit,
        "value": raw / divisor,
    }
    limit = number(chip / f"{stem}_max")
    if limit is not None:
        reading["max"] = limit / divisor
    limit = number(chip / f"{stem}_crit")
    if limit is not None:
        reading["critical"] = limit / divisor
    alarm = number(chip / f"{stem}_alarm")
    if alarm is not None:
        reading["alarm"] = alarm != 0
    return reading


def number(file: Path) -> int | None:
    """Return the file's number; None where it has none."""
    try:
        return int(text(file))
    except ValueError:
        return None


def text(file: Path) -> str:
    """Return the file's text; empty where it cannot be read."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
