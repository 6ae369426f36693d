"""The routes of plans, over fakes: what is refused before anything runs, and what is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emf_manager import views as v
from emf_manager.authorization import Mandate
from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import NODES, described

pytestmark = pytest.mark.anyio

PLAN = """\
version: 1
name: restart
vars: {unit: lnet.service}
jobs:
  stop:
    nodes: oss[01-02]
    steps:
      - {id: it, action: stop_unit, args: {unit: "${{ vars.unit }}"}, timeout: 30s}
  start:
    needs: stop
    nodes: oss[01-02]
    steps:
      - {action: start_unit, args: {unit: "${{ jobs.stop.steps.it.result }}"}}
"""


@pytest.fixture(autouse=True)
def catalogue(desk: Desk) -> None:
    secret = {
        "type": "object",
        "properties": {
            "user": {"type": "string"},
            "password": {"type": "string", "format": "password", "writeOnly": True},
        },
        "required": ["user", "password"],
        "additionalProperties": False,
        "x-positional": ["user", "password"],
    }
    desk.engine.entries = tuple(
        v.CatalogueEntry(name, (v.Variant(described(name, **more), nodes),))
        for name, nodes, more in (
            ("start_unit", NODES[:3], {}),
            ("stop_unit", NODES[:3], {}),
            ("login", NODES[:3], {"args_schema": secret}),
            ("log", NODES, {}),
        )
    )


def one(step: str, nodes: str = "oss01") -> str:
    return f"version: 1\njobs:\n  a:\n    nodes: {nodes}\n    steps:\n      - {step}\n"


async def faults(desk: Desk, document: str, role: str = "operator") -> list[str]:
    answer = await desk.call("POST", "plans/check", role, json={"document": document})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["valid"] is (not told["faults"])
    return [f"{each['line']} {each['kind']}: {each['message']}" for each in told["faults"]]


async def test_a_good_document_is_shown_with_its_graph_and_nothing_runs(desk: Desk) -> None:
    answer = await desk.call("POST", "plans/check", "operator", json={"document": PLAN})
    told = answer.json()

    assert (told["valid"], told["name"]) == (True, "restart")
    assert [job["name"] for job in told["jobs"]] == ["stop", "start"]
    assert [node["layer"] for node in told["graph"]["nodes"]] == [0, 1]
    assert [(e["source"], e["target"]) for e in told["graph"]["edges"]] == [("stop", "start")]
    assert desk.plans.orders == []


@pytest.mark.parametrize(
    ("document", "told"),
    [
        pytest.param(one("{action: start_unti, args: x}"), "did you mean start_unit", id="typo"),
        pytest.param(one("{action: start_unit, args: x}", "mds01"), "mds01", id="not there"),
        pytest.param(
            one("{action: start_unit, args: {unit: 3}}"), "args.unit: expected", id="type"
        ),
        pytest.param(
            one("{action: start_unit}"), "args.unit: expected string, got null", id="missing"
        ),
        pytest.param(one("{action: start_unit, args: x}", "oss99"), "not enrolled", id="no node"),
        pytest.param(one("{action: start_unit, args: x}", "'oss['"), "node set", id="node set"),
        pytest.param(one("{action: start_unit, args: x, dry_run: maybe}"), "dry_run", id="option"),
        pytest.param(
            one(
                "{id: b, action: start_unit, args: x}\n      - "
                '{action: start_unti, nodes: "${{ steps.b.result }}"}'
            ),
            "the fleet has no action 'start_unti'",
            id="nodes of an output",
        ),
    ],
)
async def test_what_the_fleet_does_not_fit_is_told(desk: Desk, document: str, told: str) -> None:
    found = await faults(desk, document)

    assert any(told in each for each in found), found


async def test_everything_is_told_at_once_with_lines(desk: Desk) -> None:
    text = """\
