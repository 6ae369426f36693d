"""Whatever is sent, the API answers with a problem it means, never with a fault (R16)."""

from __future__ import annotations

import functools
import json
from typing import Any

import anyio
import httpx
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from emf_manager.api.application import build_routes
from emf_manager.api.guard import Guard
from emf_manager.authorization import ROUTES
from tests.manager.api.fakes import FakeAccounts, a_service
from tests.manager.api.in_memory import InMemory

WRITES = sorted(route.path for route in ROUTES if route.method == "POST")
LISTS = sorted(r.path for r in ROUTES if r.method == "GET" and "stream" not in r.path)
NAMES = ["nodes", "exclude", "action", "args", "timeout_s", "expires_s", "dry_run", "name", "role"]
NAMES += ["user", "label", "ttl_s", "uses", "replace", "document", "vars"]

values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["oss01", "*", "oss[01-", "@x", "start_unit", "admin", "viewer"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
bodies = st.dictionaries(st.sampled_from(NAMES), values, max_size=6) | values
queries = st.dictionaries(
    st.sampled_from(["nodes", "exclude", "cursor", "limit", "state", "daemon", "after", "kind"]),
    st.text(max_size=30) | st.integers().map(str) | st.sampled_from(["WyJhIl0", "W10", "WzFd"]),
    max_size=3,
)
segments = st.text(min_size=1, max_size=30).filter(lambda text: text not in {".", ".."})


@functools.cache
def routes() -> FastAPI:
    return build_routes(a_service())


def tried(method: str, path: str, **more: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        accounts = FakeAccounts()
        routes().state.service = a_service(accounts=accounts)
        app = Guard(routes(), authenticate=accounts.authenticate, audit=accounts.audit)
        headers = {"Authorization": "Bearer admin-token", "Content-Type": "application/json"}
        async with httpx.AsyncClient(
            transport=InMemory(app), base_url="http://m/api/v1", headers=headers
        ) as http:
            return await http.request(method, path, **more)

    return anyio.run(ask)


def meant(answer: httpx.Response) -> bool:
    if answer.status_code < 400:
        return True
    problem = answer.json()
    return (
        answer.status_code < 500
        and answer.headers["content-type"] == "application/problem+json"
        and problem["status"] == answer.status_code
        and bool(problem["detail"])
    )


@settings(max_examples=50, deadline=None)
@given(path=st.sampled_from(WRITES), body=bodies)
def test_any_json_is_taken_or_refused(path: str, body: Any) -> None:
    whole = path.format(job_id="job-1", fqdn="oss01", alert_id=1, plan_id="plan-1")
    answer = tried("POST", whole, content=json.dumps(body).encode())

    assert meant(answer), (path, body, answer.status_code, answer.text)


@settings(max_examples=50, deadline=None)
@given(path=st.sampled_from(LISTS), query=queries, segment=segments)
def test_any_query_and_name_is_taken_or_refused(
    path: str, query: dict[str, str], segment: str
) -> None:
    from urllib.parse import quote

    name = quote(segment, safe="")
    whole = path.format(fqdn=name, daemon=name, name=name, job_id=name, alert_id=name, plan_id=name)

    answer = tried("GET", whole, params=query)

    assert meant(answer), (whole, query, answer.status_code, answer.text)
