"""Labels over the API: an admin replaces them as a whole, and groups follow at once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import NODES

pytestmark = pytest.mark.anyio
NODE = NODES[0]
LABELS = {"rack": "r1", "ha": "pair1"}


async def put(desk: Desk, labels: Any = LABELS, **headers: str) -> httpx.Response:
    body = {"labels": labels}
    return await desk.call("PUT", "nodes/oss01/labels", json=body, headers=headers)


async def test_a_node_has_the_labels_that_it_was_given_and_no_others(desk: Desk) -> None:
    first = await put(desk, {"row": "1"})
    second = await put(desk)
    shown = await desk.call("GET", "nodes/oss01/labels", "viewer")

    assert (first.status_code, first.json()["labels"]) == (200, {"row": "1"})
    assert second.json() == shown.json() == {"fqdn": NODE, "labels": LABELS}
    assert second.headers["etag"] == shown.headers["etag"] != first.headers["etag"]
    assert desk.engine.log[-1].body == {"by": "user:admin", "labels": LABELS}


async def test_groups_are_of_the_labels_at_once(desk: Desk) -> None:
    await put(desk)
    listed = (await desk.call("GET", "nodes?nodes=@rack=r1")).json()["items"]
    await put(desk, {})
    after = await desk.call("GET", "nodes?nodes=@rack=r1")

    assert [node["fqdn"] for node in listed] == [NODE]
    assert listed[0]["labels"] == LABELS
    assert after.status_code == 422


async def test_who_changes_what_somebody_else_has_changed_is_told(desk: Desk) -> None:
    mine = (await desk.call("GET", "nodes/oss01/labels")).headers["etag"]

    other = await put(desk, {"row": "1"}, **{"If-Match": mine})
    late = await put(desk, LABELS, **{"If-Match": mine})

    assert (other.status_code, late.status_code) == (200, 412)
    assert (await desk.call("GET", "nodes/oss01/labels")).json()["labels"] == {"row": "1"}


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"a b": "c"}, id="name"),
        pytest.param({"a-": "c"}, id="name-that-ends-badly"),
        pytest.param({"a": "c\n"}, id="value"),
        pytest.param({"a": ""}, id="empty"),
        pytest.param({"a": 1}, id="number"),
        pytest.param({"x" * 65: "1"}, id="long-name"),
        pytest.param({"x": "1" * 129}, id="long-value"),
        pytest.param({f"n{number}": "1" for number in range(65)}, id="many"),
        pytest.param(None, id="none"),
        pytest.param(["a=b"], id="list"),
    ],
)
async def test_what_no_label_can_be_is_refused(desk: Desk, labels: Any) -> None:
    answer = await put(desk, labels)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("body.labels")
    assert desk.engine.log == []


async def test_an_operator_and_a_mistyped_node_change_nothing(desk: Desk) -> None:
    body = {"labels": LABELS}

    forbidden = await desk.call("PUT", "nodes/oss01/labels", "operator", json=body)
    missing = await desk.call("PUT", "nodes/oss001/labels", json=body)

    assert (forbidden.status_code, missing.status_code) == (403, 404)
    assert missing.json()["suggestions"]
    assert desk.engine.log == []
