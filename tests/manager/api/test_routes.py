"""What the routes say and take, over a manager in memory."""

from __future__ import annotations

from typing import Any

import pytest

from emf_agent.errors import RefusedError, UsageError
from emf_manager import views as v
from emf_manager.api import models as m
from emf_manager.bus import TooSlowError
from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import NODES, NOW, data_view, described, node_view

pytestmark = pytest.mark.anyio

START = {"nodes": "oss[01-02]", "action": "start_unit", "args": {"unit": "lnet.service"}}
HOSTILE = "<script>alert(1)</script>'; DROP TABLE jobs; --\x1b[2J"


async def test_health_says_that_it_serves_and_no_more(desk: Desk) -> None:
    answer = await desk.http.get("health")

    assert answer.json() == {"status": "ok"}


async def test_me_tells_the_role_and_its_permissions(desk: Desk) -> None:
    answer = await desk.call("GET", "me", "operator")

    assert answer.json() == {
        "user": "operator",
        "role": "operator",
        "permissions": ["operate", "read"],
    }


async def test_nodes_come_sorted_with_their_age(desk: Desk) -> None:
    items = (await desk.call("GET", "nodes", "viewer")).json()["items"]

    assert [item["fqdn"] for item in items] == sorted(NODES)
    assert items[0]["age_s"] == 3.0
    assert items[0]["sessions"] == {"agent": "active", "host": "active"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("nodes=oss[01-02]", ["oss01", "oss02"]),
        ("nodes=oss*", ["oss01", "oss02", "oss03"]),
        ("nodes=*", ["mds01", "oss01", "oss02", "oss03"]),
        ("nodes=@all", ["mds01", "oss01", "oss02", "oss03"]),
        ("nodes=oss01.example.com", ["oss01"]),
        ("exclude=oss[01-03]", ["mds01"]),
        ("nodes=oss[01-03]&exclude=oss02", ["oss01", "oss03"]),
        ("state=silent", ["oss03"]),
        ("nodes=oss[01-02]&state=silent", []),
    ],
)
async def test_nodes_are_filtered(desk: Desk, query: str, found: list[str]) -> None:
    desk.engine.silence("oss03.example.com")

    items = (await desk.call("GET", f"nodes?{query}")).json()["items"]

    assert [item["fqdn"].removesuffix(".example.com") for item in items] == found


async def test_a_list_is_walked_page_by_page_without_loss_or_repeat(desk: Desk) -> None:
    seen: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        query = f"&cursor={cursor}" if cursor else ""
        page = (await desk.call("GET", f"sessions?limit=3{query}")).json()
        seen += [f"{item['node']}/{item['daemon']}" for item in page["items"]]
        cursor = page["next"]
        pages += 1

    assert seen == sorted(f"{node}/{daemon}" for node in NODES for daemon in ("agent", "host"))
    assert pages == 3


async def test_data_is_walked_page_by_page(desk: Desk) -> None:
    for node in NODES:
        for daemon in ("agent", "host", "network"):
            desk.engine.values[node, daemon] = data_view(node, daemon, {"n": 1})
    seen: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        query = f"&cursor={cursor}" if cursor else ""
        page = (await desk.call("GET", f"data?limit=5{query}")).json()
        seen += [(item["node"], item["daemon"]) for item in page["items"]]
        cursor = page["next"]

    assert seen == sorted(desk.engine.values)


async def test_a_node_is_found_by_its_first_label_when_that_is_unique(desk: Desk) -> None:
    assert (await desk.call("GET", "nodes/oss01")).json()["fqdn"] == "oss01.example.com"

    desk.engine.views["oss01.example.org"] = node_view("oss01.example.org")

    assert (await desk.call("GET", "nodes/oss01")).status_code == 404


async def test_a_node_shows_its_plugins_from_the_agents_report(desk: Desk) -> None:
    report = {
        "plugins": [
            {
                "name": "pools",
                "distribution": "emf-plugins-lustre",
                "version": "0.1.0",
                "state": "refused",
                "reason": "not in the allowlist",
                "actions": [],
            }
        ]
    }
    desk.engine.values["oss01.example.com", "agent"] = data_view("oss01", "agent", report)

    (plugin,) = (await desk.call("GET", "nodes/oss01")).json()["plugins"]

    assert plugin["state"] == "refused"
    assert plugin["reason"] == "not in the allowlist"


