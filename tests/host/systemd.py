"""A fake systemd behind the fake bus: a few units, and jobs that end as told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.host.bus import FakeBus, Refusal, Reply

__all__ = ["MANAGER", "FakeSystemd", "Unit"]

PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
SERVICE = "org.freedesktop.systemd1.Service"
PROPERTIES = "org.freedesktop.DBus.Properties"


@dataclass
class Unit:
    """One unit."""

    name: str
    file_state: str = "disabled"
    active_state: str = "inactive"
    load_state: str = "loaded"
    job_result: str | None = "done"
    """How its next job ends; None: never."""
    after_job: str = ""
    """Its active state after the job; empty: as the job says."""
    properties: dict[str, Any] = field(default_factory=dict)
    condition: bool = True

    @property
    def path(self) -> str:
        return f"{PATH}/unit/{self.name.replace('.', '_2e')}"


class FakeSystemd:
    """Answers for systemd."""

    def __init__(self, bus: FakeBus, *units: Unit) -> None:
        self.bus = bus
        self.units = {unit.name: unit for unit in units}
        self.last = Unit("none.service")
        self._job = 100
        bus.on(MANAGER, "LoadUnit", self._load)
        bus.on(MANAGER, "Subscribe", lambda: ("", ()))
        bus.on(MANAGER, "RefUnit", lambda _: ("", ()))
        bus.on(MANAGER, "Reload", lambda: ("", ()))
        bus.on(MANAGER, "CancelJob", lambda _: ("", ()))
        bus.on(PROPERTIES, "Get", self._property)
        for method, state in (
            ("StartUnit", "active"),
            ("RestartUnit", "active"),
            ("StopUnit", "inactive"),
        ):
            bus.on(MANAGER, method, lambda name, _mode, state=state: self.order(name, state))
        bus.on(MANAGER, "EnableUnitFiles", self._enable)
        bus.on(MANAGER, "DisableUnitFiles", self._disable)
        bus.on(MANAGER, "ListUnitsByPatterns", self._list)

    def _load(self, name: str) -> Reply:
        unit = self.units.get(name) or Unit(name, file_state="", load_state="not-found")
        self.last = unit
        return "o", (unit.path,)

    def _property(self, interface: str, name: str) -> Reply:
        unit = self.last
        if interface == SERVICE:
            return "v", (("s", unit.properties.get(name, "success")),)
        if name == "ConditionResult":
            return "v", (("b", unit.condition),)
        said = {
            "Id": unit.name,
            "LoadState": unit.load_state,
            "UnitFileState": unit.file_state,
            "ActiveState": unit.active_state,
        }
        return "v", (("s", said[name]),)

    def order(self, name: str, state: str) -> Reply:
        """Answer an order as systemd does, with the path of a job."""
        unit = self.units[name]
        if unit.load_state == "masked":
            raise Refusal("org.freedesktop.systemd1.UnitMasked", f"Unit {name} is masked.")
        self._job += 1
        job = f"{PATH}/job/{self._job}"
        unit.active_state = unit.after_job or (state if unit.job_result == "done" else "failed")
        somebody = (PATH, MANAGER, "JobRemoved", "uoss", (9, f"{PATH}/job/9", name, "canceled"))
        self.bus.before_reply.append(somebody)
        if unit.job_result is not None:
            body = (self._job, job, name, unit.job_result)
            self.bus.after_reply.append((PATH, MANAGER, "JobRemoved", "uoss", body))
        return "o", (job,)

    def _enable(self, names: list[str], _runtime: bool, _force: bool) -> Reply:
        unit = self.units[names[0]]
        if unit.file_state == "static":
            return "ba(sss)", (False, [])
        unit.file_state = "enabled"
        return "ba(sss)", (True, [("symlink", "/a", "/b")])

    def _disable(self, names: list[str], _runtime: bool) -> Reply:
        self.units[names[0]].file_state = "disabled"
        return "a(sss)", ([],)

    def _list(self, _states: list[str], _patterns: list[str]) -> Reply:
        rows = [
            (unit.name, "Text", unit.load_state, unit.active_state, "?", "", "/", 0, "", "/")
            for unit in self.units.values()
        ]
        return "a(ssssssouso)", (rows,)
