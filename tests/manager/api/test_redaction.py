"""Secrets among a job's arguments are not shown again, whatever form the arguments had."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from emf_agent.plugin import Secret
from emf_manager import views as v
from emf_manager.api.redaction import hide_secrets
from emf_manager.hidden_arguments import HIDDEN, hide
from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import NODES, described

CANARY = "hunter2"


class Account(BaseModel):
    name: str
    password: Secret | None = None


class Args(BaseModel):
    token: Secret
    unit: str = "x"
    account: Account | None = None


SCHEMA = {**Args.model_json_schema(), "x-positional": ["token", "unit", "account"]}


def entry(*schemas: dict[str, Any]) -> v.CatalogueEntry:
    forms = [described("login", args_schema=schema) for schema in schemas]
    return v.CatalogueEntry("login", tuple(v.Variant(form, NODES[:1]) for form in forms))


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        ({"token": CANARY, "unit": "a"}, {"token": "***", "unit": "a"}),
        ({"account": {"name": "m", "password": CANARY}}, {"account": "***"}),
        ([CANARY, "a"], ["***", "a"]),
        ([CANARY], ["***"]),
        (CANARY, "***"),
        (None, None),
        ({}, {}),
        ([], []),
    ],
)
def test_what_the_schema_marks_is_hidden(args: Any, shown: Any) -> None:
    assert hide_secrets(args, "login", [entry(SCHEMA)]) == shown


def test_it_is_enough_that_one_node_holds_it_to_be_a_secret() -> None:
    plain = {"type": "object", "properties": {"token": {"type": "string"}}}

    assert hide_secrets({"token": CANARY}, "login", [entry(plain, SCHEMA)]) == {"token": "***"}


def test_other_actions_are_shown_as_they_are() -> None:
    assert hide_secrets({"token": "a"}, "start", [entry(SCHEMA)]) == {"token": "a"}


def test_a_schema_without_end_hides_rather_than_hangs() -> None:
    loop = {"properties": {"a": {"$ref": "#/$defs/N"}}, "$defs": {"N": {"$ref": "#/$defs/N"}}}

    assert hide_secrets({"a": CANARY}, "login", [entry(loop)]) == {"a": "***"}


@pytest.mark.anyio
async def test_no_answer_about_a_job_has_the_secret(desk: Desk) -> None:
    desk.engine.entries = (entry(SCHEMA),)
    body = {"nodes": "oss01", "action": "login", "args": {"token": CANARY, "unit": "u"}}

    made = await desk.call("POST", "jobs", json=body)
    told = [
        made.text,
        (await desk.call("GET", "jobs")).text,
        (await desk.call("GET", f"jobs/{made.json()['id']}")).text,
        (await desk.call("POST", f"jobs/{made.json()['id']}/cancel")).text,
    ]

    assert desk.engine.orders[0].args == {"token": CANARY, "unit": "u"}
    assert all(CANARY not in text for text in told)
    assert made.json()["args"] == {"token": "***", "unit": "u"}


def test_a_definition_that_is_named_very_often_is_looked_at_once() -> None:
    many: dict[str, Any] = {
        f"d{at}": {"anyOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 30_000} for at in range(3)
    }
    named = {"properties": {"a": {"$ref": "#/$defs/d1"}}}

    assert hide({"a": 1}, {**named, "$defs": {**many, "d3": {}}}) == {"a": 1}
    secret = {"writeOnly": True}
    assert hide({"a": 1}, {**named, "$defs": {**many, "d3": secret}}) == {"a": HIDDEN}
