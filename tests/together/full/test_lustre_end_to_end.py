"""The Lustre bundle end to end: a real manager, real agents, and nodes of a simulated cluster."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
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
FSTAB = "# what the site wrote\n/dev/sda1\t/boot\text4\tdefaults\n"


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
    name: str, simulated: SimulatedNode, manager: Manager, folder: Path
) -> Generator[Server]:
    """Run an agent that finds a simulated node's programs, and keeps its files in a folder."""
    folder.mkdir()
    socket = folder / "metrics"
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
interval_s = 2
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


@pytest.fixture(scope="module")
def folder() -> Generator[Path]:
    # Not pytest's own: the path of a socket must be short.
    with TemporaryDirectory(prefix="emf-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def manager(folder: Path) -> Generator[Manager]:
    with a_manager(folder) as made:
        yield made


@pytest.fixture(scope="module")
def server(folder: Path, manager: Manager) -> Generator[Server]:
    """Return a small file system on one node, with a pool and a mounted snapshot just made."""
    simulated = SimulatedNode.create(folder / "fs1", Scenario.of_role("combined"))
    for fid, path in ((GOOD, "kept"), (BAD, "lost")):
        simulated.add_file(fid, SimulatedFile(path=path))
    with a_server(NAME, simulated, manager, folder / "server") as made:
        made.ok("ostpool_create", POOL)
        made.ok("ostpool_add", {**POOL, "ost": OST})
        made.ok("snapshot_create", {**SNAPSHOT, "use_barrier": True, "comment": "before the job"})
        made.ok("snapshot_mount", SNAPSHOT)
        yield made


@pytest.fixture
def bare(folder: Path, manager: Manager) -> Generator[Server]:
    """Return a server that lost its targets."""
    simulated = SimulatedNode.create(folder / "none", Scenario())
    with a_server(BARE, simulated, manager, folder / "bare") as made:
        yield made


def samples(records: Any, target: str, operation: str) -> int:
    """Return how often an operation has happened on a target."""
    return sum(
        int(row["samples"])
        for record in records or []
        for tag, value in record.get("Target", {}).items()
        if tag == "Stats" and value["target"] == target
        for row in value["value"]
        if row["name"] == operation
    )


def health_check(records: Any) -> str:
    """Return what the node says of its own health."""
    (found,) = (
        record["Host"]["HealthCheck"]["value"]
        for record in records
        if "HealthCheck" in record.get("Host", {})
    )
    return str(found)


def test_counters_move_from_update_to_update(server: Server) -> None:
    def reads() -> int:
        return samples(server.data("stats"), "fs1-OST0000", "read_bytes")

    first = eventually(reads, "the first statistics")
    eventually(lambda: reads() > first, "a counter's move")


def test_the_listener_serves_the_exporters_metrics_while_the_agent_runs(server: Server) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(server.socket))) as client:
        answer = client.get("http://localhost/metrics?jobstats=true", timeout=60)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    for wanted in (
        r'lustre_read_bytes_total\{[^}]*target="fs1-OST0000"[^}]*\} [1-9]',
        r'lustre_job_read_bytes_total\{[^}]*jobid="fio.1337"[^}]*\} [1-9]',
        r"lustre_send_count_total\{[^}]*\} [1-9]",
    ):
        assert re.search(rf"^{wanted}", answer.text, re.MULTILINE), wanted


def test_a_server_without_its_targets_is_a_fault_with_a_reason(bare: Server) -> None:
    said = eventually(
        lambda: (found := bare.health("stats")) and found.get("reason") and found, "the fault"
    )

    assert "no OST found, although this node is configured as oss" in said["reason"]
    assert said["condition"] != "ok"
    assert bare.data("stats") is None


def test_a_client_is_mounted_entered_in_fstab_and_taken_out_again(server: Server) -> None:
    where = {"mountspec": "10.0.0.1@tcp:/fs1", "mountpoint": f"{server.folder}/mnt"}
    fstab = server.folder / "fstab"

    assert server.ok("mount", {**where, "persist": True}) is None

    entry = (where["mountspec"], where["mountpoint"], "lustre")
    (line,) = (line for line in fstab.read_text().splitlines() if "lustre" in line.split())
    assert tuple(line.split()[:3]) == entry
    with server.simulated.state() as state:
        assert where["mountpoint"] in {one["target"] for one in state.node["mounts"]}
    assert server.ok("unmount", where) is None
    assert fstab.read_text() == FSTAB
    with server.simulated.state() as state:
        assert where["mountpoint"] not in {one["target"] for one in state.node["mounts"]}


def test_a_snapshot_that_was_made_and_mounted_is_listed_as_such(server: Server) -> None:
    (listed,) = eventually(
        lambda: (server.data("snapshot") or {}).get("fs1"), "the snapshot in the data"
    )

    assert listed["snapshot_name"] == "nightly"
    assert listed["comment"] == "before the job"
    assert listed["mounted"] is True


def test_a_pool_is_made_outlives_a_failing_ost_and_is_gone_when_destroyed(server: Server) -> None:
    def pools() -> Any:
        return (server.data("ostpool") or {}).get("fs1")

    seen = [{**POOL, "osts": [OST]}]
    eventually(lambda: pools() == seen, "the pool in the data")

    server.simulated.fail_target(OST)
    server.simulated.fail_program("lctl", "pool_list")
    unreached = f"/mnt/fs1/.lustre/fid/{BAD}"
    server.simulated.fail_program("lfs", "mirror", "extend", unreached, status=5)

    items = [{"fid": fid, "data": {"for": "ann"}} for fid in (GOOD, BAD)]
    failed = server.ok("action.mirror.extend", ["fs1", {"pool": "flash"}, items])
    assert failed == [{"fid": BAD, "data": {"for": "ann"}, "errno": 5}]
    code, target = server.run("ostpool_wait", POOL)
    assert (code, target["outcome"]) == (1, "failed")
    assert "Input/output error" in target["result"]["Err"]
    eventually(lambda: OST in health_check(server.data("stats")), "the OST's ill health")
    fault = eventually(
        lambda: (found := server.health("ostpool")) and found.get("reason"), "the fault"
    )
    assert "could not list" in fault
    assert "fs1: exit code: 5" in fault
    assert pools() == seen, "a failed listing is not an empty one"

    server.simulated.heal_target(OST)
    server.simulated.heal_programs()
    server.ok("ostpool_remove", {**POOL, "ost": OST})
    server.ok("ostpool_destroy", POOL)
    eventually(lambda: pools() == [], "the end of the pool")
    eventually(lambda: not server.health("ostpool").get("reason"), "the end of the fault")
    eventually(lambda: health_check(server.data("stats")) == "healthy", "good health")