version: 1
jobs:
  a:
    nodes: oss01
    steps:
      - action: login
        args:
          usr: x
      - {id: s, action: start_unit, args: x, tmeout: 3}
      - {action: stop_unit, args: {unit: "${{ steps.z.result }}"}}
  b:
    needs: a
    nodes: oss77
    steps: [{action: start_unit, args: x}]
"""
    found = await faults(desk, text)

    assert [told.partition(":")[0] for told in found] == [
        *("8 invalid", "8 invalid", "8 invalid", "9 invalid", "10 invalid", "13 no-node-matched")
    ]
    assert "args.password: expected a value, got nothing" in found[0]
    assert "args.user: expected a value, got nothing" in found[1]
    assert "args.usr: expected one of user, password, got an unknown name" in found[2]
    assert "tmeout: there is no such key; did you mean timeout?" in found[3]


async def test_arguments_that_a_run_will_tell_are_checked_as_far_as_they_are_known(
    desk: Desk,
) -> None:
    steps = "{id: s, action: start_unit, args: x}\n      - {action: login, args: "
    missing = await faults(desk, one(steps + '{user: "${{ steps.s.result }}"}}'))
    unknown = await faults(desk, one(steps + '{user: "${{ steps.s.result }}", pass: x}}'))
    whole = await faults(desk, one(steps + '"${{ steps.s.result }}"}'))

    assert ["args.password: expected a value" in each for each in missing] == [True]
    assert any("args.pass" in each for each in unknown)
    assert whole == []


async def test_a_plan_is_made_once_it_is_right(desk: Desk) -> None:
    answer = await desk.call(
        "POST", "plans", "operator", json={"document": PLAN, "vars": {"unit": "a.service"}}
    )
    plan = answer.json()

    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/plans/{plan['id']}"
    assert plan["counts"]["steps"] == plan["counts"]["pending"] == 2
    assert plan["vars"] == ["unit"]
    (order,) = desk.plans.orders
    assert (order.requester, order.plan.vars) == ("operator", {"unit": "a.service"})
    shown = await desk.call("GET", f"plans/{plan['id']}", "viewer")
    assert shown.json()["jobs"][0]["steps"][0]["args"] == {"unit": "${{ vars.unit }}"}
    assert shown.headers["etag"]
    again = {"headers": {"If-None-Match": shown.headers["etag"]}}
    assert (await desk.call("GET", f"plans/{plan['id']}", "viewer", **again)).status_code == 304


@pytest.mark.parametrize(
    ("document", "status", "kind"),
    [
        pytest.param("version: 1", 422, "invalid", id="document"),
        pytest.param(
            one("{action: start_unit, args: x}", "oss99"), 404, "no-node-matched", id="node"
        ),
        pytest.param("x" * 300_000, 422, "invalid", id="large"),
        pytest.param("", 422, "invalid", id="empty"),
        pytest.param("- " * 100_000, 422, "invalid", id="deep"),
        pytest.param("jobs: \ud800", 400, "invalid", id="surrogate"),
    ],
)
async def test_a_wrong_plan_is_refused_and_nothing_is_stored(
    desk: Desk, document: str, status: int, kind: str
) -> None:
    content = json.dumps({"document": document}).encode()
    kind_of = {"Content-Type": "application/json"}
    answer = await desk.call("POST", "plans", "operator", content=content, headers=kind_of)

    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind)
    assert desk.plans.orders == []


async def test_secrets_are_shown_nowhere(desk: Desk) -> None:
    text = one("{action: login, args: {user: maria, password: hunter2}}")
    made = await desk.call("POST", "plans", "operator", json={"document": text})
    plan = made.json()
    shown = await desk.call("GET", f"plans/{plan['id']}")
    checked = await desk.call("POST", "plans/check", json={"document": text})
    listed = await desk.call("GET", "plans")
    given = {"document": text.replace("hunter2", "${{ vars.p }}"), "vars": {"p": "hunter2"}}
    wrong = await desk.call("POST", "plans", json=given)

    assert made.status_code == 201
    assert wrong.status_code == 422
    for answer in (made, shown, checked, listed, wrong):
        assert "hunter2" not in answer.text


async def test_mandates_hold_for_every_step_before_anything_runs(desk: Desk) -> None:
    desk.accounts.mandates = (Mandate("oss01.example.com", ("start_unit",), {"unit": ("lnet*",)}),)
    steps = "{id: s, action: start_unit, args: lnet}\n      - {action: start_unit, args: %s}"

    allowed = await faults(desk, one(steps % '"${{ steps.s.result }}"'))
    value = await faults(desk, one(steps % "sshd"))
    action = await faults(desk, PLAN)
    refused = await desk.call("POST", "plans", "operator", json={"document": one(steps % "sshd")})

    assert allowed == [], "what only the run tells is judged by the run"
    assert [each.partition(":")[0] for each in value] == ["7 forbidden"]
    assert action[0].startswith("8 forbidden")
    assert (refused.status_code, refused.json()["type"][-9:]) == (403, "forbidden")


async def test_a_plan_is_cancelled_and_resumed(desk: Desk) -> None:
    plan = (await desk.call("POST", "plans", "operator", json={"document": PLAN})).json()
    early = await desk.call("POST", f"plans/{plan['id']}/resume", "operator")
    desk.plans.put(plan["id"], 0, "succeeded")
    cancelled = await desk.call("POST", f"plans/{plan['id']}/cancel", "operator")
    again = await desk.call("POST", f"plans/{plan['id']}/resume", "operator")

    assert (early.status_code, early.json()["type"][-8:]) == (409, "conflict")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert again.json()["attempt"] == 2
    assert again.json()["counts"] == {**plan["counts"], "pending": 1, "succeeded": 1}
    assert (await desk.call("GET", "plans/nothing")).status_code == 404
    assert (await desk.call("POST", "plans/nothing/resume")).status_code == 404


async def test_somebody_elses_plan_is_cancelled_by_who_is_bound_to_nothing(desk: Desk) -> None:
    plan = (await desk.call("POST", "plans", "admin", json={"document": PLAN})).json()
    desk.accounts.mandates = (Mandate("oss01.example.com", ("start_unit",)),)

    answer = await desk.call("POST", f"plans/{plan['id']}/cancel", "operator")

    assert answer.status_code == 403


async def test_plans_are_paged_and_filtered(desk: Desk) -> None:
    for role in ("operator", "admin", "operator"):
        assert (await desk.call("POST", "plans", role, json={"document": PLAN})).status_code == 201
    desk.plans.end("plan-0001", "failed", "why")

    first = (await desk.call("GET", "plans?limit=2")).json()
    rest = (await desk.call("GET", f"plans?limit=2&cursor={first['next']}")).json()
    mine = (await desk.call("GET", "plans?user=operator")).json()
    failed = (await desk.call("GET", "plans?state=failed")).json()

    assert [each["id"] for each in first["items"]] == ["plan-0003", "plan-0002"]
    assert ([each["id"] for each in rest["items"]], rest["next"]) == (["plan-0001"], None)
    assert len(mine["items"]) == 2
    assert failed["items"][0]["reason"] == "why"
    assert (await desk.call("GET", "plans?state=odd")).status_code == 422
    assert (await desk.call("GET", "plans?cursor=odd")).status_code == 422


async def test_events_are_filtered_by_plan(desk: Desk) -> None:
    desk.engine.happen("plan.step", plan="p1", step="a")
    desk.engine.happen("plan.step", plan="p2", step="a")

    found: Any = (await desk.call("GET", "events?plan=p2")).json()

    assert [each["body"]["plan"] for each in found["items"]] == ["p2"]


async def test_a_target_that_vanishes_between_check_and_start_refuses_the_plan(desk: Desk) -> None:
    assert await faults(desk, PLAN) == []
    del desk.engine.views["oss02.example.com"]

    answer = await desk.call("POST", "plans", "operator", json={"document": PLAN})

    assert answer.status_code == 404
    assert "oss02" in answer.json()["detail"]
