"""The door to systemd's manager: units, their files, and jobs that are waited for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from emf_agent.errors import ActionError
from emf_plugins_host.dbus import DBusError, DBusRefusedError, SystemBus, get_property
from emf_plugins_host.units.run_state import UnitStatus

__all__ = ["JobFailedError", "ListedUnit", "Systemd", "UnitNotFoundError"]

SERVICE = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
SERVICE_UNIT = "org.freedesktop.systemd1.Service"
NOT_FOUND = frozenset(
    {"org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.FileNotFound"}
)
CANCEL_WITHIN_S = 1.0
ORDER_WITHIN_S = 5.0
"""Longest wait for systemd to say which job it made of an order."""
HARMLESS = frozenset({"done", "skipped"})
WORDS = {
    "canceled": "was cancelled by another order",
    "timeout": "ran out of its time",
    "failed": "failed",
    "dependency": "was not tried: a unit that it needs failed",
    "invalid": "makes no sense for this unit",
    "assert": "was refused: an assertion of the unit is not met",
    "unsupported": "is not supported for this kind of unit here",
    "once": "was refused: the unit was started once and may not be again",
}


class UnitNotFoundError(ActionError):
    """There is no unit of this name on the node."""

    def __init__(self, unit: str) -> None:
        super().__init__(f"{unit}: not found; is its package installed?")
        self.unit = unit


class JobFailedError(ActionError):
    """The job that was to start, stop or restart a unit did not do it."""


@dataclass(frozen=True)
class ListedUnit:
    """One unit of a list, in systemd's words."""

    name: str
    description: str
    load_state: str
    active_state: str
    sub_state: str


class Systemd:
    """systemd's manager, over a connection to the bus."""

    def __init__(self, bus: SystemBus) -> None:
        self._bus = bus

    async def status(self, unit: str) -> UnitStatus:
        """Return what systemd says of a unit.

        Raises:
            UnitNotFoundError: there is none of this name.

        """
        status = await self.find(unit)
        if status is None:
            raise UnitNotFoundError(unit)
        return status

    async def find(self, unit: str) -> UnitStatus | None:
        """Return what systemd says of a unit; None where there is none of this name."""
        try:
            (path,) = await self._manager("LoadUnit", "s", (unit,))
        except DBusRefusedError as error:
            if error.name in NOT_FOUND:
                return None
            raise
        status = UnitStatus(
            name=await self._of_unit(path, "Id"),
            path=path,
            load_state=await self._of_unit(path, "LoadState"),
            file_state=await self._of_unit(path, "UnitFileState"),
            active_state=await self._of_unit(path, "ActiveState"),
        )
        return status if status.exists else None

    async def run_job(self, method: str, status: UnitStatus) -> None:
        """Order ``StartUnit``, ``StopUnit`` or ``RestartUnit``, and wait for the job's own end.

        Cancelled, it cancels the job, too: one that waits in the queue is then not begun.

        Raises:
            JobFailedError: the job ended otherwise than it should; says how.
            DBusRefusedError: systemd took no job, for example for a masked unit.

        """
        await self._bus.listen(
            sender=SERVICE, interface=MANAGER, member="JobRemoved", path=PATH, arg2=status.name
        )
        await self._manager("Subscribe")
        # Keeps the unit in memory, with how it ended, for as long as we are connected.
        await self._manager("RefUnit", "s", (status.name,))
        job = await self._order(method, status.name)
        try:
            result = await self._job_removed(job)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(CANCEL_WITHIN_S, shield=True):
                await self._cancel(job)
            raise
        if result not in HARMLESS:
            raise JobFailedError(await self._why(status, method, result))
        if method != "StopUnit":
            await self._check_started(status, method)

    async def _order(self, method: str, unit: str) -> str:
        """Return the path of the job; who is cancelled meanwhile still learns what to cancel."""
        with anyio.move_on_after(ORDER_WITHIN_S, shield=True):
            (job,) = await self._manager(method, "ss", (unit, "replace"))
            return str(job)
        raise JobFailedError(f"{unit}: systemd took no order within {ORDER_WITHIN_S:g} s")

    async def _check_started(self, status: UnitStatus, method: str) -> None:
        """Raise where the job was done but the unit is not: it died at once, or was passed over.

        A unit that does its work and ends (``Type=oneshot``) is rightly inactive.
        """
        state = await self._of_unit(status.path, "ActiveState")
        if state == "failed":
            raise JobFailedError(await self._why(status, method, "failed"))
        if state == "inactive" and not await self._of_unit(status.path, "ConditionResult"):
            raise JobFailedError(
                f"{status.name}: not started, a condition of the unit is not met on this node"
            )

    async def _job_removed(self, job: str) -> str:
        while True:
            signal = await self._bus.next_signal()
            # Other jobs of the same unit end, too; only the path says which is ours.
            if signal.member == "JobRemoved" and signal.body[1] == job:
                return str(signal.body[3])

    async def _cancel(self, job: str) -> None:
        try:
            await self._manager("CancelJob", "u", (int(job.rpartition("/")[2]),))
        except DBusError:
            return  # it ended meanwhile

    async def _why(self, status: UnitStatus, method: str, result: str) -> str:
        verb = method.removesuffix("Unit").lower()
        text = f"{status.name}: {verb} {WORDS.get(result, result)}"
        if status.name.endswith(".service"):
            where = (self._bus, SERVICE, status.path, SERVICE_UNIT)
            detail = await get_property(*where, "Result")
            if detail != "success":
                number = await get_property(*where, "ExecMainStatus")
                text += f" ({detail}, exit status {number})"
        now = await self.status(status.name)
        return f"{text}, now {now.run_state}"

    async def enable(self, unit: str) -> bool:
        """Let a unit start by itself from the next boot on; False where it cannot be said so."""
        carries, _ = await self._manager("EnableUnitFiles", "asbb", ([unit], False, False))
        await self._manager("Reload")
        return bool(carries)

    async def disable(self, unit: str) -> None:
        """Let a unit not start by itself any more."""
        await self._manager("DisableUnitFiles", "asb", ([unit], False))
        await self._manager("Reload")

    async def units(self, patterns: Sequence[str], states: Sequence[str]) -> list[ListedUnit]:
        """Return the loaded units whose name fits a pattern and that are in one of the states."""
        (rows,) = await self._manager("ListUnitsByPatterns", "asas", (list(states), list(patterns)))
        return sorted((ListedUnit(*row[:5]) for row in rows), key=lambda unit: unit.name)

    async def _of_unit(self, path: str, name: str) -> Any:
        return await get_property(self._bus, SERVICE, path, UNIT, name)

    async def _manager(
        self, method: str, signature: str = "", body: tuple[Any, ...] = ()
    ) -> tuple[Any, ...]:
        return await self._bus.call(SERVICE, PATH, MANAGER, method, signature, body)
