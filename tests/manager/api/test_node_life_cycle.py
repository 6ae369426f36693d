"""Nodes are approved, revoked and removed over the API, by an admin and by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import NODES

pytestmark = pytest.mark.anyio
NAME = NODES[0]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_waiting_node_is_shown_and_approved(desk: Desk) -> None:
    desk.engine.views[NAME] = replace(desk.engine.views[NAME], waiting=True)
    assert (await desk.call("GET", f"/nodes/{NAME}")).json()["waiting"] is True

    approved = await desk.call("POST", "/nodes/oss01/approve")
    again = await desk.call("POST", "/nodes/oss01/approve")

    assert (approved.status_code, again.status_code) == (204, 404)
    assert desk.engine.views[NAME].waiting is False
    assert desk.engine.log[-1].body == {"by": "user:admin"}


async def test_a_node_is_revoked_with_the_reason(desk: Desk) -> None:
    revoked = await desk.call("POST", "/nodes/oss01/revoke", json={"reason": "stolen"})

    assert (revoked.status_code, revoked.json()) == (200, {"fqdn": NAME, "certificates": 1})
    assert desk.engine.log[-1].body == {"by": "user:admin", "reason": "stolen"}
    assert (await desk.call("POST", "/nodes/oss01/revoke")).status_code == 200


async def test_a_node_is_removed_with_the_reason(desk: Desk) -> None:
    removed = await desk.call("DELETE", "/nodes/oss01", params={"reason": "scrapped"})

    assert removed.status_code == 204
    assert NAME not in desk.engine.views
    assert desk.engine.log[-1].body == {"by": "user:admin", "reason": "scrapped"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/nodes/{}/approve"), ("POST", "/nodes/{}/revoke"), ("DELETE", "/nodes/{}")],
    ids=["approve", "revoke", "remove"],
)
async def test_a_mistyped_node_is_told_and_nothing_happens(
    desk: Desk, method: str, path: str
) -> None:
    missing = await desk.call(method, path.format("oss001"))
    forbidden = await desk.call(method, path.format("oss01"), "operator")

    assert missing.status_code == 404
    assert missing.json()["suggestions"]
    assert forbidden.status_code == 403
    assert desk.engine.log == []


async def test_a_reason_without_end_is_refused(desk: Desk) -> None:
    long = "x" * 256

    assert (
        await desk.call("POST", "/nodes/oss01/revoke", json={"reason": long})
    ).status_code == 422
    assert (await desk.call("DELETE", "/nodes/oss01", params={"reason": long})).status_code == 422
    assert NAME in desk.engine.views