@pytest.mark.parametrize("report", [None, [], {"plugins": 3}, {"plugins": [{"x": 1}]}, "text"])
async def test_a_report_that_cannot_be_read_costs_only_the_plugins(desk: Desk, report: Any) -> None:
    desk.engine.values["oss01.example.com", "agent"] = data_view("oss01", "agent", report)

    answer = await desk.call("GET", "nodes/oss01")

    assert answer.status_code == 200
    assert answer.json()["plugins"] == []


async def test_data_says_how_old_it_is_and_whether_it_may_not_hold(desk: Desk) -> None:
    key = ("oss01.example.com", "host")
    desk.engine.values[key] = data_view(*key, {"load": 0.5}, stale=True)

    item = (await desk.call("GET", "data/oss01/host")).json()

    assert item["value"] == {"load": 0.5}
    assert (item["age_s"], item["stale"], item["sequence"]) == (3.0, True, 7)


@pytest.mark.parametrize(
    ("path", "suggestion"),
    [
        ("nodes/oss1.example.com", "oss01.example.com"),
        ("data/oss1.example.com/host", "oss01.example.com"),
        ("data/oss01.example.com/hots", "host"),
        ("actions/start_unti", "start_unit"),
    ],
)
async def test_a_near_miss_is_told_what_was_meant(desk: Desk, path: str, suggestion: str) -> None:
    key = ("oss01.example.com", "host")
    desk.engine.values[key] = data_view(*key, {})

    problem = await desk.call("GET", path)

    assert problem.status_code == 404
    assert suggestion in problem.json()["suggestions"], problem.text
    assert "did you mean" in problem.json()["detail"]


async def test_the_catalogue_names_the_nodes_folded(desk: Desk) -> None:
    action = (await desk.call("GET", "actions/start_unit")).json()

    assert action["node_count"] == 4
    assert action["nodes"] == "mds01.example.com,oss[01-03].example.com"
    assert action["args_schema"]["required"] == ["unit"]


async def test_the_catalogue_of_some_nodes_has_only_what_they_have(desk: Desk) -> None:
    items = (await desk.call("GET", "actions?nodes=oss02")).json()["items"]

    assert [(item["name"], item["nodes"]) for item in items] == [
        ("start_unit", "oss02.example.com")
    ]


async def test_nodes_that_disagree_on_an_action_are_told_apart(desk: Desk) -> None:
    old = described("start_unit", args_schema={"type": "null"})
    desk.engine.entries = (
        v.CatalogueEntry(
            "start_unit",
            (v.Variant(described("start_unit"), NODES[:2]), v.Variant(old, NODES[2:3])),
        ),
    )

    action = (await desk.call("GET", "actions/start_unit")).json()

    assert action["node_count"] == 3
    assert action["args_schema"]["required"] == ["unit"]
    (variant,) = action["variants"]
    assert variant["nodes"] == NODES[2]
    assert variant["args_schema"] == {"type": "null"}


async def test_ping_tells_the_living_from_the_silent(desk: Desk) -> None:
    desk.engine.silence("oss02.example.com")

    results = (await desk.call("POST", "ping", json={"nodes": "oss[01-02]"})).json()["results"]

    assert [(each["node"], each["alive"]) for each in results] == [
        ("oss01.example.com", True),
        ("oss02.example.com", False),
    ]


# Jobs


async def test_a_job_is_stored_for_the_nodes_of_its_set(desk: Desk) -> None:
    body = {**START, "exclude": "oss02", "timeout_s": 30, "expires_s": 90, "dry_run": True}

    answer = await desk.call("POST", "jobs", "operator", json=body)

    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    (order,) = desk.engine.orders
    assert order == v.JobOrder(
        action="start_unit",
        nodes=("oss01.example.com",),
        requester="operator",
        args={"unit": "lnet.service"},
        timeout_s=30,
        expires_in_s=90,
        dry_run=True,
    )


