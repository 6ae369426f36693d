"""``emf apply`` and ``emf plan`` over a manager in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.manager.client.conftest import Desk

PLAN = """\
version: 1
name: restart
vars: {unit: lnet.service}
jobs:
  look: {nodes: oss01, steps: [{action: start_unit, args: "${{ vars.unit }}"}]}
  act:
    needs: look
    nodes: oss01
    steps: [{action: stop_unit, args: b}, {action: start_unit, args: c}]
"""


def written(tmp_path: Path, text: str = PLAN) -> str:
    path = tmp_path / "plan.yml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def ended(desk: Desk, *states: str, plan: Any = "succeeded") -> str:
    """Make the plan, and say how its steps and the plan ended."""
    (plan_id,) = desk.plans.kept
    for place, state in enumerate(states):
        desk.plans.put(plan_id, place, state, None if state == "succeeded" else "it broke")
    desk.plans.end(plan_id, plan)
    return str(plan_id)


def test_a_plan_is_made_with_variables_and_its_id_printed(desk: Desk, tmp_path: Path) -> None:
    result = desk.emf("apply", written(tmp_path), "--detach", "-e", "unit=sshd", "-e", "unit=a b")

    assert result.exit_code == 0, result.output
    assert result.stdout == "plan-0001\n"
    (order,) = desk.plans.orders
    assert order.plan.vars == {"unit": "a b"}


@pytest.mark.parametrize(
    ("given", "value"), [("unit=3", 3), ("unit=true", True), ("unit=[1]", [1]), ("unit=a=b", "a=b")]
)
def test_a_variable_is_json_or_else_a_text(
    desk: Desk, tmp_path: Path, given: str, value: Any
) -> None:
    text = PLAN.replace('args: "${{ vars.unit }}"', "args: a")
    desk.emf("apply", written(tmp_path, text), "--detach", "-e", given)

    assert desk.plans.orders[0].plan.vars == {"unit": value}


def test_every_fault_is_told_as_file_and_line_before_anything_runs(
    desk: Desk, tmp_path: Path
) -> None:
    text = PLAN.replace("start_unit, args: c", "strat_unit, args: c").replace(
        "needs: look", "needs: x"
    )
    path = written(tmp_path, text)
    result = desk.emf("apply", path)

    assert result.exit_code == 2
    assert f"{path}:7: jobs.act.needs: there is no job 'x'" in result.stderr
    assert f"{path}:9: jobs.act.steps[1].action" in result.stderr
    assert desk.plans.orders == []


@pytest.mark.parametrize(
    ("text", "code"), [(PLAN.replace("oss01", "oss99"), 4), ("jobs: 3", 2), (PLAN, 0)]
)
def test_check_runs_nothing_and_ends_with_the_code_of_what_is_wrong(
    desk: Desk, tmp_path: Path, text: str, code: int
) -> None:
    people = desk.emf("apply", written(tmp_path, text), "--check")
    machines = desk.emf("apply", written(tmp_path, text), "--check", "--json")

    assert (people.exit_code, machines.exit_code) == (code, code)
    assert json.loads(machines.stdout)["valid"] is (code == 0)
    assert desk.plans.orders == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"version: 1\nname: \xff", ":2: not UTF-8: byte 0xff", id="no UTF-8"),
        pytest.param(b"a" * 300_000, "larger than 256 KiB", id="large"),
        pytest.param(None, "cannot be read", id="not there"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_here(
    desk: Desk, tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "plan.yml"
    if content is not None:
        path.write_bytes(content)
    result = desk.emf("apply", str(path))

    assert result.exit_code == 2
    assert told in result.stderr


def test_a_word_that_is_no_variable_is_refused(desk: Desk, tmp_path: Path) -> None:
    assert desk.emf("apply", written(tmp_path), "-e", "unit").exit_code == 2
    unknown = desk.emf("apply", written(tmp_path), "-e", "unti=3")
    assert (unknown.exit_code, "did you mean unit?" in unknown.stderr) == (2, True)


@pytest.mark.parametrize(
    ("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1), ("timed_out", 124)]
)
def test_a_plan_is_followed_to_its_end_and_ends_with_its_code(
    desk: Desk, tmp_path: Path, state: str, code: int
) -> None:
    desk.emf("apply", written(tmp_path), "--detach")
    plan_id = ended(desk, "succeeded", "failed", "skipped", plan=state)
    result = desk.emf("plan", "tail", plan_id)

    assert result.exit_code == code
    assert "act: failed  ◄─ look" in result.stdout
    assert "└─ step2: skipped  start_unit" in result.stdout
    assert "3 steps = 1 succeeded + 1 failed + 1 skipped" in result.stdout
    assert "look.step1: succeeded" in result.stderr


def test_machines_get_one_document_or_a_line_for_each_change(desk: Desk, tmp_path: Path) -> None:
    desk.emf("apply", written(tmp_path), "--detach")
    plan_id = ended(desk, "succeeded", "succeeded", "succeeded")

    assert desk.json("plan", "tail", plan_id, "--json")["state"] == "succeeded"
    lines = [
        json.loads(x) for x in desk.emf("plan", "tail", plan_id, "--jsonl").stdout.splitlines()
    ]
    assert [line.get("state") for line in lines] == ["succeeded"] * 4
    assert lines[-1]["counts"]["steps"] == 3
    assert desk.emf("plan", "tail", plan_id, "--json", "--jsonl").exit_code == 2


def test_plans_are_listed_cancelled_and_resumed(desk: Desk, tmp_path: Path) -> None:
    desk.emf("apply", written(tmp_path), "--detach")
    cancelled = desk.emf("plan", "cancel", "plan-0001")
    assert (cancelled.exit_code, cancelled.stderr) == (0, "it is cancelled\n")
    assert desk.emf("plan", "resume", "plan-0001", "--detach").exit_code == 0
    assert desk.emf("plan", "resume", "plan-0001", "--detach").exit_code == 1
    (listed,) = desk.json("plan", "list", "--json")
    assert (listed["state"], listed["attempt"]) == ("running", 2)
    assert "plan-0001" in desk.emf("plan", "list", "--state", "running").stdout
    assert desk.emf("plan", "show", "nothing").exit_code == 1
    assert desk.json("plan", "show", "plan-0001", "--json")["name"] == "restart"


def test_the_request_is_shown_and_nothing_sent(desk: Desk, tmp_path: Path) -> None:
    result = desk.emf("--explain", "apply", written(tmp_path))

    assert "POST" in result.stdout
    assert "/api/v1/plans" in result.stdout
    assert desk.plans.orders == []
