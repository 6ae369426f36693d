"""What the machine is made of: firmware's tables and the processors' topology, from sysfs.

Kernel documentation: ABI/testing/sysfs-class-dmi..., admin-guide/cputopology.
"""

from __future__ import annotations

from pathlib import Path

from typing_extensions import TypedDict

from emf_plugins_host.facts.proc import cpu_model

__all__ = ["Cpu", "Hardware", "cpu", "hardware"]


class Cpu(TypedDict):
    """The processors."""

    model: str | None
    sockets: int | None
    cores: int | None
    threads: int
    """Logical processors that are online."""
    max_mhz: int | None
    numa_nodes: int


class Hardware(TypedDict):
    """What the firmware says of the machine; None where it does not, or we may not read it."""

    vendor: str | None
    product: str | None
    serial: str | None
    uuid: str | None
    bios_version: str | None
    bios_date: str | None


def hardware(sys: Path) -> Hardware:
    """Read the DMI table; machines without one (many ARM and POWER ones) have a device tree."""
    folder = sys / "class/dmi/id"
    tree = sys / "firmware/devicetree/base"
    return {
        "vendor": read(folder / "sys_vendor"),
        "product": read(folder / "product_name") or read(tree / "model"),
        "serial": read(folder / "product_serial") or read(tree / "serial-number"),
        "uuid": read(folder / "product_uuid"),
        "bios_version": read(folder / "bios_version"),
        "bios_date": read(folder / "bios_date"),
    }


def cpu(sys: Path, cpuinfo: str) -> Cpu:
    """Read the topology of the processors that are online."""
    folders = [
        folder
        for folder in (sys / "devices/system/cpu").glob("cpu[0-9]*")
        if read(folder / "online") != "0"
    ]
    packages, cores = set(), set()
    for folder in folders:
        package = read(folder / "topology/physical_package_id")
        core = read(folder / "topology/core_id")
        if package is not None:
            packages.add(package)
            cores.add((package, read(folder / "topology/die_id"), core))
    khz = read(sys / "devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq") or ""
    nodes = list((sys / "devices/system/node").glob("node[0-9]*"))
    return {
        "model": cpu_model(cpuinfo),
        "sockets": len(packages) or None,
        "cores": len(cores) or None,
        "threads": len(folders) or cpuinfo.count("processor\t:"),
        "max_mhz": int(khz) // 1000 if khz.isdecimal() else None,
        "numa_nodes": max(1, len(nodes)),
    }


def read(file: Path) -> str | None:
    """Return the file's text; None where there is none to be had."""
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return None
    return text.strip("\0 \n\t") or None
