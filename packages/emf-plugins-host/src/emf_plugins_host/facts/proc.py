"""What /proc and /etc say of the machine, as values. Pure parsers: text in, value out."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from typing_extensions import TypedDict

from emf_agent.plugin import Counter, Gauge

__all__ = [
    "CpuTimes",
    "Load",
    "Memory",
    "Pressure",
    "PressureLine",
    "boot_seconds",
    "cpu_model",
    "cpu_times",
    "load",
    "memory",
    "pressure",
    "uptime_seconds",
]

TICKS_PER_S = 100
"""USER_HZ, the unit of /proc/stat, is 100 on every architecture Linux servers run on."""
PRESSURE = re.compile(
    r"(some|full) avg10=([\d.]+) avg60=([\d.]+) avg300=([\d.]+) total=(\d+)", re.ASCII
)


class Load(TypedDict):
    """/proc/loadavg."""

    one: Annotated[float, Gauge("threads")]
    five: Annotated[float, Gauge("threads")]
    fifteen: Annotated[float, Gauge("threads")]
    running: Annotated[int, Gauge("threads")]
    """Threads that run or want to."""
    threads: Annotated[int, Gauge("threads")]


class Memory(TypedDict):
    """/proc/meminfo, in bytes."""

    total: Annotated[int, Gauge("bytes")]
    available: Annotated[int, Gauge("bytes")]
    free: Annotated[int, Gauge("bytes")]
    buffers: int
    cached: Annotated[int, Gauge("bytes")]
    slab: Annotated[int, Gauge("bytes")]
    dirty: Annotated[int, Gauge("bytes")]
    swap_total: int
    swap_free: Annotated[int, Gauge("bytes")]
    hugepages_total: int
    hugepages_free: int


class CpuTimes(TypedDict):
    """Seconds all processors spent since boot, from the first line of /proc/stat."""

    user: Annotated[float, Counter("seconds")]
    nice: Annotated[float, Counter("seconds")]
    system: Annotated[float, Counter("seconds")]
    idle: Annotated[float, Counter("seconds")]
    iowait: Annotated[float, Counter("seconds")]
    irq: Annotated[float, Counter("seconds")]
    softirq: Annotated[float, Counter("seconds")]
    steal: Annotated[float, Counter("seconds")]


class PressureLine(TypedDict):
    """One line of a pressure file: shares in percent, the total in microseconds."""

    avg10: Annotated[float, Gauge("percent")]
    avg60: float
    avg300: float
    total_us: int


Pressure = dict[Literal["some", "full"], PressureLine]


def load(text: str) -> Load | None:
    """Return /proc/loadavg; None where it cannot be read."""
    match = re.match(r"([\d.]+) ([\d.]+) ([\d.]+) (\d+)/(\d+)", text, re.ASCII)
    if match is None:
        return None
    return {
        "one": float(match[1]),
        "five": float(match[2]),
        "fifteen": float(match[3]),
        "running": int(match[4]),
        "threads": int(match[5]),
    }


def memory(text: str) -> Memory:
    """Return /proc/meminfo; a field that this kernel lacks is 0."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if number.isdecimal():
            found[name] = int(number) * (1024 if unit == "kB" else 1)
    return {
        "total": found.get("MemTotal", 0),
        "available": found.get("MemAvailable", 0),
        "free": found.get("MemFree", 0),
        "buffers": found.get("Buffers", 0),
        "cached": found.get("Cached", 0),
        "slab": found.get("Slab", 0),
        "dirty": found.get("Dirty", 0),
        "swap_total": found.get("SwapTotal", 0),
        "swap_free": found.get("SwapFree", 0),
        "hugepages_total": found.get("HugePages_Total", 0),
        "hugepages_free": found.get("HugePages_Free", 0),
    }


def cpu_times(stat: str) -> CpuTimes | None:
    """Return the sum of all processors; None where the line is not there."""
    fields = stat.partition("\n")[0].split()
    if not fields or fields[0] != "cpu":
        return None
    ticks = [int(field) for field in fields[1:9] if field.isdecimal()]
    seconds = [tick / TICKS_PER_S for tick in (*ticks, *[0] * (8 - len(ticks)))]
    return {
        "user": seconds[0],
        "nice": seconds[1],
        "system": seconds[2],
        "idle": seconds[3],
        "iowait": seconds[4],
        "irq": seconds[5],
        "softirq": seconds[6],
        "steal": seconds[7],
    }


def boot_seconds(stat: str) -> int | None:
    """Return the moment of the boot as seconds since 1970."""
    match = re.search(r"^btime (\d+)$", stat, re.ASCII | re.MULTILINE)
    return None if match is None else int(match[1])


def uptime_seconds(text: str) -> float | None:
    """Return the first number of /proc/uptime."""
    first = text.partition(" ")[0]
    return float(first) if re.fullmatch(r"\d+(\.\d+)?", first, re.ASCII) else None


def pressure(text: str) -> Pressure:
    """Return a file of /proc/pressure (kernel documentation, accounting/psi); {} where empty."""
    found: Pressure = {}
    for match in PRESSURE.finditer(text):
        line: PressureLine = {
            "avg10": float(match[2]),
            "avg60": float(match[3]),
            "avg300": float(match[4]),
            "total_us": int(match[5]),
        }
        found["some" if match[1] == "some" else "full"] = line
    return found


def cpu_model(cpuinfo: str) -> str | None:
    """Return the processor's name; architectures word the key differently."""
    for key in ("model name", "cpu model", "Processor", "cpu", "CPU part"):
        match = re.search(rf"^{key}\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
        if match is not None:
            return " ".join(match[1].split())
    return None
