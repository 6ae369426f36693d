"""Which time service runs here, under the names that distributions give it."""

from __future__ import annotations

from typing import Literal

from emf_plugins_host.dbus import SystemBus
from emf_plugins_host.units.systemd import Systemd

__all__ = ["Service", "running_services"]

Service = Literal["chrony", "ntpd"]
UNITS: tuple[tuple[Service, tuple[str, ...]], ...] = (
    ("chrony", ("chronyd.service", "chrony.service")),
    ("ntpd", ("ntpd.service", "ntp.service", "ntpsec.service")),
)


async def running_services(bus: SystemBus) -> list[Service]:
    """Return those that run; one that is not installed does not."""
    systemd = Systemd(bus)
    found: list[Service] = []
    for service, units in UNITS:
        for unit in units:
            status = await systemd.find(unit)
            if status is not None and status.run_state in ("Started", "Setup"):
                found.append(service)
                break
    return found
