"""Arguments against a node's schema: a schema that cannot be used refuses nothing."""

from __future__ import annotations

from typing import Any

import pytest

from emf_agent.wire import ActionDescription
from emf_manager.arguments import check_arguments
from emf_manager.views import ArgumentsError


def described(schema: dict[str, Any]) -> ActionDescription:
    return ActionDescription(
        name="a", plugin="p", summary="s", args_schema=schema, result_schema={}
    )


def one(text: dict[str, Any]) -> ActionDescription:
    return described({"type": "object", "properties": {"name": text}, "required": ["name"]})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": r"^[a-z]+\z"},
        {"type": "string", "pattern": "("},
        {"type": "no such type"},
        {"$ref": "https://elsewhere.example/schema"},
        {"properties": 3},
    ],
    ids=["foreign pattern", "broken pattern", "unknown type", "foreign reference", "no schema"],
)
def test_a_schema_that_cannot_be_used_leaves_the_judgement_to_the_node(
    schema: dict[str, Any],
) -> None:
    check_arguments(one(schema), "value")


def test_a_good_schema_names_field_expected_and_got() -> None:
    with pytest.raises(ArgumentsError, match="name"):
        check_arguments(one({"type": "string"}), 3)


REFERS_TWICE: dict[str, Any] = {
    **{f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(40)},
    "d40": {"type": "integer"},
}


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"$ref": "#/$defs/d0"}, id="references"),
        pytest.param({"pattern": "^([a-z]+)+$"}, id="repeated group"),
        pytest.param({"pattern": "a?" * 40 + "a" * 40}, id="options"),
        pytest.param({"pattern": "(a|a)" * 40 + "$"}, id="alternatives"),
        pytest.param({"pattern": "a*" * 20 + "$"}, id="repeats"),
        pytest.param({"pattern": "(?x)(a+) +$"}, id="flags"),
    ],
)
def test_a_schema_that_would_keep_the_manager_busy_leaves_the_judgement_to_the_node(
    schema: dict[str, Any],
) -> None:
    properties = {"unit": {"type": "string", **schema}, "other": {}}
    whole = {"type": "object", "properties": properties, "$defs": REFERS_TWICE}

    check_arguments(described(whole), {"unit": "a" * 40 + "!"})


def test_members_by_pattern_are_held_to_the_same() -> None:
    slow = {"additionalProperties": False, "patternProperties": {"^(a+)+$": {}}}

    check_arguments(one({"type": "object", **slow}), {"name": {"a" * 40 + "!": 1}})


def test_patterns_as_plugins_write_them_are_looked_at() -> None:
    unit = {"type": "string", "pattern": r"^[A-Za-z0-9:_.\\@-]+\.(service|socket|target|timer)$"}
    action = described({"type": "object", "properties": {"unit": unit, "other": {}}})

    check_arguments(action, {"unit": "lnet.service"})
    with pytest.raises(ArgumentsError):
        check_arguments(action, {"unit": "lnet service"})
