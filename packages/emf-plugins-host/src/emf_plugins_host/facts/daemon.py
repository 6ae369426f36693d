"""Daemon ``host``: what this machine is, and how it fares."""

from __future__ import annotations

import os
import platform
import socket
from datetime import datetime, timezone
from pathlib import Path
from typing import ClassVar

import anyio.to_thread
from typing_extensions import NotRequired, TypedDict

from emf_agent.plugin import Daemon
from emf_plugins_host.facts import proc
from emf_plugins_host.facts.file_systems import FileSystem, FileSystems
from emf_plugins_host.facts.hardware import Cpu, Hardware, cpu, hardware
from emf_plugins_host.facts.sensors import Sensor, sensors
from emf_plugins_host.mountinfo import Mount, mounts
from emf_plugins_host.probe import Answer, Probe, Stuck, Threads

__all__ = ["Host", "HostPayload", "SensorReader"]

SENSORS_WITHIN_S = 0.3
RESOURCES = ("cpu", "memory", "io", "irq")


class Os(TypedDict):
    """os-release(5)."""

    id: str
    version: str
    name: str


class Kernel(TypedDict):
    """The running kernel."""

    release: str
    version: str
    machine: str


class HostPayload(TypedDict):
    """What the daemon sends."""

    hostname: str
    machine_id: str | None
    boot_id: str | None
    boot_time: str | None
    """UTC."""
    uptime_seconds: float | None
    os: Os
    kernel: Kernel
    hardware: Hardware
    cpu: Cpu
    cpu_seconds: proc.CpuTimes | None
    load: proc.Load | None
    memory_bytes: proc.Memory
    pressure: dict[str, proc.Pressure]
    """By resource; empty where the kernel does not account for pressure."""
    file_systems: list[FileSystem]
    sensors: list[Sensor]
    sensors_stuck_since: NotRequired[str]


class Unchanging(TypedDict):
    """What is read once a session."""

    machine_id: str | None
    boot_id: str | None
    os: Os
    kernel: Kernel
    hardware: Hardware
    cpu: Cpu


class SensorReader:
    """Reads the sensors; lives longer than a session, since a hung read does."""

    def __init__(self, sys: Path = Path("/sys")) -> None:
        self.probe: Probe[list[Sensor]] = Probe(lambda: sensors(sys), Threads())


class Host(Daemon):
    """Hardware, operating system, load, memory, pressure, sensors and mounted file systems."""

    name: ClassVar[str] = "host"

    def __init__(
        self,
        file_systems: FileSystems | None = None,
        sensor_reader: SensorReader | None = None,
        *,
        root: Path = Path("/"),
    ) -> None:
        self._file_systems = file_systems or FileSystems()
        self._root = root
        self._sensors = sensor_reader or SensorReader(root / "sys")
        self._unchanging: Unchanging | None = None

    async def update_session(self) -> HostPayload:
        """Return all of it, as it is now."""
        unchanging, payload, mounted = await anyio.to_thread.run_sync(
            self._read, abandon_on_cancel=True
        )
        self._unchanging = unchanging
        payload["file_systems"] = await self._file_systems.usage(mounted)
        match await self._sensors.probe.within(SENSORS_WITHIN_S):
            case Answer(value):
                payload["sensors"] = value
            case Stuck(since):
                payload["sensors_stuck_since"] = since.isoformat(timespec="seconds")
            case _:
                pass
        return payload

    def _read(self) -> tuple[Unchanging, HostPayload, list[Mount]]:
        unchanging = self._unchanging or self._read_unchanging()
        stat = self._text("proc/stat")
        boot = proc.boot_seconds(stat)
        pressure = {
            resource: found
            for resource in RESOURCES
            if (found := proc.pressure(self._text(f"proc/pressure/{resource}")))
        }
        payload: HostPayload = {
            "hostname": socket.gethostname(),
            "machine_id": unchanging["machine_id"],
            "boot_id": unchanging["boot_id"],
            "os": unchanging["os"],
            "kernel": unchanging["kernel"],
            "hardware": unchanging["hardware"],
            "cpu": unchanging["cpu"],
            "boot_time": None
            if boot is None
            else datetime.fromtimestamp(boot, timezone.utc).isoformat(),
            "uptime_seconds": proc.uptime_seconds(self._text("proc/uptime")),
            "cpu_seconds": proc.cpu_times(stat),
            "load": proc.load(self._text("proc/loadavg")),
            "memory_bytes": proc.memory(self._text("proc/meminfo")),
            "pressure": pressure,
            "file_systems": [],
            "sensors": [],
        }
        return unchanging, payload, mounts(self._text("proc/self/mountinfo"))

    def _read_unchanging(self) -> Unchanging:
        release = os_release()
        kernel = os.uname()
        return {
            "machine_id": self._text("etc/machine-id").strip() or None,
            "boot_id": self._text("proc/sys/kernel/random/boot_id").strip() or None,
            "os": {
                "id": release.get("ID", "linux"),
                "version": release.get("VERSION_ID", ""),
                "name": release.get("PRETTY_NAME", "Linux"),
            },
            "kernel": {
                "release": kernel.release,
                "version": kernel.version,
                "machine": kernel.machine,
            },
            "hardware": hardware(self._root / "sys"),
            "cpu": cpu(self._root / "sys", self._text("proc/cpuinfo")),
        }

    def _text(self, name: str) -> str:
        try:
            return (self._root / name).read_text(errors="replace")
        except OSError:
            return ""


def os_release() -> dict[str, str]:
    """Return os-release(5); empty where there is no such file."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
