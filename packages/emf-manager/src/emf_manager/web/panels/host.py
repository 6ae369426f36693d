"""Panels of the daemon ``host``: what the machine is, how busy, how full."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from emf_manager.web.figures import NONE, quantity
from emf_manager.web.panels.blocks import (
    Bar,
    Block,
    Cell,
    Chart,
    Curve,
    Facts,
    Head,
    Mark,
    Shape,
    Table,
    Tone,
    Words,
    cut,
    words,
)

__all__ = ["fullness", "host"]

FULL: tuple[tuple[float, Tone], ...] = ((0.95, "bad"), (0.85, "warn"))
"""From which share on a bar warns."""
UNITS = {"celsius": "°C", "rpm": "rpm", "volt": "V", "ampere": "A", "watt": "W", "joule": "J"}


class Os(Shape):
    """The operating system."""

    name: str | None = None


class Kernel(Shape):
    """The kernel."""

    release: str | None = None
    machine: str | None = None


class Hardware(Shape):
    """The machine."""

    vendor: str | None = None
    product: str | None = None
    serial: str | None = None


class Cpu(Shape):
    """The processors."""

    model: str | None = None
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None


class Load(Shape):
    """How many threads wanted to run."""

    one: float
    five: float
    fifteen: float


class Memory(Shape):
    """Bytes."""

    total: int
    available: int
    swap_total: int = 0
    swap_free: int = 0


class Pressure(Shape):
    """One resource: ``some`` waited so much of the last ten seconds, percent."""

    some: dict[str, float] = Field(default_factory=dict)
    full: dict[str, float] = Field(default_factory=dict)


class FileSystem(Shape):
    """A mounted file system."""

    target: str
    source: str | None = None
    fs_type: str | None = None
    read_only: bool = False
    size: int | None = None
    available: int | None = None
    inodes: int | None = None
    inodes_free: int | None = None
    stuck_since: str | None = None
    error: str | None = None


class Sensor(Shape):
    """One reading."""

    chip: str = ""
    label: str = ""
    unit: str = ""
    value: float
    max: float | None = None
    critical: float | None = None
    alarm: bool = False


class Host(Shape):
    """The payload."""

    hostname: str
    os: Os = Os()
    kernel: Kernel = Kernel()
    hardware: Hardware = Hardware()
    cpu: Cpu = Cpu()
    boot_time: str | None = None
    uptime_seconds: float | None = None
    load: Load | None = None
    memory_bytes: Memory | None = None
    pressure: dict[str, Pressure] = Field(default_factory=dict)
    file_systems: tuple[FileSystem, ...] = ()
    sensors: tuple[Sensor, ...] = ()
    sensors_stuck_since: str | None = None


def host(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    read = Host.model_validate(payload)
    rows, beyond = cut(map(file_system, read.file_systems))
    heads = (
        Head("Mounted at"), Head("In use"), Head("Available"), Head("Inodes in use"), Head("Type"),
        Head("From"),
    )  # fmt: skip
    return (
        Facts("Now", tuple(now(read))),
        Facts("Machine", tuple(machine(read))),
        Chart(
            "Processors",
            tuple((f"cpu_seconds.{one}", one) for one in ("user", "system", "iowait", "steal")),
        ),
        Chart("Load", tuple((f"load.{one}", f"{one} min") for one in ("one", "five", "fifteen"))),
        Chart(
            "Memory", (("memory_bytes.available", "available"), ("memory_bytes.cached", "cached"))
        ),
        Table("File systems", heads, rows, beyond=beyond),
        *sensors(read),
    )


def now(read: Host) -> Iterable[tuple[str, Cell]]:
    if read.load is not None:
        threads = read.cpu.threads or 0
        load = f"{read.load.one:g} · {read.load.five:g} · {read.load.fifteen:g}"
        busy = bool(threads) and read.load.five > 2 * threads
        text = f"{load} on {threads} threads" if threads else load
        yield "load", Mark(text, "warn") if busy else Words(text)
    memory = read.memory_bytes
    if memory is not None and memory.total > 0:
        yield "memory", fullness(memory.total - memory.available, memory.total)
    if memory is not None and memory.swap_total > 0:
        yield "swap", fullness(memory.swap_total - memory.swap_free, memory.swap_total)
    for resource, pressure in sorted(read.pressure.items())[:8]:
        some = pressure.some.get("avg10", 0.0)
        tone: Tone = "warn" if resource != "cpu" and some >= 20 else "ok"
        yield f"waiting for {resource}", Bar(some / 100, "of the last 10 s", tone)
    if read.uptime_seconds is not None:
        since = f", since {read.boot_time}" if read.boot_time else ""
        yield "up", Words(quantity(read.uptime_seconds, "seconds") + since)


def machine(read: Host) -> Iterable[tuple[str, Cell]]:
    yield "name", words(read.hostname, code=True)
    yield "system", words(read.os.name)
    yield "kernel", words(" ".join(filter(None, (read.kernel.release, read.kernel.machine))))
    yield "processors", words(read.cpu.model)
    cpu = read.cpu
    counted = ((cpu.sockets, "socket"), (cpu.cores, "core"), (cpu.threads, "thread"))
    named = (f"{n} {what}{'' if n == 1 else 's'}" for n, what in counted if n is not None)
    yield "of these", words(", ".join(named))
    vendor = " ".join(filter(None, (read.hardware.vendor, read.hardware.product)))
    yield "hardware", words(vendor)
    yield "serial number", words(read.hardware.serial, code=True)


def fullness(used: float, size: float) -> Bar:
    """Return a bar of how much is used."""
    share = used / size if size > 0 else 0.0
    return Bar(share, f"{quantity(used, 'bytes')} of {quantity(size, 'bytes')}", tone_of(share))


def tone_of(share: float) -> Tone:
    return next((tone for least, tone in FULL if share >= least), "ok")


def file_system(one: FileSystem) -> tuple[Cell, ...]:
    if one.stuck_since or one.error:
        why = f"no answer since {one.stuck_since}" if one.stuck_since else str(one.error)
        told: tuple[Cell, ...] = (Mark(why, "bad"), Words(NONE), Words(NONE))
    elif one.size:
        free = one.available or 0
        told = (
            fullness(one.size - free, one.size),
            Curve(f"file_systems[{one.target}].available", text=quantity(free, "bytes")),
            inodes(one),
        )
    else:
        told = (Words(NONE), Words(NONE), Words(NONE))
    kind = f"{one.fs_type or NONE}{', read only' if one.read_only else ''}"
    return (words(one.target, code=True), *told, Words(kind), words(one.source, code=True))


def inodes(one: FileSystem) -> Cell:
    if not one.inodes or one.inodes_free is None:
        return Words(NONE)
    share = (one.inodes - one.inodes_free) / one.inodes
    return Bar(share, f"of {quantity(one.inodes)}", tone_of(share))


def sensors(read: Host) -> Iterable[Block]:
    if read.sensors_stuck_since:
        told = Mark(f"no answer since {read.sensors_stuck_since}", "bad")
        yield Facts("Sensors", (("sensors", told),))
    if read.sensors:
        heads = (Head("Sensor"), Head("Reading"), Head("Limit", number=True))
        rows, beyond = cut(map(sensor, read.sensors))
        yield Table("Sensors", heads, rows, beyond=beyond)


def sensor(one: Sensor) -> tuple[Cell, ...]:
    unit = UNITS.get(one.unit, one.unit)
    limit = one.critical if one.critical is not None else one.max
    over = one.alarm or (limit is not None and one.value >= limit)
    reading = f"{one.value:g} {unit}"
    return (
        words(f"{one.chip} {one.label}".strip()),
        Mark(reading, "bad") if over else Words(reading),
        words(None if limit is None else f"{limit:g} {unit}"),
    )