async def test_the_same_key_again_is_the_same_job(desk: Desk) -> None:
    key = {"Idempotency-Key": "5f0c7e1e-0001"}

    first = await desk.call("POST", "jobs", json=START, headers=key)
    second = await desk.call("POST", "jobs", json=START, headers=key)

    assert first.json()["id"] == second.json()["id"]
    assert len(desk.engine.orders) == 1


async def test_counts_always_add_up(desk: Desk) -> None:
    job = (await desk.call("POST", "jobs", json={**START, "nodes": "*"})).json()["id"]
    for node, outcome in zip(NODES, ("ok", "failed", "unknown"), strict=False):
        desk.engine.move(job, node, outcome=outcome)
        counts = (await desk.call("GET", f"jobs/{job}")).json()["counts"]
        assert counts.pop("targeted") == sum(counts.values()) == 4


async def test_a_cancel_is_asked_of_what_is_not_final(desk: Desk) -> None:
    job = (await desk.call("POST", "jobs", json=START)).json()["id"]
    desk.engine.move(job, NODES[0], outcome="ok")

    answer = await desk.call("POST", f"jobs/{job}/cancel", "operator")

    assert answer.status_code == 202
    assert [(t["node"], t["cancel"]) for t in answer.json()["targets"]] == [
        (NODES[0], None),
        (NODES[1], "asked"),
    ]


async def test_the_audit_trail_is_walked_from_either_end(desk: Desk) -> None:
    line = m.AuditLine(sequence=1, at=NOW, actor="a", what="b", digest="0" * 64, outcome="ok")
    desk.accounts.trail = tuple(line.model_copy(update={"sequence": n}) for n in range(1, 8))
    asked = {"oldest": "after=1&before=7", "newest": "after=1&before=7&order=newest"}
    found: dict[str, list[int]] = {}
    for order, query in asked.items():
        cursor: str | None = ""
        found[order] = []
        while cursor is not None:
            on = f"&cursor={cursor}" if cursor else ""
            page = (await desk.call("GET", f"audit?limit=2&{query}{on}")).json()
            found[order] += [line["sequence"] for line in page["items"]]
            cursor = page["next"]

    assert found == {"oldest": [2, 3, 4, 5, 6], "newest": [6, 5, 4, 3, 2]}


async def test_jobs_come_newest_first_page_by_page(desk: Desk) -> None:
    made = [(await desk.call("POST", "jobs", json=START)).json()["id"] for _ in range(5)]

    first = (await desk.call("GET", "jobs?limit=3")).json()
    second = (await desk.call("GET", f"jobs?limit=3&cursor={first['next']}")).json()

    assert [job["id"] for job in first["items"] + second["items"]] == made[::-1]
    assert second["next"] is None
    assert "targets" not in first["items"][0]


async def test_jobs_are_filtered_by_user(desk: Desk) -> None:
    await desk.call("POST", "jobs", "operator", json=START)
    await desk.call("POST", "jobs", "admin", json=START)

    items = (await desk.call("GET", "jobs?user=operator")).json()["items"]

    assert [job["user"] for job in items] == ["operator"]


# Bad input: named, never a 500, nothing lost


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.nodes"),
        ({"nodes": "oss01"}, "body.action"),
        ({**START, "nodes": 3}, "body.nodes"),
        ({**START, "nodes": ""}, "body.nodes"),
        ({**START, "nodes": "oss[01-"}, "nodes"),
        ({**START, "nodes": "oss[1-99999999]"}, "nodes"),
        ({**START, "nodes": "a" * 70_000}, "body.nodes"),
        ({**START, "exclude": "[["}, "exclude"),
        ({**START, "timeout_s": -1}, "body.timeout_s"),
        ({**START, "timeout_s": "30"}, "body.timeout_s"),
        ({**START, "expires_s": 1e300}, "body.expires_s"),
        ({**START, "dry_run": "yes"}, "body.dry_run"),
        ({**START, "dryrun": True}, "body.dryrun"),
        ({**START, "args": {"unit": 42}}, "args.unit"),
        ([], "body"),
        ("text", "body"),
        (None, "body"),
    ],
)
async def test_a_bad_job_is_refused_with_the_field_named(desk: Desk, body: Any, field: str) -> None:
    answer = await desk.call("POST", "jobs", json=body)

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:emf-agent:problem:invalid"
    assert problem["instance"] == "/api/v1/jobs"
    fault = problem["errors"][0]
    assert fault["field"] == field
    assert fault["expected"]
    assert fault["got"]
    assert desk.engine.orders == []


