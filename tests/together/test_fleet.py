"""``emf run`` over a whole simulated fleet: live progress, and a last row that always adds up.

``EMF_FLEET_NODES=200`` runs it with as many nodes; CI has fewer, for the time's sake.
"""

from __future__ import annotations

import json
import os
import pty
import re
import ssl
import subprocess
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.together.fleet import FleetProgram, a_fleet
from tests.together.programs import BIN, WITHIN_S, a_manager, eventually, ok

pytestmark = pytest.mark.slow(reason="starts a manager and a fleet of real agents")

NODES = int(os.environ.get("EMF_FLEET_NODES", "24"))
PARTS = ("succeeded", "failed", "cancelled", "timed_out", "refused", "expired", "unknown")


@dataclass(frozen=True)
class Scene:
    """A manager, its fleet, an operator's environment, and the API."""

    fleet: FleetProgram
    environment: dict[str, str]
    api: httpx.Client

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``emf``; its output is read when it has ended."""
        return subprocess.Popen(
            [BIN / "emf", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def items(self, path: str) -> Any:
        """Return what the API lists."""
        return self.api.get(path).raise_for_status().json()["items"]

    def states(self, action: str) -> Counter[str]:
        """Count the targets of the newest job of an action by their state."""
        for job in self.items("/jobs?limit=5"):
            if job["action"] == action:
                whole = self.api.get(f"/jobs/{job['id']}").raise_for_status().json()
                return Counter(one["state"] for one in whole["targets"])
        return Counter()

    def connected(self) -> bool:
        """Tell whether every node takes actions."""
        active = [
            one["node"]
            for one in self.items("/sessions?limit=1000")
            if one["daemon"] == "action_runner" and one["state"] == "active"
        ]
        return len(set(active)) == NODES


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Generator[Scene]:
    folder = tmp_path_factory.mktemp("fleet")
    with a_manager(folder) as manager, a_fleet(folder, manager, nodes=NODES) as fleet:
        authority = folder / "ca.crt"
        authority.write_text(
            ok("emf-manager", "ca", "show", "--pem", "--data-dir", str(manager.data))
        )
        token = str(manager.admin("user", "create", "ann", "--role", "admin")["token"])
        environment = {
            **os.environ,
            "EMF_MANAGER_URL": manager.url,
            "EMF_TOKEN": token,
            "EMF_CA": str(authority),
        }
        with httpx.Client(
            base_url=f"{manager.url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=str(authority)),
            trust_env=False,
            timeout=60,
        ) as api:
            made = Scene(fleet, environment, api)
            eventually(made.connected, f"the contact of {NODES} nodes")
            yield made


def summed_up(line: str) -> tuple[int, int]:
    """Return both sides of ``N targeted = A succeeded + B failed``."""
    whole, _, parts = line.partition(" targeted = ")
    return int(whole), sum(int(number) for number in re.findall(r"\d+", parts))


def test_every_node_of_a_fleet_answers_and_equal_answers_are_one_line(scene: Scene) -> None:
    done = ok("emf", "run", "*", "echo", '"hello"', **scene.environment)

    folded, last = done.splitlines()
    width = max(2, len(str(NODES)))
    assert folded == f"oss[{1:0{width}}-{NODES}].example.com: ok: hello"
    assert last == f"{NODES} targeted = {NODES} succeeded"


def test_a_share_of_failures_is_folded_beside_the_rest_and_adds_up(scene: Scene) -> None:
    running = scene.start("run", "*", "fail", '["no space", 40]')

    out, _ = running.communicate(timeout=WITHIN_S)

    assert running.returncode == 1
    *answers, last = out.splitlines()
    assert len(answers) == 2
    assert any("failed: no space" in line for line in answers)
    assert summed_up(last) == (NODES, NODES)


def test_under_kills_cuts_and_hangs_the_last_row_is_the_sum_of_the_others(
    scene: Scene, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    running = scene.start(
        "run", "*", "wait_for_file", json.dumps(str(release)), "--timeout", "600", "--json"
    )
    eventually(lambda: scene.states("wait_for_file")["started"] == NODES, "the start on every node")

    killed = scene.fleet.order("kill oss*1.example.com 1")
    lost = scene.fleet.order("cut oss*2.example.com")
    lost += scene.fleet.order("hang oss*3.example.com")
    assert killed >= 1
    assert lost >= 2
    release.touch()
    eventually(
        lambda: scene.states("wait_for_file")["final"] == NODES - lost, "the end on those in reach"
    )
    assert running.poll() is None, "some outcomes are not known yet"
    scene.fleet.order("heal *")
    out, errors = running.communicate(timeout=3 * WITHIN_S)

    document = json.loads(out)
    outcomes = {one["node"]: one for one in document["targets"]}
    assert len(outcomes) == NODES
    counts = document["counts"]
    assert counts["targeted"] == NODES == sum(counts.get(part, 0) for part in PARTS), counts
    for name, target in outcomes.items():
        # Only a kill loses an outcome, and says so; a cut and a hang lose nothing.
        was_killed = name.partition(".")[0].endswith("1")
        expected = ("unknown", "agent-restart") if was_killed else ("ok", None)
        assert (target["outcome"], target["reason"]) == expected, (name, errors)


@contextmanager
def terminal(scene: Scene, *arguments: str, **environment: str) -> Generator[list[bytes]]:
    """Run ``emf`` on a terminal of 100 columns to its end, and give what was drawn on it."""
    ours, its = pty.openpty()
    drawn: list[bytes] = []
    process = subprocess.Popen(
        [BIN / "emf", *arguments],
        env={**scene.environment, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    try:
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            drawn.append(piece)
        assert process.wait(WITHIN_S) == 0, b"".join(drawn).decode()
        yield drawn
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_on_a_terminal_progress_is_live_and_the_result_stays(scene: Scene) -> None:
    with terminal(scene, "run", "*", "wait", "2") as drawn:
        text = b"".join(drawn).decode()

    if out := os.environ.get("EMF_FLEET_TERMINAL"):
        Path(out).write_text(text)
    assert len(drawn) > 3, "drawn more than once"
    assert f"{NODES} targeted = {NODES} succeeded" in text


def test_a_terminal_without_colour_has_none(scene: Scene) -> None:
    with terminal(scene, "run", "*", "wait", "1", NO_COLOR="1") as drawn:
        text = b"".join(drawn).decode()

    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text)
