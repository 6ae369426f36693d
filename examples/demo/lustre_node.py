"""A Lustre server or client for the demo: simulated programs behind the agent's own door to them.

Nothing of Lustre is needed on this machine, and nothing of this machine is changed: what the
plugins read and write lies below the demo's folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from emf_agent.command import FIXED_PATH, PROGRAM_PATH_VARIABLE
from emf_agent.roles import find_roles
from emf_plugins_lustre.testing.node import SimulatedNode
from emf_plugins_lustre.testing.scenario import Scenario

__all__ = ["FILE_SYSTEM", "ROLES", "LustreNode", "Views"]

ROLES = ("mgs", "mds", "oss", "client")
FILE_SYSTEM = "fs1"
POOL = {"filesystem": FILE_SYSTEM, "name": "flash"}


class Views:
    """What the demo can do by way of the manager."""

    def __init__(
        self,
        data: Callable[[str], Any],
        act: Callable[[str, Any], Any],
        wait_for: Callable[[str, Callable[[], Any]], Any],
        say: Callable[[str], None],
    ) -> None:
        self.data = data
        self.act = act
        self.wait_for = wait_for
        self.say = say


class LustreNode:
    """The simulated node of a role, and what there is to see on one."""

    def __init__(
        self,
        folder: Path,
        role: str,
        scenario: Scenario | None = None,
        mgs: SimulatedNode | None = None,
    ) -> None:
        self.role = role
        self.metrics = folder / "metrics"
        self._folder = folder
        # Pools are made on the MGS: whatever the role, one stands in the same cluster.
        self._mgs = mgs or SimulatedNode.create(folder / "mgs", Scenario.of_role("mgs"))
        self._node = self._mgs
        if role != "mgs":
            scenario = scenario or Scenario.of_role(role)
            self._node = SimulatedNode.create(folder / role, scenario, cluster=self._mgs)
        folder.mkdir(parents=True, exist_ok=True)
        self._fstab = folder / "fstab"
        self._fstab.write_text("# the fstab of a simulated node\n")

    @property
    def search_path(self) -> tuple[str, ...]:
        """Return where the agent finds programs: the simulated ones, then this machine's."""
        return (str(self._node.programs), *FIXED_PATH)

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the search path as an agent of its own process is told it."""
        return {PROGRAM_PATH_VARIABLE: os.pathsep.join(self.search_path)}

    def configuration(self) -> str:
        """Return a drop-in of the agent's configuration."""
        folder = str(self._folder)
        settings: dict[str, dict[str, Any]] = {
            "lustre.stats": {"expect": [self.role], "listen": f"unix:{self.metrics}"},
            "lustre.client": {"fstab": str(self._fstab)},
            "lustre.targets": {"ldev_conf": f"{folder}/ldev.conf"},
            "lustre.hotpools": {
                "lamigo_conf": f"{folder}/lamigo/{{fs}}-{{mdt}}.conf",
                "lpurge_conf": f"{folder}/lpurge/{{fs}}/{{ost}}.conf",
                "socket_folder": folder,
            },
            "lustre.postoffice": {
                "routes_file": f"{folder}/postman.conf",
                "socket_folder": folder,
            },
            "lustre.stratagem": {"scan_folder": folder},
        }
        taken = find_roles(["emf_plugins_lustre"])[self.role].plugins
        tables = {f'plugin."{name}"': settings[name] for name in taken if name in settings}
        lines = ["# What the Lustre plugins write stays in the demo's folder."]
        for table, values in {"daemon.stats": {"interval_s": 2}, **tables}.items():
            lines.append(f"\n[{table}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        return "\n".join(lines) + "\n"

    def pool_on_mgs(self) -> tuple[str, ...]:
        """Return the command with which the file system's MGS makes the demo's pool."""
        return (str(self._mgs.programs / "lctl"), "pool_new", f"{FILE_SYSTEM}.{POOL['name']}")

    def show(self, views: Views) -> dict[str, Any]:
        """Look at statistics and metrics, and do what the role is there for."""
        before = views.data("stats")
        views.say(f"health of the {self.role}: {health(before)}; {len(before)} records")
        shown: dict[str, Any] = {"health": health(before), "counters": self._moving(before, views)}
        shown["metrics"] = views.wait_for("a scrape", self._scrape)
        views.say(f"the Prometheus listener serves {shown['metrics']['series']} series")
        shown.update(DEEDS[self.role](self, views) if self.role in DEEDS else {})
        return shown

    def _moving(self, before: Any, views: Views) -> dict[str, int]:
        first = operations(before)

        def grown() -> int | None:
            now = operations(views.data("stats"))
            return now if now > first else None

        then = views.wait_for("a counter's move", grown)
        views.say(f"operations counted: {first}, at a later update {then}")
        return {"before": first, "after": then}

    def _scrape(self) -> dict[str, Any] | None:
        """Read what a Prometheus server would, once the listener is there."""
        try:
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.metrics))) as client:
                answer = client.get("http://localhost/metrics", timeout=30).raise_for_status()
        except httpx.ConnectError:
            return None
        lines = answer.text.splitlines()
        return {
            "socket": str(self.metrics),
            "series": sum(1 for line in lines if line and not line.startswith("#")),
        }

    def _make_pool(self, views: Views) -> dict[str, Any]:
        views.act("ostpool_create", POOL)
        views.act("ostpool_wait", POOL)
        listed = views.act("lctl", ["pool_list", FILE_SYSTEM])["Ok"].split()[-1]
        views.say(f"pool made and listed: {listed}")
        return {"pools": [listed]}

    def _see_pool(self, views: Views) -> dict[str, Any]:
        views.act("ostpool_wait", POOL)
        pools = views.wait_for(
            "the pool in the data of ostpool",
            lambda: (views.data("ostpool") or {}).get(FILE_SYSTEM),
        )
        listed = [f"{one['filesystem']}.{one['name']}" for one in pools]
        views.say(f"pool made on the MGS, listed here: {', '.join(listed)}")
        return {"pools": listed}

    def _mount(self, views: Views) -> dict[str, Any]:
        where = {
            "mountspec": f"10.0.0.1@tcp:/{FILE_SYSTEM}",
            "mountpoint": str(self._folder / "mnt"),
        }
        views.act("mount", {**where, "persist": True})
        (line,) = (one for one in self._fstab.read_text().splitlines() if "lustre" in one.split())
        views.act("unmount", where)
        views.say(f"mounted, entered in fstab, and unmounted: {line}")
        return {"fstab": line}


DEEDS: Mapping[str, Callable[[LustreNode, Views], dict[str, Any]]] = {
    "mgs": LustreNode._make_pool,
    "mds": LustreNode._see_pool,
    "client": LustreNode._mount,
}
"""What a role does beyond being measured."""


def health(records: Any) -> str:
    """Return what the node says of its own health."""
    host = (one["Host"] for one in records if "Host" in one)
    found = (one["HealthCheck"]["value"] for one in host if "HealthCheck" in one)
    return next(found, "unknown")


def operations(value: Any) -> int:
    """Return how many operations all counters of a payload have counted."""
    return sum(counts(value))


def counts(value: Any) -> Iterator[int]:
    """Yield the samples of each operation, however deep it stands."""
    if isinstance(value, Mapping):
        if isinstance(value.get("samples"), int):
            yield value["samples"]
        for part in value.values():
            yield from counts(part)
    elif isinstance(value, list):
        for part in value:
            yield from counts(part)
