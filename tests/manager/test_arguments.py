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
