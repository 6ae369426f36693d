"""Actions on units: start, stop, restart, enable, disable, and what state they are in."""

from __future__ import annotations

import math

import anyio
from typing_extensions import TypedDict

from emf_agent.errors import ActionError
from emf_agent.plugin import ActionContext, action
from emf_plugins_host.dbus import system_bus
from emf_plugins_host.units.run_state import RunState, UnitName
from emf_plugins_host.units.systemd import Systemd

__all__ = [
    "disable_unit",
    "enable_unit",
    "get_unit_run_state",
    "list_units",
    "restart_unit",
    "start_unit",
    "stop_unit",
]

JOB_TIMEOUT_S = 300
QUERY_TIMEOUT_S = 60
LAST_QUERY_S = 1.0
"""Kept back from the deadline, to say in which state the unit is when time is up."""
LOCK = ("unit:{unit}",)
MOST_UNITS = 2000


@action(timeout_s=JOB_TIMEOUT_S, dry_run=True, idempotent=True, locks=LOCK)
async def start_unit(unit: UnitName, context: ActionContext) -> str | None:
    """Start a unit and wait until it is active, or has failed."""
    return await change(unit, "StartUnit", "start", "active", context)


@action(timeout_s=JOB_TIMEOUT_S, dry_run=True, idempotent=True, locks=LOCK)
async def stop_unit(unit: UnitName, context: ActionContext) -> str | None:
    """Stop a unit and wait until it is inactive."""
    return await change(unit, "StopUnit", "stop", "inactive", context)


@action(timeout_s=JOB_TIMEOUT_S, dry_run=True, locks=LOCK)
async def restart_unit(unit: UnitName, context: ActionContext) -> str | None:
    """Restart a unit, or start it, and wait until it is active; twice restarts it twice."""
    return await change(unit, "RestartUnit", "restart", "active", context)


async def change(
    unit: str, method: str, verb: str, wanted: str, context: ActionContext
) -> str | None:
    """Order a job and wait for its end; with a dry run, say what would be ordered."""
    async with system_bus() as bus:
        systemd = Systemd(bus)
        status = await systemd.status(unit)
        if context.dry_run:
            return f"would {verb} {status.name}, now {status.run_state}"
        limit_s = max(0.0, context.remaining() - LAST_QUERY_S)
        with anyio.move_on_after(None if math.isinf(limit_s) else limit_s) as waiting:
            await systemd.run_job(method, status)
    if waiting.cancelled_caught:
        async with system_bus() as bus:
            now = (await Systemd(bus).status(unit)).run_state
        raise ActionError(f"{unit}: not {wanted} after {limit_s:.0f} s, now {now}")
    return None


@action(timeout_s=QUERY_TIMEOUT_S, dry_run=True, idempotent=True, locks=LOCK)
async def enable_unit(unit: UnitName, context: ActionContext) -> str | None:
    """Let a unit start by itself at boot."""
    async with system_bus() as bus:
        systemd = Systemd(bus)
        status = await systemd.status(unit)
        if context.dry_run:
            return f"would enable {status.name}, now {status.file_state or 'without a unit file'}"
        if not await systemd.enable(status.name):
            now = (await systemd.status(unit)).file_state
            raise ActionError(
                f"{status.name}: cannot be enabled, it is {now or 'without a unit file'}"
                " (it has no [Install] section; something else starts it)"
            )
    return None


@action(timeout_s=QUERY_TIMEOUT_S, dry_run=True, idempotent=True, locks=LOCK)
async def disable_unit(unit: UnitName, context: ActionContext) -> str | None:
    """Let a unit not start by itself at boot; one that runs runs on."""
    async with system_bus() as bus:
        systemd = Systemd(bus)
        status = await systemd.status(unit)
        if context.dry_run:
            return f"would disable {status.name}, now {status.file_state or 'without a unit file'}"
        await systemd.disable(status.name)
    return None


@action(timeout_s=QUERY_TIMEOUT_S, idempotent=True, read_only=True)
async def get_unit_run_state(unit: UnitName) -> RunState:
    """Return a unit's run state: Stopped, Enabled, Activating, Failed, Started or Setup."""
    async with system_bus() as bus:
        return (await Systemd(bus).status(unit)).run_state


class UnitRow(TypedDict):
    """One unit of a list, in systemd's words."""

    unit: str
    description: str
    load: str
    active: str
    sub: str


@action(timeout_s=QUERY_TIMEOUT_S, idempotent=True, read_only=True)
async def list_units(
    patterns: list[str] = ["*.service"],  # noqa: B006 - the schema shows it; never changed
    states: list[str] = [],  # noqa: B006 - as above
) -> list[UnitRow]:
    """List loaded units whose names fit a pattern, all or those in some states (failed, active)."""
    async with system_bus() as bus:
        found = await Systemd(bus).units(patterns, states)
    if len(found) > MOST_UNITS:
        raise ActionError(
            f"{len(found)} units fit, more than {MOST_UNITS}; give a narrower pattern"
        )
    return [
        {
            "unit": one.name,
            "description": one.description,
            "load": one.load_state,
            "active": one.active_state,
            "sub": one.sub_state,
        }
        for one in found
    ]
