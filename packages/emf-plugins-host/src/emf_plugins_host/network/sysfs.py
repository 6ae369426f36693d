"""What sysfs alone knows of networks: link speed, duplex, and InfiniBand ports.

Kernel documentation: ABI/testing/sysfs-class-net, ABI/stable/sysfs-class-infiniband.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from typing_extensions import TypedDict

__all__ = ["InfinibandPort", "Speed", "infiniband_ports", "link_speed"]


@dataclass(frozen=True)
class Speed:
    """How fast a link is; None where the driver does not say, for example without a cable."""

    mbit: int | None
    duplex: str | None


class InfinibandPort(TypedDict):
    """One port of one InfiniBand (or RoCE) device."""

    device: str
    port: int
    state: str
    """``ACTIVE``, ``INIT``, ``DOWN``..."""
    physical_state: str
    """``LinkUp``, ``Polling``, ``Disabled``..."""
    link_layer: str
    rate: str
    """As the driver words it: ``100 Gb/sec (4X EDR)``."""
    guid: str
    counters: dict[str, int]
    """All of ``counters``; ``port_rcv_data`` and ``port_xmit_data`` count words of 4 bytes."""


def link_speed(sys: Path, name: str) -> Speed:
    """Return what the driver says; reading it may ask the hardware."""
    folder = sys / "class/net" / name
    try:
        mbit = int(read(folder / "speed"))
    except ValueError:
        mbit = -1
    duplex = read(folder / "duplex")
    # -1 (and 2^32-1 of some drivers) stand for "unknown"
    known = 0 < mbit < 2**31
    return Speed(mbit if known else None, duplex if duplex in ("full", "half") else None)


def infiniband_ports(sys: Path) -> list[InfinibandPort]:
    """Return every port, by device and number; a device that goes meanwhile is left out."""
    ports = sorted((sys / "class/infiniband").glob("*/ports/[0-9]*"), key=by_device_and_number)
    return [infiniband_port(folder) for folder in ports]


def by_device_and_number(folder: Path) -> tuple[str, int]:
    """Sort ``mlx5_0/ports/10`` after ``mlx5_0/ports/9``."""
    return folder.parent.parent.name, int(folder.name)


def infiniband_port(folder: Path) -> InfinibandPort:
    """Read one port."""
    counters: dict[str, int] = {}
    for file in sorted((folder / "counters").glob("*")):
        value = read(file)
        if value.isdecimal():
            counters[file.name] = int(value)
    return {
        "device": folder.parent.parent.name,
        "port": int(folder.name),
        "state": worded(read(folder / "state")),
        "physical_state": worded(read(folder / "phys_state")),
        "link_layer": read(folder / "link_layer"),
        "rate": read(folder / "rate"),
        "guid": read(folder / "gids/0")[-19:].replace(":", ""),
        "counters": counters,
    }


def worded(state: str) -> str:
    """Return ``ACTIVE`` of ``4: ACTIVE``."""
    return state.partition(": ")[2] or state


def read(file: Path) -> str:
    """Return the file's text; empty where it is not there or the driver refuses to say."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
