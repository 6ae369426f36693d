"""Groups: where they come from, how node sets use them, and what is refused."""

from __future__ import annotations

import pytest

from emf_manager.groups import Member, Roster
from emf_manager.nodesets import NodeSetError

ROSTER = Roster(
    [
        Member("oss01.example.com", "connected", "oss", {"rack": "r1", "ha": "pair 1"}),
        Member("oss02.example.com", "silent", "oss", {"rack": "r2"}),
        Member("oss03.example.com", "connected", "oss"),
        Member("mds01.example.com", "never", "mds", {"rack": "r1"}),
        Member("odd01.example.com", "connected", "all"),
    ],
    {
        "pair": "oss[01-02]",
        "first": "@pair!oss02",
        "both": "@first,@mds",
        "gone": "oss99",
        "a": "@b",
        "b": "mds01,@a",
        **{f"deep{number}": f"@deep{number + 1}" for number in range(30)},
        "deep30": "oss01",
        **{f"wide{number}": f"@wide{number + 1},@wide{number + 1}" for number in range(12)},
        "wide12": "oss*",
        "nine": "oss[1-90]*",
        "nine2": "oss[91-180]*",
    },
)


def short(names: tuple[str, ...]) -> str:
    return " ".join(name.partition(".")[0] for name in names)


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("oss01", "oss01"),
        ("oss01.example.com", "oss01"),
        ("oss[01-02],mds01", "mds01 oss01 oss02"),
        ("@oss", "oss01 oss02 oss03"),
        ("@mds,oss01", "mds01 oss01"),
        ("@oss!oss01", "oss02 oss03"),
        ("oss[02-03]*", "oss02 oss03"),
        ("?ss03*", "oss03"),
        ("oss*!oss01.example.com", "oss02 oss03"),
        ("*!@oss", "mds01 odd01"),
        ("@oss&@rack=r1", "oss01"),
        ("@oss^@rack=r1", "oss02 oss03 mds01"),
        ("@oss!oss01,mds01", "oss02 oss03 mds01"),
        ("@connected", "oss01 oss03 odd01"),
        ("@silent,@never", "oss02 mds01"),
        ("@pair", "oss01 oss02"),
        ("@both", "oss01 mds01"),
        ("@gone", "oss99"),
        ("@wide0", "oss01 oss02 oss03"),
        ("*", "oss01 oss02 oss03 mds01 odd01"),
        ("@all", "oss01 oss02 oss03 mds01 odd01"),
        ("mds*,oss01!*", ""),
    ],
)
def test_a_node_set_means_full_names(text: str, nodes: str) -> None:
    assert short(ROSTER.read(text)) == nodes


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("@osss", "there is no group @osss"),
        ("@a", "the groups name each other: @a → @b → @a"),
        ("@deep0", "more than 16 deep"),
        ("oss01@oss", "a group is @NAME"),
        ("@o*", "a group is @NAME"),
        ("oss[01-9999999]", "more than 20000 names"),
        ("oss[01", "oss"),
        ("a b", "not a node name"),
        ("oss[1-101]*", "more than 100 names with a wildcard"),
        (",".join("oss*" for _ in range(200)), "more than 100 groups"),
        (",".join(f"{a}ss[1-50]*" for a in "onp"), "more than 100 names with a wildcard"),
        ("@nine,@nine2", "more than 100 names with a wildcard"),
        ("!".join(f"{a}ss[1-19999]" for a in "onp"), "more than 40000 names"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, why: str) -> None:
    with pytest.raises(NodeSetError, match=why.replace("[", r"\[")):
        ROSTER.read(text)


def test_each_reading_has_its_own_bounds() -> None:
    for _ in range(3):
        assert len(ROSTER.read("oss[01-60]*")) == 3
        assert len(ROSTER.read("node[1-19999]")) == 19999


def test_every_group_is_told_but_those_whose_name_nobody_could_type() -> None:
    names = ROSTER.names()

    assert {"oss", "mds", "connected", "silent", "never", "rack=r1", "pair"} <= set(names)
    assert not {name for name in names if name.startswith("ha=") or name == "all"}


def test_twenty_thousand_names_are_a_group_like_any_other() -> None:
    many = Roster(
        [Member(f"node{number}.example.com", "connected", "oss") for number in range(5000)], {}
    )

    assert len(many.read("@oss!node1,node[10-19]")) == 4999
