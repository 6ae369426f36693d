"""The door to firewalld: its default zone's ports, now and after the next start.

Interfaces: firewalld.dbus(5).
"""

from __future__ import annotations

from typing import Any, Literal

from emf_plugins_host.dbus import DBusRefusedError, SystemBus

__all__ = ["Firewalld", "Protocol", "Scope"]

Protocol = Literal["tcp", "udp", "sctp", "dccp"]
Scope = Literal["both", "runtime", "permanent"]

SERVICE = "org.fedoraproject.FirewallD1"
PATH = "/org/fedoraproject/FirewallD1"
ZONE = "org.fedoraproject.FirewallD1.zone"
CONFIG_PATH = "/org/fedoraproject/FirewallD1/config"
CONFIG = "org.fedoraproject.FirewallD1.config"
CONFIG_ZONE = "org.fedoraproject.FirewallD1.config.zone"
DRIVER = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
AS_IT_SHOULD_BE = ("ALREADY_ENABLED", "NOT_ENABLED")
FOR_EVER = 0


class Firewalld:
    """firewalld's default zone, over a connection to the bus."""

    def __init__(self, bus: SystemBus) -> None:
        self._bus = bus

    async def is_running(self) -> bool:
        """Tell whether it runs; asking must not start it, which any other call would."""
        (running,) = await self._bus.call(*DRIVER, "NameHasOwner", "s", (SERVICE,))
        return bool(running)

    async def default_zone(self) -> str:
        """Return the name of the zone that is meant where none is named."""
        (zone,) = await self._bus.call(SERVICE, PATH, SERVICE, "getDefaultZone")
        return str(zone)

    async def is_open(self, zone: str, port: int, protocol: Protocol, scope: Scope) -> bool:
        """Tell whether a port is open in all that the scope names."""
        if scope != "permanent" and not await self._ask_runtime(zone, port, protocol):
            return False
        return scope == "runtime" or await self._ask_permanent(zone, port, protocol)

    async def is_closed(self, zone: str, port: int, protocol: Protocol, scope: Scope) -> bool:
        """Tell whether a port is not open in any that the scope names."""
        if scope != "permanent" and await self._ask_runtime(zone, port, protocol):
            return False
        return scope == "runtime" or not await self._ask_permanent(zone, port, protocol)

    async def open(self, zone: str, port: int, protocol: Protocol, scope: Scope) -> None:
        """Open a port; one that is open already stays open."""
        if scope != "runtime":
            await self._tolerant(
                await self._permanent(zone), CONFIG_ZONE, "addPort", "ss", (str(port), protocol)
            )
        if scope != "permanent":
            await self._tolerant(
                PATH, ZONE, "addPort", "sssi", (zone, str(port), protocol, FOR_EVER)
            )

    async def close(self, zone: str, port: int, protocol: Protocol, scope: Scope) -> None:
        """Close a port; one that is not open stays closed."""
        if scope != "runtime":
            await self._tolerant(
                await self._permanent(zone), CONFIG_ZONE, "removePort", "ss", (str(port), protocol)
            )
        if scope != "permanent":
            await self._tolerant(PATH, ZONE, "removePort", "sss", (zone, str(port), protocol))

    async def _ask_runtime(self, zone: str, port: int, protocol: Protocol) -> bool:
        (found,) = await self._bus.call(
            SERVICE, PATH, ZONE, "queryPort", "sss", (zone, str(port), protocol)
        )
        return bool(found)

    async def _ask_permanent(self, zone: str, port: int, protocol: Protocol) -> bool:
        (found,) = await self._bus.call(
            SERVICE,
            await self._permanent(zone),
            CONFIG_ZONE,
            "queryPort",
            "ss",
            (str(port), protocol),
        )
        return bool(found)

    async def _permanent(self, zone: str) -> str:
        (path,) = await self._bus.call(SERVICE, CONFIG_PATH, CONFIG, "getZoneByName", "s", (zone,))
        return str(path)

    async def _tolerant(
        self, path: str, interface: str, method: str, signature: str, body: tuple[Any, ...]
    ) -> None:
        """Call a method that changes something; that nothing had to be changed is no error."""
        try:
            await self._bus.call(SERVICE, path, interface, method, signature, body)
        except DBusRefusedError as error:
            if not error.text.startswith(AS_IT_SHOULD_BE):
                raise
