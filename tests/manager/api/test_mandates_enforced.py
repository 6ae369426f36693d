"""Mandates where they are enforced: jobs, cancels and pings over the API (R17)."""

from __future__ import annotations

from typing import Any

import pytest

from emf_manager.authorization import Mandate
from tests.manager.api.conftest import Desk

pytestmark = pytest.mark.anyio
LNET = {"unit": "lnet.service"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"nodes": "oss01", "action": "start_unit", "args": LNET}, 201),
        ({"nodes": "oss01,oss02", "action": "start_unit", "args": ["lnet.service"]}, 201),
        ({"nodes": "mds01", "action": "stop_unit", "args": {"unit": "anything"}}, 201),
        ({"nodes": "oss01", "action": "start_unit", "args": {"unit": "sshd.service"}}, 403),
        ({"nodes": "oss01,mds01", "action": "start_unit", "args": LNET}, 403),
        ({"nodes": "oss01", "action": "stop_unit", "args": LNET}, 403),
        ({"nodes": "*", "action": "start_unit", "args": LNET}, 403),
    ],
    ids=[
        "within",
        "in order, on two",
        "by the other mandate",
        "another value",
        "one node too many",
        "another action",
        "everywhere",
    ],
)
async def test_an_order_passes_where_a_mandate_allows_it(
    desk: Desk, order: dict[str, Any], status: int
) -> None:
    desk.accounts.mandates = (
        Mandate("oss*", ("start_unit",), {"unit": ("lnet*",)}),
        Mandate("mds*", ("stop_unit",)),
    )

    answer = await desk.call("POST", "/jobs", "operator", json=order)

    assert answer.status_code == status, answer.text
    assert len(desk.engine.orders) == (1 if status == 201 else 0)
    if status == 403:
        assert "no mandate of operator allows" in answer.json()["detail"]
        assert desk.accounts.notes[-1].status == 403


async def test_without_mandates_the_role_decides(desk: Desk) -> None:
    order = {"nodes": "*", "action": "start_unit", "args": LNET}

    assert (await desk.call("POST", "/jobs", "operator", json=order)).status_code == 201


async def test_a_job_beyond_the_mandates_is_not_cancelled(desk: Desk) -> None:
    order = {"nodes": "oss01,mds01", "action": "start_unit", "args": LNET}
    job = (await desk.call("POST", "/jobs", "admin", json=order)).json()["id"]
    desk.accounts.mandates = (Mandate("oss*"),)

    refused = await desk.call("POST", f"/jobs/{job}/cancel", "operator")

    assert refused.status_code == 403
    assert "mds01" in refused.json()["detail"]
    assert all(target.cancel is None for target in desk.engine.kept[job].targets)
    desk.accounts.mandates = (Mandate("oss*"), Mandate("mds*", ("start_*",)))
    assert (await desk.call("POST", f"/jobs/{job}/cancel", "operator")).status_code == 202


async def test_only_nodes_of_the_mandates_are_pinged(desk: Desk) -> None:
    desk.accounts.mandates = (Mandate("oss*", ("start_unit",)),)

    assert (await desk.call("POST", "/ping", "operator", json={"nodes": "oss*"})).is_success
    refused = await desk.call("POST", "/ping", "operator", json={"nodes": "*"})
    assert (refused.status_code, "mds01" in refused.text) == (403, True)


async def test_mandates_are_given_and_lifted_by_an_admin(desk: Desk) -> None:
    mandates = [{"nodes": "oss*", "actions": ["start_unit"], "args": {"unit": ["lnet*"]}}]
    asked = {"name": "maria", "role": "operator", "mandates": mandates}

    made = await desk.call("POST", "/users", json=asked)
    lifted = await desk.call("PUT", "/users/maria/mandates", json={"mandates": []})

    assert (made.status_code, made.json()["mandates"]) == (201, mandates)
    assert (lifted.status_code, lifted.json()["mandates"]) == (200, [])
    nobody = await desk.call("PUT", "/users/nobody/mandates", json={"mandates": []})
    assert nobody.status_code == 404


@pytest.mark.parametrize(
    ("mandates", "status"),
    [
        ([{"nodes": "@oss"}], 422),
        ([{"nodes": "oss[1-"}], 422),
        ([{"actions": []}], 422),
        ([{"args": {"unit": "lnet"}}], 422),
        ([{"hosts": "oss1"}], 422),
        ("all", 422),
    ],
    ids=["group", "no node set", "no action", "no list", "unknown member", "no list at all"],
)
async def test_mandates_that_cannot_be_read_bind_nobody(
    desk: Desk, mandates: Any, status: int
) -> None:
    asked = {"name": "maria", "role": "operator", "mandates": mandates}

    assert (await desk.call("POST", "/users", json=asked)).status_code == status
    assert "maria" not in desk.accounts.people


async def test_an_admin_is_not_bound(desk: Desk) -> None:
    asked = {"name": "maria", "role": "admin", "mandates": [{}]}

    refused = await desk.call("POST", "/users", json=asked)

    assert (refused.status_code, "could lift them" in refused.text) == (409, True)