@pytest.mark.parametrize(
    ("nodes", "exclude", "told"),
    [
        ("oss[01-09]", None, "oss[04-09]"),
        ("nothere", None, "nothere"),
        ("zzz*", None, "no enrolled node"),
        ("oss01", "oss01", "no enrolled node"),
        ("oss*", "oss001", "not enrolled: oss001"),
        ("oss*", "oss[01-04]", "not enrolled: oss04"),
        ("oss*", "@all!oss09", "not enrolled: oss09"),
    ],
)
async def test_a_set_with_strangers_or_nothing_runs_nowhere(
    desk: Desk, nodes: str, exclude: str | None, told: str
) -> None:
    answer = await desk.call("POST", "jobs", json={**START, "nodes": nodes, "exclude": exclude})

    assert answer.status_code == 404
    assert answer.json()["type"].endswith(":no-node-matched")
    assert told in answer.json()["detail"]
    assert desk.engine.orders == []


async def test_an_unknown_action_is_told_what_was_meant(desk: Desk) -> None:
    answer = await desk.call("POST", "jobs", json={**START, "action": "start_unti"})

    assert answer.status_code == 422
    assert answer.json()["suggestions"] == ["start_unit"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("nodes?limit=0", "query.limit"),
        ("nodes?limit=1001", "query.limit"),
        ("nodes?limit=ten", "query.limit"),
        ("nodes?state=gone", "query.state"),
        ("nodes?sate=silent", "query.sate"),
        ("nodes?cursor=%21%21", "query.cursor"),
        ("nodes?cursor=WzFd8", "query.cursor"),
        ("sessions?cursor=WyJhIl0", "query.cursor"),
        ("data?cursor=eyJhIjoxfQ", "query.cursor"),
        ("jobs?cursor=W10", "query.cursor"),
        ("events?after=-1", "query.after"),
        ("events?after=99999999999999999999", "query.after"),
        ("events?cursor=WyJhIl0", "query.cursor"),
        ("audit?cursor=WzkyMjMzNzIwMzY4NTQ3NzU4MDhd", "query.cursor"),
        ("audit?before=0", "query.before"),
        ("audit?order=up", "query.order"),
        ("nodes?nodes=%5B%5B", "nodes"),
    ],
)
async def test_a_bad_query_is_refused_with_the_field_named(
    desk: Desk, path: str, field: str
) -> None:
    answer = await desk.call("GET", path)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("users", {"name": "a b", "role": "viewer"}, "body.name"),
        ("users", {"name": "maria", "role": "root"}, "body.role"),
        ("tokens", {"user": "viewer", "ttl_s": 0}, "body.ttl_s"),
        ("enrolment-tokens", {"uses": 0}, "body.uses"),
        ("enrolment-tokens", {"ttl_s": 10_000_000}, "body.ttl_s"),
        ("enrolment-tokens", {"role": "../etc"}, "body.role"),
        ("ping", {"nodes": "*", "timeout_s": 3600}, "body.timeout_s"),
    ],
)
async def test_a_bad_order_is_refused_with_the_field_named(
    desk: Desk, path: str, body: Any, field: str
) -> None:
    answer = await desk.call("POST", path, json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("key", ["short", "k" * 129, "with blank inside"])
async def test_a_bad_idempotency_key_is_refused(desk: Desk, key: str) -> None:
    answer = await desk.call("POST", "jobs", json=START, headers={"Idempotency-Key": key})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "header.Idempotency-Key"


async def test_hostile_text_comes_back_as_text(desk: Desk) -> None:
    desk.engine.views[HOSTILE] = node_view("oss09.example.com")
    answer = await desk.call("GET", "nodes/" + "%3Cscript%3E%1b%5B2J")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "\x1b" not in answer.json()["detail"]


async def test_a_fault_of_the_manager_tells_nothing_of_its_inside(desk: Desk) -> None:
    async def broken() -> tuple[v.NodeView, ...]:
        raise RuntimeError("password=hunter2 at /var/lib/secret")

    desk.engine.nodes = broken  # type: ignore[method-assign]  # a fault is what is wanted

    answer = await desk.call("GET", "nodes")

    assert answer.status_code == 500
    assert answer.json()["type"].endswith(":internal")
    assert "hunter2" not in answer.text


async def test_a_store_that_cannot_write_is_busy_not_broken(desk: Desk) -> None:
    from emf_manager.store.interface import StoreFullError

    async def full(order: v.JobOrder) -> v.JobView:
        raise StoreFullError("/var/lib/emf-manager/store.sqlite")

    desk.engine.create_job = full  # type: ignore[method-assign]  # a fault is what is wanted

    answer = await desk.call("POST", "jobs", json=START)

    assert answer.status_code == 503
    assert "/var/lib" not in answer.text


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (v.NotFoundError("node", "x"), 404, "not-found"),
        (v.ConflictError("the key was used for something else"), 409, "conflict"),
        (RefusedError("too many open jobs"), 403, "refused"),
        (UsageError("out of range"), 422, "invalid"),
        (TooSlowError(3), 503, "busy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_what_the_engine_refuses_keeps_its_meaning(
    desk: Desk, error: Exception, status: int, kind: str
) -> None:
    async def refuse(order: v.JobOrder) -> v.JobView:
        raise error

    desk.engine.create_job = refuse  # type: ignore[method-assign]  # each refusal in turn

    answer = await desk.call("POST", "jobs", json=START)

    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind)


