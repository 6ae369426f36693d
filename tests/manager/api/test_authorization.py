"""Who may call what (R15): the table is the router, and every route keeps to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest

from emf_manager.api.application import build_routes
from emf_manager.api.guard import Guard
from emf_manager.api.openapi import describe
from emf_manager.authorization import (
    API_PREFIX,
    ROLES,
    ROUTES,
    Principal,
    Route,
    methods_at,
    permits,
)
from emf_manager.logins.rules import COOKIE, csrf_token
from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import a_service

PLAN = "version: 1\njobs: {a: {nodes: oss01, steps: [{action: start_unit, args: lnet}]}}"
BODIES: dict[str, Any] = {
    "/jobs": {"nodes": "oss01", "action": "start_unit", "args": {"unit": "lnet.service"}},
    "/ping": {"nodes": "*"},
    "/targets": {"nodes": "*"},
    "/groups/{name}": {"nodes": "oss01"},
    "/nodes/{fqdn}/labels": {"labels": {"rack": "r1"}},
    "/users": {"name": "maria", "role": "viewer"},
    "/tokens": {"user": "viewer"},
    "/enrolment-tokens": {"nodes": "oss04.example.com"},
    "/users/{name}/mandates": {"mandates": []},
    "/plans": {"document": PLAN},
    "/plans/check": {"document": PLAN},
}
MAY = {
    "public": {"viewer", "operator", "admin"},
    "read": {"viewer", "operator", "admin"},
    "operate": {"operator", "admin"},
    "administer": {"admin"},
}


def served(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Walk whatever the framework nests: every method and path it would answer."""
    for route in routes:
        inner = getattr(route, "routes", None)
        original = getattr(route, "original_router", None)
        if original is not None:
            yield from served(original.routes, prefix)
        elif getattr(route, "methods", None):
            for method in route.methods:
                yield method, route.path
        elif inner:
            yield from served(inner, prefix)
        else:
            raise AssertionError(f"a kind of route this test does not know: {route!r}")


def an_app() -> Any:
    return build_routes(a_service())


def test_the_router_serves_exactly_the_table() -> None:
    walked = {(method, path.removeprefix(API_PREFIX)) for method, path in served(an_app().routes)}

    assert walked == {(row.method, row.path) for row in ROUTES}


def test_the_document_shows_each_route_with_its_permission() -> None:
    shown = {
        (method.upper(), path.removeprefix(API_PREFIX)): operation["x-permission"]
        for path, methods in describe(an_app())["paths"].items()
        for method, operation in methods.items()
    }

    table = {(row.method, row.path): row.permission for row in ROUTES}
    assert shown == {key: value for key, value in table.items() if key[1] != "/openapi.json"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.anyio
async def test_each_route_answers_each_credential_as_the_table_says(
    desk: Desk, route: Route
) -> None:
    for credential in ("none", "wrong", "basic", *ROLES):
        status, headers = await ask(desk, route, credential)

        if route.permission == "public":
            assert status == 200, credential
        elif credential not in ROLES:
            assert status == 401, credential
            assert headers["www-authenticate"].startswith("Bearer")
        elif credential not in MAY[route.permission]:
            assert status == 403, credential
        else:
            assert status in {200, 201, 202, 204, 404}, "let in: done, or there is no such thing"


async def ask(
    desk: Desk, route: Route, credential: str, sent: dict[str, str] | None = None
) -> tuple[int, httpx.Headers]:
    path = route.path.format(
        fqdn="oss01.example.com",
        daemon="host",
        name="nobody",
        job_id="job-0009",
        token_id="t9",
        alert_id=9,
        plan_id="plan-0009",
    )
    headers = sent or {
        "none": {},
        "wrong": {"Authorization": "Bearer wrong-token"},
        "basic": {"Authorization": "Basic YWRtaW46YWRtaW4="},
    }.get(credential, {"Authorization": f"Bearer {credential}-token"})
    body = BODIES.get(route.path) if route.method in {"POST", "PUT"} else None
    async with desk.http.stream(route.method, path, headers=headers, json=body) as answer:
        return answer.status_code, answer.headers


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.anyio
async def test_each_route_answers_the_cookie_of_a_login_as_the_table_says(
    desk: Desk, route: Route
) -> None:
    """A login is as good as a token of its user, and for writes only with a page's own token."""

    async def visit(secret: str) -> Principal | None:
        return Principal(secret, secret, "login:1") if secret in ROLES else None

    desk.transport.app = Guard(
        desk.routes,
        authenticate=desk.accounts.authenticate,
        audit=desk.accounts.audit,
        visit=visit,
    )
    for role in ("nobody", *ROLES):
        cookie = {"Cookie": f"{COOKIE}={role}"}
        bare, _ = await ask(desk, route, role, cookie)
        meant, _ = await ask(desk, route, role, {**cookie, "X-EMF-CSRF": csrf_token(role)})

        if route.permission == "public":
            assert (bare, meant) == (200, 200)
        elif role == "nobody":
            assert (bare, meant) == (401, 401)
        else:
            allowed = role in MAY[route.permission]
            assert (meant in {200, 201, 202, 204, 404}) is allowed, (role, meant)
            assert bare == (meant if route.method == "GET" else 403)


@pytest.mark.anyio
async def test_a_node_certificate_is_no_credential(desk: Desk) -> None:
    forged = {"X-SSL-Client-On": "SUCCESS", "X-SSL-Client-Name": "oss01.example.com"}

    answer = await desk.http.get("nodes", headers=forged)

    assert answer.status_code == 401


@pytest.mark.anyio
async def test_an_unknown_path_says_nothing_to_strangers(desk: Desk) -> None:
    assert (await desk.http.get("secret-things")).status_code == 401
    assert (await desk.call("GET", "secret-things")).status_code == 404


@pytest.mark.anyio
async def test_an_unknown_method_names_the_known_ones(desk: Desk) -> None:
    answer = await desk.call("PUT", "jobs")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/api/v1/docs"])
async def test_no_page_of_the_framework_is_served(desk: Desk, path: str) -> None:
    answer = await desk.call("GET", f"http://manager.example.com{path}")

    assert answer.status_code == 404


def test_nobody_is_permitted_more_than_nothing() -> None:
    assert not permits(None, "read")
    assert permits(None, "public")
    assert not permits(Principal("maria", "root", "t"), "read")  # type: ignore[arg-type]  # no such role


@pytest.mark.parametrize(
    "path",
    ["/api/v1/nodes/", "/api/v1/nodes/a/b", "/api/v1//nodes", "/nodes", "/api/v1/jobs/x/cancel/y"],
)
def test_a_path_beside_the_table_matches_no_row(path: str) -> None:
    assert methods_at(path) == ()
