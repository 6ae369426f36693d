"""Data over time end to end: a real manager over TLS, a real agent, a simulated Lustre server."""

from __future__ import annotations

import json
import ssl
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from emf_plugins_lustre.testing.node import SimulatedNode
from emf_plugins_lustre.testing.scenario import Scenario
from tests.together.full.test_lustre_end_to_end import Server, a_server
from tests.together.programs import Manager, a_manager, eventually

pytestmark = pytest.mark.slow(reason="starts real programs, and waits for values every two seconds")

NAME = "server.example"
WRITTEN = "[fs1-OST0000].stats[write_bytes].sum"


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Generator[Manager]:
    with a_manager(tmp_path_factory.mktemp("history")) as running:
        yield running


@pytest.fixture(scope="module")
def server(manager: Manager, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    folder = tmp_path_factory.mktemp("server")
    simulated = SimulatedNode.create(folder / "simulated", Scenario.of_role("oss"))
    with a_server(NAME, simulated, manager, folder / "agent") as running:
        yield running


def listed(server: Server, daemon: str) -> dict[str, Any]:
    """Return the series there are, by name; nothing while there are none."""
    found = server.operator.get(f"/history/{NAME}/{daemon}")
    return {one["name"]: one for one in found["series"]} if found else {}


def history(server: Server, daemon: str, name: str) -> list[float]:
    """Return what a number was, without the holes."""
    found = server.operator.get(f"/history/{NAME}/{daemon}?series={name}&last=300&points=300")
    return [value for value in found["series"][0]["mean"] if value is not None]


def test_marked_numbers_of_a_lustre_server_grow_into_a_history(server: Server) -> None:
    eventually(lambda: WRITTEN in listed(server, "stats"), "the first statistics")
    eventually(lambda: len(history(server, "stats", WRITTEN)) >= 3, "three rates")

    known = listed(server, "stats")
    assert known[WRITTEN]["kind"] == "counter"
    assert known[WRITTEN]["unit"] == "bytes"
    assert known["[fs1-OST0000].bytes_free"]["unit"] == "bytes"
    done = server.operator.emf("data", NAME, "stats", "--history", WRITTEN, "--json")
    assert done.returncode == 0, done.stderr
    (series,) = json.loads(done.stdout)["series"]
    assert all(rate is None or rate >= 0 for rate in series["mean"])


def test_a_daemon_is_watched_as_it_speaks(server: Server) -> None:
    done = server.operator.emf(
        *("watch", NAME, "stats", "--series", "[fs1-OST000?].stats[write_bytes].*"),
        *("--count", "3", "--jsonl"),
    )

    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    sequences = [one["sequence"] for one in told]
    assert len(told) == 3
    assert sequences == sorted(set(sequences))
    assert set(told[-1]["series"]) >= {WRITTEN, "[fs1-OST0001].stats[write_bytes].samples"}
    assert all(value >= 0 for value in told[-1]["series"].values())


def test_a_watch_for_people_is_a_table(server: Server) -> None:
    eventually(lambda: listed(server, "host"), "the first word of the daemon host")

    done = server.operator.emf("watch", NAME, "host", "--series", "load.*", "--count", "1")

    assert done.returncode == 0, done.stderr
    assert "load.one" in done.stdout
    assert "as of" in done.stderr


def test_the_manager_is_scraped_where_prometheus_looks(manager: Manager, server: Server) -> None:
    context = ssl.create_default_context(cafile=str(server.operator.authority))
    allowed = {"Authorization": f"Bearer {server.operator.token}"}
    with httpx.Client(verify=context, trust_env=False, base_url=manager.url) as client:
        assert client.get("/metrics").status_code == 401
        answer = client.get("/metrics", headers=allowed)

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    said = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line[0] != "#")
    assert said['emf_manager_nodes{role="none",state="connected"}'] == "1"
    assert said['emf_manager_sessions{daemon="stats",state="active"}'] == "1"
    assert int(said["emf_manager_history_samples_total"]) > 100
    assert int(said["emf_manager_messages_received_total"]) > 5


def test_the_history_outlives_an_orderly_restart_and_not_its_node(
    manager: Manager, server: Server
) -> None:
    before = len(history(server, "stats", WRITTEN))
    assert manager.stop() == 0
    manager.start()

    assert len(history(server, "stats", WRITTEN)) >= min(before, 2)

    assert server.operator.emf("node", "remove", NAME, "--yes").returncode == 0
    gone = server.operator.emf("data", NAME, "stats", "--list-series")
    assert gone.returncode == 1
    assert "there is no node" in gone.stderr
