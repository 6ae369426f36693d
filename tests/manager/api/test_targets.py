"""Targets and groups over the API: what would match, why not, and who may define a group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from emf_manager.authorization import Mandate
from tests.manager.api.conftest import Desk

pytestmark = pytest.mark.anyio

OSS = [f"oss0{number}.example.com" for number in (1, 2, 3)]
MDS = "mds01.example.com"


async def targets(desk: Desk, role: str = "viewer", **body: Any) -> Any:
    answer = await desk.call("POST", "/targets", role, json={"nodes": "*", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def batches(answer: Any) -> dict[str, int]:
    return {one["node"]: one["batch"] for one in answer["matched"]}


def reasons(answer: Any) -> dict[str, str]:
    return {one["node"]: one["reason"] for one in answer["left_out"]}


@pytest.fixture
def fleet(desk: Desk) -> Desk:
    for node in OSS:
        desk.engine.views[node] = replace(desk.engine.views[node], role="oss")
        desk.engine.told[node] = {"os.name": "rhel", "lustre.target": ("fs1-OST0000",)}
    desk.engine.told[MDS] = {"os.name": "debian"}
    return desk


async def test_what_would_match_is_told_with_its_batch_and_state(fleet: Desk) -> None:
    fleet.engine.silence(OSS[1])

    answer = await targets(fleet, nodes="@oss", batch=2)

    assert batches(answer) == {OSS[0]: 1, OSS[1]: 1, OSS[2]: 2}
    assert [one["state"] for one in answer["matched"]] == ["connected", "silent", "connected"]
    assert answer["batches"] == 2
    assert answer["left_out"] == []


@pytest.mark.parametrize("exclude", ["zzz*", "@spare", "oss09", "oss09.example.com", "oss01,@oss"])
async def test_what_is_excluded_may_be_nothing_where_no_node_is_named(
    fleet: Desk, exclude: str
) -> None:
    await fleet.call("PUT", "/groups/spare", json={"nodes": "oss[40-49]"})
    new = "oss09.example.com"
    fleet.engine.views[new] = replace(fleet.engine.views[OSS[0]], fqdn=new, waiting=True)

    assert MDS in batches(await targets(fleet, exclude=exclude))


async def test_every_node_that_is_left_out_has_a_reason(fleet: Desk) -> None:
    new = "oss09.example.com"
    fleet.engine.views[new] = replace(fleet.engine.views[OSS[0]], fqdn=new, waiting=True)

    answer = await targets(
        fleet, exclude="oss01", facts=["lustre.target~OST"], action="stop_unit", limit=1
    )

    assert answer["matched"] == []
    assert reasons(answer) == {
        MDS: "has no fact lustre.target",
        OSS[0]: "excluded",
        OSS[1]: "has no action stop_unit: a job is refused until it is excluded",
        OSS[2]: "has no action stop_unit: a job is refused until it is excluded",
        new: "not approved yet; see emf node approve",
    }


async def test_the_limit_takes_the_first_by_name(fleet: Desk) -> None:
    answer = await targets(fleet, nodes="oss03,oss01,oss02", limit="50%")

    assert batches(answer) == {OSS[0]: 1, OSS[1]: 1}
    assert reasons(answer) == {OSS[2]: "beyond the limit of 50%"}


async def test_facts_are_told_where_they_are_asked_for(fleet: Desk) -> None:
    answer = await targets(fleet, nodes="oss01", show_facts=True)

    (one,) = answer["matched"]
    assert one["facts"]["lustre.target"] == ["fs1-OST0000"]
    assert list(one["facts"]) == sorted(one["facts"])


@pytest.mark.parametrize(
    ("body", "field", "word"),
    [
        ({"batch": "0%"}, "body.batch", "a percentage from 1% to 100%"),
        ({"batch": "101%"}, "body.batch", "a percentage from 1% to 100%"),
        ({"limit": 0}, "body.limit", "a number from 1"),
        ({"canary": True}, "body.canary", "a number from 1"),
        ({"canary": 5}, "body.canary", "at most the 4 nodes"),
        ({"fail_limit": 5}, "body.fail_limit", "at most the 4 nodes"),
        ({"spread": "rack"}, "body.spread", "'ha'"),
        ({"facts": ["os.name"]}, "facts.0", "NAME=VALUE"),
        ({"facts": ["os.nmae=rhel"]}, "facts", "did you mean os.name"),
        ({"facts": ["a=b"] * 33}, "body.facts", "32"),
        ({"nodes": "oss[1-1000000]"}, "nodes", "more than 20000 names"),
        ({"nodes": "@osss"}, "nodes", "no group @osss"),
        ({"batches": 3}, "body.batches", "no such field"),
    ],
)
async def test_bad_input_is_named(fleet: Desk, body: Any, field: str, word: str) -> None:
    answer = await fleet.call("POST", "/targets", json={"nodes": "*", **body})

    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert field in [fault["field"] for fault in problem["errors"]]
    assert word in problem["detail"]


async def test_an_action_that_no_node_has_brings_those_near_it(fleet: Desk) -> None:
    answer = await fleet.call("POST", "/targets", json={"nodes": "*", "action": "strat_unit"})

    assert answer.status_code == 404
    assert "start_unit" in answer.json()["suggestions"]


# Jobs and pings over the same choice


async def run(desk: Desk, role: str = "operator", **body: Any) -> Any:
    order = {"nodes": "*", "action": "start_unit", "args": {"unit": "lnet"}, **body}
    return await desk.call("POST", "/jobs", role, json=order)


async def test_a_job_goes_to_what_matches_and_says_how(fleet: Desk) -> None:
    answer = await run(
        fleet, facts=["os.name=rhel"], batch=1, fail_limit="50%", expect=3, deadline_s=60
    )

    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert [(one["node"], one["state"], one["batch"]) for one in job["targets"]] == [
        (OSS[0], "queued", 1),
        (OSS[1], "held", 2),
        (OSS[2], "held", 3),
    ]
    assert job["counts"]["targeted"] == job["counts"]["queued"] + job["counts"]["held"] == 3
    assert {k: v for k, v in job["rollout"].items() if v} == {"batch": 1, "fail_limit": "50%"}
    assert job["deadline"] is not None


async def test_another_number_of_nodes_than_expected_is_refused(fleet: Desk) -> None:
    answer = await run(fleet, facts=["os.name=rhel"], expect=4)

    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "body.expect", "expected": "4 nodes to match", "got": "3"}
    ]
    assert fleet.engine.orders == []


async def test_no_node_that_matches_says_why(fleet: Desk) -> None:
    answer = await run(fleet, nodes="mds01", facts=["os.name=rhel"])

    assert answer.status_code == 404
    assert "os.name is debian, not = rhel" in answer.json()["detail"]


async def test_a_node_that_waits_is_left_out_of_groups_and_refused_by_name(fleet: Desk) -> None:
    fleet.engine.views[OSS[2]] = replace(fleet.engine.views[OSS[2]], waiting=True)

    by_group = await run(fleet, nodes="@oss")
    by_name = await run(fleet, nodes="oss03")

    assert [one["node"] for one in by_group.json()["targets"]] == OSS[:2]
    assert by_name.status_code in (403, 404)
    assert "oss03" in by_name.json()["detail"]


async def test_a_ping_takes_facts_too(fleet: Desk) -> None:
    answer = await fleet.call("POST", "/ping", json={"nodes": "*", "facts": ["os.name=debian"]})

    assert [one["node"] for one in answer.json()["results"]] == [MDS]


async def test_mandates_are_asked_about_the_nodes_that_a_group_means(fleet: Desk) -> None:
    fleet.accounts.mandates = (Mandate(nodes="oss[01-02].example.com"),)

    inside = await run(fleet, nodes="@oss!oss03")
    outside = await run(fleet, nodes="@oss")

    assert inside.status_code == 201
    assert outside.status_code == 403
    assert OSS[2] in outside.json()["detail"]


async def test_jobs_are_found_by_state_and_action(fleet: Desk) -> None:
    first = (await run(fleet, nodes="oss01")).json()["id"]
    second = (await run(fleet, nodes="oss02")).json()["id"]
    fleet.engine.move(first, OSS[0], outcome="ok")

    async def found(query: str) -> list[str]:
        return [one["id"] for one in (await fleet.call("GET", f"/jobs?{query}")).json()["items"]]

    assert await found("state=running") == [second]
    assert await found("state=done&action=start_unit") == [first]
    assert await found("action=stop_unit") == []


# Groups


async def test_a_group_is_defined_listed_used_and_deleted(fleet: Desk) -> None:
    made = await fleet.call("PUT", "/groups/spare", "operator", json={"nodes": "@oss!oss01"})
    assert made.json()["nodes"] == "oss[02-03].example.com"

    listed = {one["name"]: one for one in (await fleet.call("GET", "/groups")).json()["items"]}
    assert listed["spare"]["defined"] == "@oss!oss01"
    assert listed["spare"]["changed_by"] == "operator"
    assert listed["oss"]["node_count"] == 3
    assert listed["oss"]["defined"] is None
    assert list(batches(await targets(fleet, nodes="@spare"))) == OSS[1:]

    assert (await fleet.call("DELETE", "/groups/spare", "operator")).status_code == 204
    assert (await fleet.call("POST", "/targets", json={"nodes": "@spare"})).status_code == 422


@pytest.mark.parametrize(
    ("name", "nodes", "status", "word"),
    [
        ("a", "@b,oss01", 422, "name each other"),
        ("a", "@a", 422, "name each other"),
        ("a", "@nowhere", 422, "no group @nowhere"),
        ("a", "oss[1-", 422, "node set"),
        ("oss", "mds01", 409, "role or a state"),
        ("silent", "mds01", 409, "role or a state"),
        ("all", "mds01", 409, "role or a state"),
        ("a=b", "mds01", 422, "path.name"),
        ("a", "", 422, "body.nodes"),
    ],
)
async def test_a_group_that_cannot_be_is_refused(
    fleet: Desk, name: str, nodes: str, status: int, word: str
) -> None:
    await fleet.call("PUT", "/groups/a", json={"nodes": "oss01"})
    await fleet.call("PUT", "/groups/b", json={"nodes": "@a"})

    answer = await fleet.call("PUT", f"/groups/{name}", json={"nodes": nodes})

    assert (answer.status_code, word in answer.json()["detail"]) == (status, True), answer.text
    assert fleet.engine.defined["a"].nodes == "oss01"


async def test_a_group_that_another_names_is_not_deleted(fleet: Desk) -> None:
    await fleet.call("PUT", "/groups/a", json={"nodes": "oss01"})
    await fleet.call("PUT", "/groups/b", json={"nodes": "@a"})

    answer = await fleet.call("DELETE", "/groups/a")

    assert answer.status_code == 409
    assert "@b" in answer.json()["detail"]
    assert (await fleet.call("DELETE", "/groups/c")).status_code == 404


async def test_who_has_mandates_defines_no_groups(fleet: Desk) -> None:
    fleet.accounts.mandates = (Mandate(nodes="oss01"),)

    answer = await fleet.call("PUT", "/groups/a", "operator", json={"nodes": "oss01"})

    assert answer.status_code == 403
    assert fleet.engine.defined == {}


async def test_a_group_whose_nodes_are_gone_says_so_when_it_is_used(fleet: Desk) -> None:
    await fleet.call("PUT", "/groups/a", json={"nodes": "oss01,oss99"})

    answer = await fleet.call("POST", "/targets", json={"nodes": "@a"})

    assert answer.status_code == 404
    assert "oss99" in answer.json()["detail"]
