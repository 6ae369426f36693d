"""The OpenAPI document: every operation is told whole, and every example fits its schema."""

from __future__ import annotations

import functools
from typing import Any

import jsonschema
import pytest

from emf_manager.api.application import build_routes
from emf_manager.api.openapi import PROBLEMS, describe, operations
from emf_manager.api.problems import MEDIA_TYPE
from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import a_service

Json = dict[str, Any]


@functools.cache
def document() -> Json:
    return describe(build_routes(a_service()))


OPERATIONS = [pytest.param(o, id=f"{m.upper()} {p}") for m, p, o in operations(document())]


def fits(value: Any, schema: Json) -> None:
    """Check a value against a schema that refers to the document's."""
    jsonschema.Draft202012Validator({**schema, "components": document()["components"]}).validate(
        value
    )


def test_the_document_is_openapi_3_1() -> None:
    assert document()["openapi"].startswith("3.1.")
    assert document()["info"]["title"] == "EMF manager"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_says_what_it_does_and_who_may(operation: Json) -> None:
    assert len(operation["summary"]) > 10
    assert operation["description"].startswith(operation["summary"])
    assert "Needs " in operation["description"]
    assert operation["tags"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_parameter_is_described_and_its_example_fits(operation: Json) -> None:
    for parameter in operation["parameters"]:
        assert parameter["description"], parameter["name"]
        if parameter["required"]:
            fits(parameter["example"], parameter["schema"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_request_and_answer_has_an_example_that_fits(operation: Json) -> None:
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    for body in bodies:
        for content in body.get("content", {}).values():
            fits(content["example"], content["schema"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_refusal_is_a_problem(operation: Json) -> None:
    refusals = {status: a for status, a in operation["responses"].items() if int(status) >= 400}
    assert {"429", "500"} <= set(refusals)
    for status, answer in refusals.items():
        assert answer["description"] == PROBLEMS[int(status)]
        assert list(answer["content"]) == [MEDIA_TYPE]
        assert answer["content"][MEDIA_TYPE]["example"]["status"] == int(status)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_write_takes_a_key_and_each_read_a_tag(operation: Json) -> None:
    names = {parameter["name"] for parameter in operation["parameters"]}
    answers = operation["responses"]
    if "400" in answers:
        assert "Idempotency-Key" in names
        assert "409" in answers
    if "304" in answers:
        assert "If-None-Match" in names


@pytest.mark.anyio
async def test_the_document_is_served_the_same_each_time(desk: Desk) -> None:
    first, again = [await desk.call("GET", "openapi.json") for _ in range(2)]

    assert first.json() == again.json() == document()


# Freshness


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path",
    [
        *("nodes", "nodes/oss01", "sessions", "data", "actions", "jobs", "alerts", "users"),
        *("users/viewer", "tokens", "enrolment-tokens", "audit", "me", "events", "openapi.json"),
    ],
)
async def test_a_read_is_not_sent_again_while_it_holds(whole: Desk, path: str) -> None:
    first = await whole.call("GET", path)
    tag = first.headers["etag"]

    same = await whole.call("GET", path, headers={"If-None-Match": f'"other", {tag}'})
    other = await whole.call("GET", path, headers={"If-None-Match": '"other"'})

    assert (first.status_code, same.status_code, other.status_code) == (200, 304, 200)
    assert (same.content, same.headers["etag"]) == (b"", tag)
    assert other.json() == first.json()


@pytest.mark.anyio
async def test_a_refusal_has_no_tag(whole: Desk) -> None:
    answer = await whole.call("GET", "nodes/nobody", headers={"If-None-Match": "*"})

    assert answer.status_code == 404
    assert "etag" not in answer.headers


@pytest.mark.anyio
async def test_who_changes_what_somebody_else_has_changed_is_told(whole: Desk) -> None:
    await whole.call("POST", "users", json={"name": "maria", "role": "operator"})
    read = await whole.call("GET", "users/maria")
    change = {"mandates": [{"nodes": "oss*"}]}
    headers = {"If-Match": read.headers["etag"]}

    first = await whole.call("PUT", "users/maria/mandates", json=change, headers=headers)
    second = await whole.call("PUT", "users/maria/mandates", json=change, headers=headers)
    now = {"If-Match": first.headers["etag"]}
    third = await whole.call("PUT", "users/maria/mandates", json={"mandates": []}, headers=now)
    fourth = await whole.call("PUT", "users/maria/mandates", json=change)

    assert [a.status_code for a in (first, second, third, fourth)] == [200, 412, 200, 200]
    assert second.json()["type"] == "urn:emf-agent:problem:changed"
