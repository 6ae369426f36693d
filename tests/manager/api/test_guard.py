"""The guard: what is refused before anything is parsed, and what the audit trail keeps."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from emf_manager.api import strict_json
from emf_manager.api.guard import AuditNote, Guard
from emf_manager.authorization import Principal
from emf_manager.logins.rules import COOKIE, csrf_token
from tests.manager.api.conftest import Desk

START = b'{"nodes": "oss01", "action": "start_unit", "args": {"unit": "x"}}'
JSON = {"Content-Type": "application/json"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (b"{", JSON, 400, "line 1"),
        (b"", JSON, 422, "body"),
        (b"\xff\xfe", JSON, 400, "UTF-8"),
        (b'{"a": NaN}', JSON, 400, "NaN"),
        (b'{"a": 1, "a": 2}', JSON, 400, "same key"),
        (b"[" * 65 + b"]" * 65, JSON, 400, "deeper"),
        (b"[" * 500_000, JSON, 400, "deeper"),
        (b"1" * 10_000, JSON, 400, "digits"),
        (rb'{"a": "\ud800"}', JSON, 400, "half a character"),
        (rb'{"\uDE00\uD83D": 1}', JSON, 400, "half a character"),
        (START, {"Content-Type": "text/plain"}, 415, "application/json"),
        (START, {"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        (START, {}, 415, "application/json"),
        (b" " * (strict_json.MAX_BODY_BYTES + 1), JSON, 413, "1048576"),
    ],
)
async def test_a_body_that_is_not_strict_json_is_refused(
    desk: Desk, body: bytes, headers: dict[str, str], status: int, told: str
) -> None:
    answer = await desk.call("POST", "jobs", content=body, headers=headers)

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.json()["detail"]
    assert desk.engine.orders == []


@pytest.mark.anyio
async def test_a_stranger_gets_no_body_read() -> None:
    class Never:
        async def __call__(self) -> Message:
            raise AssertionError("the body was read")

    status = await through(None, Never())

    assert status == 401


@pytest.mark.anyio
async def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    taken = 0

    async def endless() -> Message:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b" " * 65536, "more_body": True}

    assert await through(Principal("maria", "admin", "t"), endless) == 413
    assert taken == strict_json.MAX_BODY_BYTES // 65536 + 1


@pytest.mark.anyio
async def test_a_caller_that_leaves_in_mid_body_starts_nothing() -> None:
    async def leaves() -> Message:
        return {"type": "http.disconnect"}

    assert await through(Principal("maria", "admin", "t"), leaves) == 400


async def through(principal: Principal | None, receive: Receive) -> int:
    """Return the status that a POST of a job gets, where no application must be reached."""
    statuses: list[int] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the application was reached")

    async def authenticate(token: str) -> Principal | None:
        return principal

    async def audit(note: AuditNote) -> None:
        raise AssertionError("nothing was written")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"authorization", b"Bearer x"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/jobs", "headers": headers}
    guard = Guard(application, authenticate=authenticate, audit=audit)
    with anyio.fail_after(20):
        await guard(scope, receive, send)
    return statuses[0]


@pytest.mark.anyio
async def test_each_write_is_audited_with_its_user_before_and_after(desk: Desk) -> None:
    await desk.call("POST", "ping", "operator", json={"nodes": "*"})

    assert [(n.user, n.method, n.path, n.phase, n.status) for n in desk.accounts.notes] == [
        ("operator", "POST", "/api/v1/ping", "begin", None),
        ("operator", "POST", "/api/v1/ping", "end", 200),
    ]
    assert desk.accounts.notes[0].peer == "192.0.2.7"


@pytest.mark.anyio
async def test_a_write_that_the_role_does_not_allow_is_audited(desk: Desk) -> None:
    await desk.call("POST", "users", "viewer", json={"name": "x", "role": "admin"})

    assert [(n.user, n.phase, n.status) for n in desk.accounts.notes] == [("viewer", "end", 403)]


@pytest.mark.anyio
async def test_a_write_that_fails_is_audited_as_failed(desk: Desk) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("boom")

    desk.engine.ping = broken  # type: ignore[method-assign,assignment]  # a fault is wanted

    await desk.call("POST", "ping", json={"nodes": "*"})

    assert [(n.phase, n.status) for n in desk.accounts.notes] == [("begin", None), ("end", 500)]


@pytest.mark.anyio
async def test_reads_are_not_audited(desk: Desk) -> None:
    await desk.call("GET", "nodes", "viewer")

    assert desk.accounts.notes == []


@pytest.mark.anyio
async def test_where_no_audit_can_be_kept_nothing_is_done(desk: Desk) -> None:
    desk.accounts.full = True

    answer = await desk.call("POST", "jobs", content=START, headers=JSON)

    assert answer.status_code == 503
    assert "space" not in answer.text
    assert desk.engine.orders == []


SECRET = "the-secret-of-a-login"
TOKEN = csrf_token(SECRET)
MEANT = {"X-EMF-CSRF": TOKEN, "Sec-Fetch-Site": "same-origin"}


async def with_cookie(desk: Desk, method: str, path: str, headers: dict[str, str]) -> int:
    """Return the status for somebody whose only credential is the cookie of a login."""

    async def visit(secret: str) -> Principal | None:
        return Principal("maria", "admin", "login:1") if secret == SECRET else None

    accounts = desk.accounts
    desk.transport.app = Guard(
        desk.routes, authenticate=accounts.authenticate, audit=accounts.audit, visit=visit
    )
    secret = headers.pop("secret", SECRET)
    told = {"Cookie": f"other=1; {COOKIE}={secret}", **headers}
    body = {"nodes": "*"} if method == "POST" else None
    return (await desk.http.request(method, path, headers=told, json=body)).status_code


@pytest.mark.anyio
async def test_a_login_reads_by_its_cookie(desk: Desk) -> None:
    assert await with_cookie(desk, "GET", "nodes", {}) == 200
    assert await with_cookie(desk, "GET", "nodes", {"secret": "wrong"}) == 401


@pytest.mark.anyio
async def test_a_bearer_token_goes_before_a_cookie(desk: Desk) -> None:
    assert await with_cookie(desk, "GET", "nodes", {"Authorization": "Bearer wrong"}) == 401
    assert await with_cookie(desk, "POST", "ping", {"Authorization": "Bearer admin-token"}) == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (MEANT, 200),
        ({"X-EMF-CSRF": TOKEN}, 200),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 403),
        ({**MEANT, "X-EMF-CSRF": csrf_token("of another login")}, 403),
        ({**MEANT, "X-EMF-CSRF": "no token at all"}, 403),
        ({**MEANT, "Sec-Fetch-Site": "same-site"}, 403),
        ({**MEANT, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**MEANT, "Origin": "https://evil.example"}, 403),
        ({**MEANT, "Origin": "https://manager.example.com"}, 200),
    ],
)
async def test_a_write_by_cookie_needs_the_token_of_a_page_and_comes_from_here(
    desk: Desk, headers: dict[str, str], status: int
) -> None:
    assert await with_cookie(desk, "POST", "ping", dict(headers)) == status
    assert [note.status for note in desk.accounts.notes if note.phase == "end"] == [status]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_every_json_value_is_taken(value: Any) -> None:
    strict_json.check(json.dumps(value).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused_with_a_reason(body: bytes) -> None:
    try:
        strict_json.check(body)
    except strict_json.NotStrictError as error:
        said = str(error)
    else:
        said = "taken"
        json.loads(body)
    assert said
