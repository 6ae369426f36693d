"""The Lustre bundle end to end: a real manager, real agents, and nodes of a simulated cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from emf_agent.command import FIXED_PATH, PROGRAM_PATH_VARIABLE
from emf_plugins_lustre.testing.node import SimulatedNode
from emf_plugins_lustre.testing.scenario import Scenario, SimulatedFile
from tests.together.programs import Manager, Node, Operator, a_manager, eventually

pytestmark = pytest.mark.slow(reason="starts real programs; listings are made every ten seconds")

NAME = "server.example"
BARE = "bare.example"
POOL = {"filesystem": "fs1", "name": "flash"}
SNAPSHOT = {"fsname": "fs1", "name": "nightly"}
GOOD, BAD = "[0x200000401:0x1:0x0]", "[0x200000401:0x2:0x0]"
OST = "fs1-OST0001"


@dataclass(frozen=True)
class Server:
    """An agent, the node that is simulated for it, and who looks at it."""

    name: str
    simulated: SimulatedNode
    operator: Operator
    folder: Path
    socket: Path

    def run(self, action: str, args: Any) -> Any:
        """Run an action as an operator types it; return the exit code and the node's outcome."""
        done = self.operator.emf("run", self.name, action, json.dumps(args), "--json")
        assert done.stdout, done.stderr
        (target,) = json.loads(done.stdout)["targets"]
        return done.returncode, target

    def ok(self, action: str, args: Any) -> Any:
        """Run an action that must succeed; return its result."""
        code, target = self.run(action, args)
        assert code == 0, target
        return target["result"]["Ok"]

    def data(self, daemon: str) -> Any:
        """Return what ``emf data`` prints, or None while there is nothing."""
        done = self.operator.emf("data", self.name, daemon)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def health(self, daemon: str) -> Any:
        """Return what the ``agent`` daemon says of another one."""
        report = self.operator.get(f"/data/{self.name}/agent")
        daemons = report["value"]["health"]["daemons"] if report else []
        return next((one for one in daemons if one["name"] == daemon), None)


@contextmanager
def a_server(
    name: str, simulated: SimulatedNode, manager: Manager, folder: Path, socket: Path
) -> Generator[Server]:
    """Run an agent that finds a simulated node's programs, and keeps its files in a folder."""
    folder.mkdir()
    (folder / "fstab").write_text(FSTAB)
    node = Node(folder, name)
    node.environment[PROGRAM_PATH_VARIABLE] = os.pathsep.join(
        (str(simulated.programs), *FIXED_PATH)
    )
    enrolled = node.enrol(manager, manager.enrolment_token())
    assert enrolled.returncode == 0, enrolled.stderr
    (node.folder / "etc" / "conf.d" / "20-lustre.toml").write_text(
        f"""
[daemon.stats]
interval_s = 1
[daemon.ostpool]
interval_s = 1
[daemon.snapshot]
interval_s = 1
[plugin."lustre.stats"]
expect = ["oss"]
listen = "unix:{socket}"
[plugin."lustre.client"]
fstab = "{folder}/fstab"
[plugin."lustre.postoffice"]
routes_file = "{folder}/postman.conf"
socket_folder = "{folder}"
"""
    )
    node.start()
    try:
        operator = manager.operator(node.folder)
        eventually(lambda: operator.get(f"/data/{name}/agent"), f"the first word of {name}")
        yield Server(name, simulated, operator, folder, socket)
    finally:
        node.stop()
