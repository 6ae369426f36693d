"""What a manager costs at scale: a simulated fleet in contact, at rest, and under one job.

Starts `emf-manager` and `python -m emf_agent.testing.fleet` in throw-away folders on loopback, and
prints one JSON document. Processor seconds are what to compare: wall times belong to the machine
and to who else is on it.
"""

from __future__ import annotations

import argparse
import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from agent_bench.process import Memory, cpu_s, machine
from agent_bench.programs import Manager, a_manager, ask, end

WITHIN_S = 600.0


@contextmanager
def a_fleet(folder: Path, manager: Manager, nodes: int) -> Iterator[subprocess.Popen[str]]:
    """Run a fleet until the block ends; it is enrolled, and about to start."""
    token = folder / "token"
    token.write_text(manager.admin("token", "create", "--uses", str(nodes))["token"])
    where = ("--manager", manager.url, "--token-file", str(token), "--folder", str(folder / "n"))
    with (folder / "fleet.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "emf_agent.testing.fleet", *where, "--nodes", str(nodes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "running":
                break
        else:
            raise SystemExit(f"no fleet: {(folder / 'fleet.log').read_text()[-2000:]}")
        yield process
    finally:
        end(process)


def wait_for(look: Callable[[], Any], what: str) -> float:
    """Look until it is so; return the seconds it took."""
    began = time.perf_counter()
    while not look():
        if time.perf_counter() - began > WITHIN_S:
            raise SystemExit(f"{what} did not happen within {WITHIN_S:g} s")
        time.sleep(0.1)
    return round(time.perf_counter() - began, 2)


class Watched:
    """Both processes, and what they have used since the last look."""

    def __init__(self, manager: int, fleet: int) -> None:
        self._pids = {"manager": manager, "fleet": fleet}
        self._before = {name: cpu_s(pid) for name, pid in self._pids.items()}

    def cost(self) -> dict[str, Any]:
        """Return processor seconds since the last look, and memory now (MiB)."""
        told: dict[str, Any] = {}
        for name, pid in self._pids.items():
            now = cpu_s(pid)
            told[f"{name}_cpu_s"] = round(now - self._before[name], 2)
            told[f"{name}_rss_mib"] = Memory.of(pid).rss
            self._before[name] = now
        return told


def measure(folder: Path, nodes: int, rest_s: float) -> dict[str, Any]:
    """Return the figures of one fleet."""
    with a_manager(folder) as manager:
        authority = folder / "ca.crt"
        authority.write_text(
            ask("emf-manager", "ca", "show", "--pem", "--data-dir", str(manager.data))
        )
        user = manager.admin("user", "create", "bench", "--role", "admin")
        watched_manager = manager.pid
        enrolling = time.perf_counter()
        with (
            a_fleet(folder, manager, nodes) as fleet,
            httpx.Client(
                base_url=f"{manager.url}/api/v1",
                headers={"Authorization": f"Bearer {user['token']}"},
                verify=ssl.create_default_context(cafile=str(authority)),
                trust_env=False,
                timeout=WITHIN_S,
            ) as api,
        ):
            enrolled_s = round(time.perf_counter() - enrolling, 2)

            def get(path: str) -> Any:
                return api.get(path).raise_for_status().json()

            def all_in_contact() -> bool:
                found = get("/sessions?limit=1000&daemon=action_runner")["items"]
                active = [one for one in found if one["daemon"] == "action_runner"]
                return len({one["node"] for one in active if one["state"] == "active"}) == nodes

            figures: dict[str, Any] = {"nodes": nodes, "enrol_and_import_s": enrolled_s}
            figures["until_all_in_contact_s"] = wait_for(all_in_contact, "the fleet's contact")
            watched = Watched(watched_manager, fleet.pid)
            time.sleep(rest_s)
            figures["at_rest"] = {"seconds": rest_s, **watched.cost()}
            job = api.post("/jobs", json={"action": "echo", "args": "hello", "nodes": "*"})
            path = f"/jobs/{job.raise_for_status().json()['id']}"
            seconds = wait_for(lambda: get(path)["state"] == "done", "all outcomes")
            figures["one_job"] = {"until_all_outcomes_s": seconds, **watched.cost()}
            figures["counts"] = get(path)["counts"]
            return figures


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--rest", type=float, default=30.0, help="seconds to watch it do nothing")
    wanted = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory(prefix="emf-bench-") as folder:
        figures = measure(Path(folder), wanted.nodes, wanted.rest)
    print(json.dumps({"machine": before, **figures}, indent=2))


if __name__ == "__main__":
    main()
