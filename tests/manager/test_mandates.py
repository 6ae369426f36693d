"""Mandates: the truth table of who may order what where, and that nothing else passes (R17)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.authorization import Mandate
from emf_manager.mandates import allows, named_arguments, nodes_of
from emf_manager.nodesets import NodeSetError

KNOWN = ("mds1.example", "oss1.example", "oss2.example")
SCHEMA = {"x-positional": ["unit", "force"]}
LNET = Mandate(actions=("start_*", "stop"), args={"unit": ("lnet*", "zed")})
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("action", "args", "allowed"),
    [
        ("start_unit", {"unit": "lnet.service"}, True),
        ("stop", {"unit": "zed"}, True),
        ("start_unit", {"unit": "lnet", "force": True}, True),
        ("start_unit", {"unit": ["lnet", "zed"]}, True),
        ("start_unit", {"unit": ["lnet", "sshd"]}, False),
        ("start_unit", {"unit": []}, False),
        ("start_unit", {"unit": "sshd"}, False),
        ("start_unit", {"unit": "x lnet"}, False),
        ("start_unit", {"unit": "LNET"}, False),
        ("start_unit", {"unit": None}, False),
        ("start_unit", {"force": True}, False),
        ("start_unit", {}, False),
        ("start_unit", None, False),
        ("stop_unit", {"unit": "lnet"}, False),
        ("restart_unit", {"unit": "lnet"}, False),
        ("", {"unit": "lnet"}, False),
    ],
)
def test_an_order_is_within_a_mandate_or_not(action: str, args: Any, allowed: bool) -> None:
    assert allows(LNET, action, args) is allowed


@given(args=JSON)
def test_without_a_bound_argument_any_arguments_pass(args: Any) -> None:
    assert allows(Mandate(actions=("go",)), "go", args if isinstance(args, dict) else None)


@given(value=JSON)
def test_a_value_is_allowed_only_where_a_pattern_says_so(value: Any) -> None:
    assert not allows(Mandate(args={"unit": ()}), "go", {"unit": value})
    assert allows(Mandate(args={"unit": ("*",)}), "go", {"unit": value}) is (not empty(value))


def empty(value: Any) -> bool:
    return isinstance(value, list) and (not value or any(map(empty, value)))


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"unit": "a"}, {"unit": "a"}),
        (["a", True], {"unit": "a", "force": True}),
        (["a"], {"unit": "a"}),
        ("a", {"unit": "a"}),
        (None, {}),
        ([], {}),
        (["a", True, 3], None),
    ],
    ids=["by name", "in order", "the first", "alone", "none", "no values", "too many"],
)
def test_arguments_have_names_whichever_way_they_are_given(args: Any, named: Any) -> None:
    assert named_arguments(args, SCHEMA) == named


def test_an_action_that_nobody_describes_has_arguments_without_names() -> None:
    assert named_arguments("lnet", None) is None
    assert named_arguments(["lnet"], {"x-positional": "unit"}) is None
    assert not allows(LNET, "stop", named_arguments("zed", None))


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ("*", set(KNOWN)),
        ("oss*", {"oss1.example", "oss2.example"}),
        ("oss[1-9].example", {"oss1.example", "oss2.example"}),
        ("MDS1.example", {"mds1.example"}),
        ("oss1", set()),
        ("*!oss2.example", {"mds1.example", "oss1.example"}),
    ],
)
def test_a_mandate_is_about_the_nodes_of_its_set(nodes: str, found: set[str]) -> None:
    assert nodes_of(Mandate(nodes), KNOWN) == found


@pytest.mark.parametrize("nodes", ["@oss", "oss[1-", "oss*,@*"])
def test_a_node_set_that_cannot_be_read_allows_nothing(nodes: str) -> None:
    with pytest.raises(NodeSetError, match="node set"):
        nodes_of(Mandate(nodes), KNOWN)
