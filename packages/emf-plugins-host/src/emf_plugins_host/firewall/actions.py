"""Actions on the firewall: a port opened or closed, now and for good."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from emf_agent.plugin import ActionContext, action
from emf_plugins_host.dbus import system_bus
from emf_plugins_host.firewall.firewalld import Firewalld, Protocol, Scope

__all__ = ["add_firewall_port", "remove_firewall_port"]

TIMEOUT_S = 60
LOCKS = ("firewall",)
NOT_RUNNING = "would do nothing: firewalld does not run on this node"
Port = Annotated[int, Field(ge=0, le=65535)]


@action(timeout_s=TIMEOUT_S, dry_run=True, idempotent=True, locks=LOCKS)
async def add_firewall_port(
    port: Port, protocol: Protocol, context: ActionContext, scope: Scope = "both"
) -> str | None:
    """Open a port in the firewall's default zone, now and for good; nothing where none runs."""
    async with system_bus() as bus:
        firewall = Firewalld(bus)
        if not await firewall.is_running():
            return NOT_RUNNING if context.dry_run else None
        zone = await firewall.default_zone()
        if not context.dry_run:
            await firewall.open(zone, port, protocol, scope)
            return None
        if await firewall.is_open(zone, port, protocol, scope):
            return f"would do nothing: {port}/{protocol} is open in zone {zone} ({scope})"
        return f"would open {port}/{protocol} in zone {zone} ({scope})"


@action(timeout_s=TIMEOUT_S, dry_run=True, idempotent=True, locks=LOCKS)
async def remove_firewall_port(
    port: Port, protocol: Protocol, context: ActionContext, scope: Scope = "both"
) -> str | None:
    """Close a port in the firewall's default zone, now and for good; nothing where none runs."""
    async with system_bus() as bus:
        firewall = Firewalld(bus)
        if not await firewall.is_running():
            return NOT_RUNNING if context.dry_run else None
        zone = await firewall.default_zone()
        if not context.dry_run:
            await firewall.close(zone, port, protocol, scope)
            return None
        if await firewall.is_closed(zone, port, protocol, scope):
            return f"would do nothing: {port}/{protocol} is closed in zone {zone} ({scope})"
        return f"would close {port}/{protocol} in zone {zone} ({scope})"
