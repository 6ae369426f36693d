"""Filters over facts: what matches, what is refused, and why a node is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.fact_filters import FilterError, explain, parse_filter, unknown_names
from emf_manager.facts import Fact

FACTS: dict[str, Fact] = {
    "os.name": "rhel",
    "os.version": "8.10",
    "memory.total": 274877906944,
    "load.one": 0.5,
    "ha.standby": False,
    "lustre.target": ("fs1-OST0000", "fs1-OST0001"),
}


@pytest.mark.parametrize(
    "text",
    [
        "os.name=rhel",
        "os.name != debian",
        "os.version=8.10",
        "os.version>8.9",
        "os.version>=8.10",
        "os.version<9",
        "memory.total=256GiB",
        "memory.total>=256GiB",
        "memory.total>255G",
        "memory.total<1TiB",
        "load.one<1",
        "ha.standby=false",
        "ha.standby=no",
        "ha.standby!=true",
        "lustre.target~OST",
        "lustre.target~OST000?",
        "lustre.target~^fs1-*1$",
        "lustre.target=fs1-OST0001",
        "lustre.target!=fs2-OST0000",
        "lustre.target!~MDT",
    ],
)
def test_a_filter_that_holds_leaves_a_node_in(text: str) -> None:
    assert explain(FACTS, [parse_filter(text)]) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("os.name=debian", "os.name is rhel, not = debian"),
        ("os.name=RHEL", "os.name is rhel, not = RHEL"),
        ("os.version>8.10", "os.version is 8.10, not > 8.10"),
        ("memory.total<256GiB", "memory.total is 274877906944, not < 256GiB"),
        ("lustre.target!~OST", "lustre.target is fs1-OST0000, fs1-OST0001, not !~ OST"),
        ("lustre.target!=fs1-OST0001", "lustre.target is fs1-OST0000, fs1-OST0001, not"),
        ("lustre.target~^OST", "lustre.target is fs1-OST0000, fs1-OST0001, not ~ ^OST"),
        ("ha.member=oss1", "has no fact ha.member"),
        ("ha.member!=oss1", "has no fact ha.member"),
    ],
)
def test_a_filter_that_does_not_hold_says_why(text: str, why: str) -> None:
    assert (explain(FACTS, [parse_filter(text)]) or "").startswith(why)


def test_several_filters_must_all_hold() -> None:
    both = [parse_filter("os.name=rhel"), parse_filter("load.one>1")]

    assert explain(FACTS, both) == "load.one is 0.5, not > 1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "os.name",
        "=rhel",
        "os name=rhel",
        "os.name=",
        "os.name~",
        "a~^$",
        "a=" + "x" * 300,
        "a~" + "*a" * 20,
        "\x00=1",
        "a;b=c",
    ],
)
def test_what_is_no_filter_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(FilterError, match="fact filter"):
        parse_filter(text)


def test_a_name_that_no_node_has_brings_those_near_it() -> None:
    filters = [parse_filter("os.nmae=rhel"), parse_filter("os.version=8")]

    assert unknown_names(filters, FACTS) == {"os.nmae": ["os.name"]}


@given(
    st.text(max_size=300),
    st.text(max_size=40)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.lists(st.text(), max_size=3).map(tuple),
)
def test_any_text_is_a_filter_or_is_refused(text: str, fact: object) -> None:
    try:
        one = parse_filter(text)
    except FilterError:
        return
    assert explain({one.name: fact}, [one]) is None or one.matches(fact) is False  # type: ignore[dict-item, arg-type]


def test_no_pattern_keeps_the_manager_busy() -> None:
    worst = parse_filter("a~" + "*a" * 15 + "b")

    assert worst.matches("a" * 1024) is False
