"""Plans over real TLS with the real programs: outputs, a failure, resume, and a killed manager."""

from __future__ import annotations

import json
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.together.programs import Manager, Node, Operator, a_manager, a_node, eventually
from tests.together.troubles import install

pytestmark = pytest.mark.slow(reason="starts real programs")

NAME = "oss1.example"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plans")


@pytest.fixture(scope="module")
def manager(folder: Path) -> Generator[Manager]:
    with a_manager(folder) as made:
        yield made


@pytest.fixture(scope="module")
def node(folder: Path, manager: Manager) -> Generator[Node]:
    with a_node(folder, NAME, manager, install(folder / "site")) as made:
        yield made


@pytest.fixture(scope="module")
def operator(manager: Manager, node: Node) -> Operator:
    made = manager.operator(node.folder)
    eventually(lambda: made.get("/actions/slow"), "the catalogue")
    return made


def plan_in(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.yml"
    path.write_text(text)
    return str(path)


def ended(operator: Operator, plan: str) -> Any:
    found = operator.get(f"/plans/{plan}")
    return found if found and found["state"] != "running" else None


def test_a_plan_uses_outputs_fails_where_it_must_and_is_resumed(
    operator: Operator, folder: Path
) -> None:
    marks = folder / "marks"
    marks.mkdir()
    path = plan_in(
        folder,
        "resumed",
        f"""\
version: 1
name: marks
vars: {{marks: "{marks}"}}
jobs:
  make:
    nodes: oss1
    steps:
      - {{id: first, action: slow, args: {{effect: "${{{{ vars.marks }}}}/first", seconds: 0}}}}
      - action: slow
        args: {{effect: "${{{{ vars.marks }}}}/${{{{ steps.first.result }}}}", seconds: 0}}
      - action: slow
        args: {{effect: "${{{{ vars.marks }}}}/later/third", seconds: 0}}
  check:
    needs: make
    nodes: oss1
    steps:
      - {{action: unlock, args: {{password: hunter2-canary}}}}
""",
    )
    checked = operator.emf("apply", path, "--check")
    assert (checked.returncode, checked.stderr) == (0, "nothing is wrong with it\n")
    assert not list(marks.iterdir())

    failed = operator.emf("apply", path, "--json")
    assert failed.returncode == 1, failed.stderr
    plan = json.loads(failed.stdout)
    assert plan["counts"] == {
        **dict.fromkeys(plan["counts"], 0),
        "steps": 4,
        "succeeded": 2,
        "failed": 1,
        "skipped": 1,
    }
    assert (marks / "done").read_text() == "effect\n", "the path was the first step's result"
    assert "hunter2-canary" not in failed.stdout

    (marks / "later").mkdir()
    resumed = operator.emf("plan", "resume", plan["id"])
    assert resumed.returncode == 0, resumed.stderr
    assert "4 steps = 4 succeeded" in resumed.stdout
    assert "check: succeeded  ◄─ make" in resumed.stdout
    assert (marks / "first").read_text() == "effect\n", "what succeeded is not run again"
    assert (marks / "later" / "third").read_text() == "effect\n"


def test_a_plan_that_cannot_run_is_told_by_line_and_leaves_nothing(
    operator: Operator, folder: Path
) -> None:
    text = """\
version: 1
jobs:
  a: {needs: b, nodes: oss1, steps: [{action: slwo}]}
  b: {needs: a, nodes: oss9, steps: [{action: slow, args: {seconds: many}}]}
"""
    path = plan_in(folder, "wrong", text)
    done = operator.emf("apply", path)

    assert done.returncode == 2
    assert f"{path}:3: jobs.a.needs: jobs need each other in a circle: a → b → a" in done.stderr
    assert "did you mean slow?" in done.stderr
    assert "not enrolled: oss9" in done.stderr


def test_a_manager_killed_in_mid_plan_neither_loses_nor_doubles_a_step(
    operator: Operator, manager: Manager, folder: Path
) -> None:
    marks = folder / "killed"
    marks.mkdir()
    steps = "".join(
        f"      - {{action: slow, args: {{effect: {marks}/{name}, seconds: {seconds}}}}}\n"
        for name, seconds in (("one", 2), ("two", 0.5), ("three", 0))
    )
    text = f"version: 1\njobs:\n  a:\n    nodes: oss1\n    steps:\n{steps}"
    started = operator.emf("apply", plan_in(folder, "killed", text), "--detach")
    assert started.returncode == 0, started.stderr
    plan = started.stdout.strip()
    for name in ("one", "two"):
        eventually((marks / name).exists, f"step {name}")
        manager.stop(signal.SIGKILL)
        manager.start()

    found = eventually(lambda: ended(operator, plan), "the end of the plan")

    assert found["state"] == "succeeded"
    assert {path.name: path.read_text() for path in marks.iterdir()} == dict.fromkeys(
        ("one", "two", "three"), "effect\n"
    )
    jobs = operator.get("/jobs")["items"]
    mine = [job for job in jobs if str(marks) in json.dumps(job["args"])]
    assert len(mine) == 3


def test_a_running_plan_is_cancelled(operator: Operator, folder: Path) -> None:
    effect = folder / "cancelled"
    text = (
        "version: 1\njobs:\n  a:\n    nodes: oss1\n    steps:\n"
        f"      - {{action: slow, args: {{effect: {effect}, seconds: 60}}}}\n"
        f"      - {{action: slow, args: {{effect: {effect}, seconds: 0}}}}\n"
    )
    started = operator.emf("apply", plan_in(folder, "cancelled", text), "--detach")
    plan = started.stdout.strip()
    eventually(effect.exists, "the first step")

    assert operator.emf("plan", "cancel", plan).returncode == 0
    found = eventually(lambda: ended(operator, plan), "the end of the plan")

    assert (found["state"], found["reason"]) == ("cancelled", "ann cancelled it")
    assert effect.read_text() == "effect\n"
