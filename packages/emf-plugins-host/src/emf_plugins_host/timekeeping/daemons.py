"""Daemons ``ntp``, in the ancestor's few words, and ``clock``, in numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import ClassVar, Literal

from typing_extensions import TypedDict

from emf_agent.command import Completed, run
from emf_agent.errors import CommandError
from emf_agent.plugin import Daemon, NotApplicableError
from emf_plugins_host.dbus import SystemBus, system_bus
from emf_plugins_host.timekeeping import sources
from emf_plugins_host.timekeeping.kernel_clock import is_synchronized
from emf_plugins_host.timekeeping.services import Service, running_services

__all__ = ["Clock", "ClockPayload", "Ntp", "TimeState"]


class Unsynced(TypedDict):
    """A service runs, the clock is not synchronised; the offset in the service's own words."""

    Unsynced: str | None


ANSWER_WITHIN_S = 0.4
SYSTEMD_RUNS = Path("/run/systemd/system")
"""There where systemd is what started the node (sd_booted(3))."""

TimeState = Literal["None", "Multiple", "Synced", "Unknown"] | Unsynced
Connect = Callable[[], AbstractAsyncContextManager[SystemBus]]


class Ntp(Daemon):
    """Whether a time service runs, and whether the clock is synchronised."""

    name: ClassVar[str] = "ntp"

    def __init__(
        self,
        *,
        connect: Connect = system_bus,
        synchronized: Callable[[], bool | None] = is_synchronized,
    ) -> None:
        self._connect = connect
        self._synchronized = synchronized

    async def start_session(self) -> TimeState:
        """Return the first state.

        Raises:
            NotApplicableError: systemd does not run here.

        """
        require_systemd()
        return await self.update_session()

    async def update_session(self) -> TimeState:
        """Return the state; equal ones are sent once."""
        async with self._connect() as bus:
            running = await running_services(bus)
        if not running:
            return "None"
        if len(running) > 1:
            return "Multiple"
        match self._synchronized():
            case True:
                return "Synced"
            case None:
                return "Unknown"
            case _:
                return {"Unsynced": await offset_text(running[0])}


async def offset_text(service: Service) -> str | None:
    """Return the offset in the words of the service's own program; None where it has none."""
    if service == "ntpd":
        said = await ask("ntpstat", ok_codes=(0, 1, 2))
        return None if said is None else sources.ntpd_offset_text(said)
    said = await ask("chronyc", "ntpdata")
    return None if said is None else sources.chrony_offset_text(said)


class ClockPayload(TypedDict):
    """The time service in numbers."""

    services: list[Service]
    """Those that run; more than one fight over the clock."""
    synchronized: bool | None
    tracking: sources.Tracking | None
    sources: list[sources.Source]


class Clock(Daemon):
    """The time service in numbers: offset, stratum, sources."""

    name: ClassVar[str] = "clock"
    interval_s: ClassVar[float] = 30.0

    def __init__(
        self,
        *,
        connect: Connect = system_bus,
        synchronized: Callable[[], bool | None] = is_synchronized,
    ) -> None:
        self._connect = connect
        self._synchronized = synchronized

    async def start_session(self) -> ClockPayload:
        """Return the first look.

        Raises:
            NotApplicableError: systemd does not run here.

        """
        require_systemd()
        return await self.update_session()

    async def update_session(self) -> ClockPayload:
        """Return all of it, as it is now."""
        async with self._connect() as bus:
            running = await running_services(bus)
        payload: ClockPayload = {
            "services": running,
            "synchronized": self._synchronized(),
            "tracking": None,
            "sources": [],
        }
        if "chrony" in running:
            payload["tracking"] = sources.chrony_tracking(
                await ask("chronyc", "-c", "tracking") or ""
            )
            payload["sources"] = sources.chrony_sources(
                await ask("chronyc", "-c", "-n", "sources") or ""
            )
        elif "ntpd" in running:
            payload["tracking"] = sources.ntpd_tracking(await ask("ntpq", "-n", "-c", "rv") or "")
            payload["sources"] = sources.ntpd_sources(await ask("ntpq", "-n", "-p") or "")
        return payload


async def ask(program: str, *arguments: str, ok_codes: tuple[int, ...] = (0,)) -> str | None:
    """Return what a time service's program says; None where it is missing or fails."""
    try:
        completed: Completed = await run(
            [program, *arguments], timeout_s=ANSWER_WITHIN_S, ok_codes=ok_codes, grace_s=0
        )
        return completed.stdout.text
    except CommandError:
        return None


def require_systemd() -> None:
    """Raise NotApplicableError where no systemd could be asked for the time services."""
    if not SYSTEMD_RUNS.is_dir():
        raise NotApplicableError("systemd does not run here, so no time service is known")
