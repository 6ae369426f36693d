"""Alerts over the API: what is open, what is over, who looks after it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emf_manager.authorization import Mandate
from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import NODES, NOW

pytestmark = pytest.mark.anyio


async def test_an_alert_says_what_is_wrong_and_what_to_do(desk: Desk) -> None:
    desk.alerts.put("daemon.late", subject="host", text="it is late; see the load")

    (alert,) = (await desk.call("GET", "alerts", "viewer")).json()["items"]

    assert alert == {
        "id": 1,
        "kind": "daemon.late",
        "severity": "critical",
        "state": "open",
        "node": NODES[0],
        "subject": "host",
        "text": "it is late; see the load",
        "raised": "2026-02-02T02:40:00Z",
        "cleared": None,
        "acknowledged": None,
    }
    assert (await desk.call("GET", "alerts/1")).json() == alert


async def test_an_alert_is_acknowledged_once_and_who_comes_second_sees_who_did(desk: Desk) -> None:
    desk.alerts.put()

    first = await desk.call("POST", "alerts/1/acknowledge", "operator", json={"note": "on my way"})
    second = await desk.call("POST", "alerts/1/acknowledge", json={"note": "me too"})

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["state"] == "acknowledged"
    assert second.json()["acknowledged"]["by"] == "operator"
    assert second.json()["acknowledged"]["note"] == "on my way"


async def test_a_note_may_be_left_out(desk: Desk) -> None:
    desk.alerts.put()

    assert (await desk.call("POST", "alerts/1/acknowledge")).json()["acknowledged"]["note"] == ""


async def test_alerts_are_filtered(desk: Desk) -> None:
    desk.alerts.put("node.silent", NODES[0])
    desk.alerts.put("clock.skew", NODES[1], severity="warning")
    desk.alerts.put("store.filling", None)
    desk.alerts.kept[2] = replace(desk.alerts.kept[2], cleared=NOW)

    async def listed(query: str) -> list[int]:
        answer = await desk.call("GET", f"alerts?{query}")
        assert answer.status_code == 200, answer.text
        return [alert["id"] for alert in answer.json()["items"]]

    assert await listed("") == [3, 2, 1]
    assert await listed("state=current") == [3, 1]
    assert await listed("state=cleared") == [2]
    assert await listed("nodes=oss*") == [2, 1]
    assert await listed("exclude=oss01") == [2]
    assert await listed("kind=clock.skew") == [2]
    assert await listed("severity=warning") == [2]


async def test_alerts_come_in_pages(desk: Desk) -> None:
    for _ in range(5):
        desk.alerts.put()
    seen: list[int] = []
    path = "alerts?limit=2"
    while path:
        page = (await desk.call("GET", path)).json()
        seen += [alert["id"] for alert in page["items"]]
        path = page["next"] and f"alerts?limit=2&cursor={page['next']}"

    assert seen == [5, 4, 3, 2, 1]


async def test_a_list_that_is_known_already_is_not_sent_again(desk: Desk) -> None:
    desk.alerts.put()
    tag = (await desk.call("GET", "alerts")).headers["etag"]

    again = await desk.call("GET", "alerts", headers={"If-None-Match": tag})
    await desk.call("POST", "alerts/1/acknowledge")
    changed = await desk.call("GET", "alerts", headers={"If-None-Match": tag})

    assert (again.status_code, changed.status_code) == (304, 200)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("GET", "alerts?state=gone", None, 422, "query.state"),
        ("GET", "alerts?severity=bad", None, 422, "query.severity"),
        ("GET", "alerts?cursor=x", None, 422, "query.cursor"),
        ("GET", "alerts?limit=0", None, 422, "query.limit"),
        ("GET", "alerts?color=red", None, 422, "query.color"),
        ("GET", "alerts?nodes=oss[", None, 422, "nodes"),
        ("GET", "alerts/nine", None, 422, "path.alert_id"),
        ("GET", "alerts/0", None, 422, "path.alert_id"),
        ("GET", f"alerts/{2**63}", None, 422, "path.alert_id"),
        ("GET", "alerts/99", None, 404, None),
        ("POST", "alerts/99/acknowledge", {}, 404, None),
        ("POST", "alerts/1/acknowledge", {"note": 4}, 422, "body.note"),
        ("POST", "alerts/1/acknowledge", {"note": "x" * 1001}, 422, "body.note"),
        ("POST", "alerts/1/acknowledge", {"by": "ann"}, 422, "body.by"),
    ],
)
async def test_bad_input_is_named(
    desk: Desk, method: str, path: str, body: object, status: int, field: str | None
) -> None:
    desk.alerts.put()

    answer = await desk.call(method, path, json=body)

    assert answer.status_code == status, answer.text
    assert [fault["field"] for fault in answer.json()["errors"]] == ([field] if field else [])
    assert desk.alerts.kept[1].state == "open"


async def test_a_viewer_may_not_acknowledge(desk: Desk) -> None:
    desk.alerts.put()

    assert (await desk.call("POST", "alerts/1/acknowledge", "viewer")).status_code == 403


async def test_a_mandate_bounds_whose_alerts_may_be_acknowledged(desk: Desk) -> None:
    desk.accounts.mandates = (Mandate(nodes="oss01.example.com"),)
    desk.alerts.put(node="oss01.example.com")
    desk.alerts.put(node="oss02.example.com")
    desk.alerts.put("store.filling", node=None)

    answers = [
        await desk.call("POST", f"alerts/{number}/acknowledge", "operator") for number in (1, 2, 3)
    ]

    assert [answer.status_code for answer in answers] == [200, 403, 403]


async def test_a_node_shows_how_many_alerts_nobody_looks_after(desk: Desk) -> None:
    desk.alerts.put()
    desk.alerts.put("clock.skew")
    await desk.call("POST", "alerts/2/acknowledge")

    listed = (await desk.call("GET", "nodes")).json()["items"]
    shown = (await desk.call("GET", f"nodes/{NODES[0]}")).json()

    assert {node["fqdn"]: node["alerts"] for node in listed} == {
        name: int(name == NODES[0]) for name in NODES
    }
    assert shown["alerts"] == 1