# Freshness


@pytest.mark.parametrize("path", ["nodes", "nodes/oss01", "actions", "actions/start_unit"])
async def test_an_answer_already_known_is_not_sent_again(desk: Desk, path: str) -> None:
    first = await desk.call("GET", path)
    again = await desk.call("GET", path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")

    desk.engine.silence("oss01.example.com")
    desk.engine.entries = desk.engine.entries[:1]
    if path == "actions/start_unit":
        return
    changed = await desk.call("GET", path, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200


async def test_a_jobs_tag_changes_with_its_targets(desk: Desk) -> None:
    job = (await desk.call("POST", "jobs", json=START)).json()["id"]
    tag = {"If-None-Match": (await desk.call("GET", f"jobs/{job}")).headers["etag"]}
    assert (await desk.call("GET", f"jobs/{job}", headers=tag)).status_code == 304

    desk.engine.move(job, NODES[0], outcome="ok")

    assert (await desk.call("GET", f"jobs/{job}", headers=tag)).status_code == 200


# Accounts


async def test_a_secret_is_said_once(desk: Desk) -> None:
    made = (await desk.call("POST", "tokens", json={"user": "viewer"})).json()
    enrol = (await desk.call("POST", "enrolment-tokens", json={"uses": 3})).json()

    listed = (await desk.call("GET", "tokens")).text
    listed += (await desk.call("GET", "enrolment-tokens")).text

    assert made["secret"] not in listed
    assert enrol["secret"] not in listed
    assert enrol["uses_left"] == 3


async def test_users_are_made_and_deleted(desk: Desk) -> None:
    body = {"name": "maria", "role": "operator"}

    assert (await desk.call("POST", "users", json=body)).status_code == 201
    assert (await desk.call("POST", "users", json=body)).status_code == 409
    assert (await desk.call("DELETE", "users/maria")).status_code == 204
    assert (await desk.call("DELETE", "users/maria")).status_code == 404


async def test_nobody_locks_themselves_out(desk: Desk) -> None:
    assert (await desk.call("DELETE", "users/admin")).status_code == 409


async def test_a_token_of_nobody_is_not_made(desk: Desk) -> None:
    answer = await desk.call("POST", "tokens", json={"user": "viewr"})

    assert answer.status_code == 404
    assert answer.json()["suggestions"] == ["viewer"]


async def test_the_document_has_examples_and_our_problems(desk: Desk) -> None:
    document = (await desk.call("GET", "openapi.json")).json()

    assert document["openapi"].startswith("3.1")
    assert document["components"]["schemas"]["JobRequest"]["examples"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            if operation["x-permission"] != "public":
                content = operation["responses"]["401"]["content"]
                assert list(content) == ["application/problem+json"]
