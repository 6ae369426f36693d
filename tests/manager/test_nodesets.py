"""Node sets: what people type, what a hostile text may not cost, and how names are folded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.nodesets import NodeSetError, fold_nodes, parse_nodes

GROUPS = {"oss": "oss[1-3]", "all_servers": "@oss,mds1"}
KNOWN = ("mds1", "oss1", "oss2", "oss3", "oss4")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("oss1", ("oss1",), id="one"),
        pytest.param("oss[01-03]", ("oss01", "oss02", "oss03"), id="padded range"),
        pytest.param("oss[1-4/2]", ("oss1", "oss3"), id="step"),
        pytest.param("@oss", ("oss1", "oss2", "oss3"), id="group"),
        pytest.param("@all_servers", ("mds1", "oss1", "oss2", "oss3"), id="group of groups"),
        pytest.param("@*", KNOWN, id="every known node"),
        pytest.param("oss*", KNOWN[1:], id="wildcard over the known"),
        pytest.param("oss[1-3]!oss2", ("oss1", "oss3"), id="without"),
        pytest.param("oss[1-3]&oss[2-9]", ("oss2", "oss3"), id="both"),
        pytest.param("oss1,oss1,oss1", ("oss1",), id="each once"),
        pytest.param("oss1.local", ("oss1.local",), id="domain name"),
        pytest.param("", (), id="empty"),
        pytest.param("x*", (), id="wildcard that meets nothing"),
    ],
)
def test_a_node_set_stands_for_these_names(text: str, names: tuple[str, ...]) -> None:
    assert parse_nodes(text, GROUPS, known=KNOWN) == names


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("oss[1-", "missing bracket", id="open bracket"),
        pytest.param("oss[3-1]", "bad range", id="range backwards"),
        pytest.param("a,,b", "missing nodeset operand", id="nothing between commas"),
        pytest.param("@nope", "no group @nope (groups: @all_servers, @oss)", id="unknown group"),
        pytest.param("@other:oss", "no group", id="unknown source"),
        pytest.param("a b", "not a node name", id="blank in a name"),
        pytest.param("-x", "not a node name", id="looks like a flag"),
        pytest.param("a/b", "not a node name", id="slash"),
        pytest.param("a\nb", "cannot be printed", id="newline"),
        pytest.param("n[1-100000000]", "more than 20000 names", id="millions"),
        pytest.param("n[1-1000]m[1-1000]", "more than 20000 names", id="millions by product"),
        pytest.param("n[1-9]" * 5, "more than 4 ranges", id="too many axes"),
        pytest.param("n[1-99999999999999999999]", "too long", id="absurd number"),
        pytest.param("n[1-9000],m[1-9000],o[1-9000]", "more than", id="sum"),
        pytest.param("n" * 300_000, "longer than", id="giant text"),
    ],
)
def test_a_text_that_is_no_node_set_is_refused_with_a_reason(text: str, complaint: str) -> None:
    with pytest.raises(NodeSetError) as refused:
        parse_nodes(text, GROUPS, known=KNOWN)

    assert complaint in str(refused.value)
    assert len(str(refused.value)) < 400


def test_groups_that_name_each_other_in_a_circle_are_refused() -> None:
    with pytest.raises(NodeSetError):
        parse_nodes("@a", {"a": "@b", "b": "@a"})


def test_a_group_may_not_smuggle_in_millions_either() -> None:
    with pytest.raises(NodeSetError, match="more than"):
        parse_nodes("@a", {"a": "n[1-100000000]"})


def test_equal_answers_fold_as_people_read_them() -> None:
    assert fold_nodes(f"oss{n:02}" for n in range(1, 16)) == "oss[01-15]"
    assert fold_nodes([]) == ""


def test_thousands_of_names_with_several_numbers_fold_in_slices() -> None:
    names = [f"oss{n}.rack{n % 40}.site{n % 3}" for n in range(2000)]

    folded = fold_nodes(names)

    assert set(parse_nodes(folded, {})) == set(names)


@given(st.lists(st.from_regex(r"[a-z]{1,3}[0-9]{0,4}", fullmatch=True), max_size=30))
def test_what_is_folded_reads_back_as_the_same_names(names: list[str]) -> None:
    assert set(parse_nodes(fold_nodes(names), {})) == set(names)


@given(st.text(alphabet="ab01[]-,!&^@*? /%\x00é", max_size=40))
def test_any_text_gives_names_or_a_clear_refusal(text: str) -> None:
    try:
        names = parse_nodes(text, GROUPS, known=KNOWN)
    except NodeSetError:
        return
    assert len(names) == len(set(names))
