"""An alert from its beginning to its end, over real TLS with the real programs."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.together.programs import Node, Operator, a_manager, a_node, eventually

pytestmark = pytest.mark.slow(reason="a lease of seconds has to end, and real programs start")

NAME = "oss7.example"


def alerts(operator: Operator, state: str) -> list[Any]:
    found: list[Any] = operator.get(f"/alerts?nodes={NAME}&kind=node.silent&state={state}")["items"]
    return found


def connected(operator: Operator) -> bool:
    node = operator.get(f"/nodes/{NAME}")
    return node is not None and node["state"] == "connected"


def test_a_killed_agent_is_raised_acknowledged_and_cleared_when_it_is_back(tmp_path: Path) -> None:
    with (
        a_manager(tmp_path, "--lease", "6s") as manager,
        a_node(tmp_path, NAME, manager) as node,
    ):
        operator = manager.operator(node.folder)
        eventually(lambda: connected(operator), "the first contact")

        node.stop(signal.SIGKILL)
        (alert,) = eventually(lambda: alerts(operator, "open"), "the alert")
        assert alert["severity"] == "critical"
        listed = json.loads(operator.emf("node", "list", "--json").stdout)
        assert listed[0]["alerts"] >= 1

        done = operator.emf("alert", "acknowledge", str(alert["id"]), "--note", "on my way")
        assert done.returncode == 0, done.stderr
        assert "on my way" in operator.emf("alert", "show", str(alert["id"])).stdout

        manager.stop(signal.SIGKILL)
        manager.start()
        (kept,) = eventually(lambda: alerts(operator, "acknowledged"), "the same alert")
        assert (kept["id"], kept["acknowledged"]["by"]) == (alert["id"], "ann")

        come_back(node, operator)
        ended = eventually(lambda: alerts(operator, "cleared"), "the end of the alert")
        assert alert["id"] in {each["id"] for each in ended}
        told = operator.get("/events?limit=1000")["items"]
        assert [e["kind"] for e in told if (e["body"] or {}).get("alert") == alert["id"]] == [
            "alert.raised",
            "alert.acknowledged",
            "alert.cleared",
        ]


def come_back(node: Node, operator: Operator) -> None:
    node.start()
    eventually(lambda: connected(operator), "contact with the agent that is back")
