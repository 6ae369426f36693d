"""A whole agent in the closed world: it enrols, runs, acts and ends, and no foreign file runs."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.together.programs import Service, a_manager, eventually
from tests.together.scratch import make_environment

pytestmark = pytest.mark.slow("starts real programs in a virtual environment of its own")

NAME = "oss9.example"


class ClosedNode(Service):
    """An agent that was started through the boot archive."""

    def __init__(self, command: list[str], log: Path) -> None:
        super().__init__("emf-agent", log=log)
        self.command = [*command]


def test_an_agent_in_the_closed_world_does_its_work_and_runs_no_foreign_file(
    tmp_path: Path,
) -> None:
    environment = make_environment(tmp_path / "node")
    with a_manager(tmp_path) as manager:
        token = manager.enrolment_token()
        enrolled = environment.closed(
            "enroll", "--manager", manager.url, "--token", token, "--fqdn", NAME
        )
        assert enrolled.returncode == 0, enrolled.stderr
        operator = manager.operator(environment.state)
        node = ClosedNode(environment.collecting("run"), tmp_path / "node.log")
        node.start()
        try:
            eventually(lambda: operator.get("/actions/ask"), "the catalogue")
            done = operator.emf("run", NAME, "ask", "--json")
            report = eventually(lambda: operator.get(f"/data/{NAME}/agent"), "the report")["value"]
        finally:
            code = node.stop()

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["targets"][0]["result"] == {"Ok": {"number": 42}}
    assert report["mode"] == "enforce"
    assert [(one["name"], one["state"]) for one in report["plugins"]] == [("good", "loaded")]
    assert code == 0, node.logged()
    assert ast.literal_eval(node.logged().splitlines()[-1]) == []
