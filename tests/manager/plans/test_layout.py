"""Where the boxes of a plan's graph stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.plans.layout import Box, Drawing, Spacing, draw


def boxes(**needs: str) -> list[Box]:
    return [Box(name, 120, 40, tuple(text.split())) for name, text in needs.items()]


@st.composite
def graphs(drawn: st.DrawFn) -> list[Box]:
    count = drawn(st.integers(0, 12))
    found = []
    for number in range(count):
        earlier = [f"job{n}" for n in range(number)]
        needs = drawn(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        size = drawn(st.tuples(st.integers(1, 300), st.integers(1, 200)))
        found.append(Box(f"job{number}", *size, tuple(needs)))
    return drawn(st.permutations(found))


@given(graphs())
def test_no_boxes_overlap_and_all_are_inside_the_drawing(graph: list[Box]) -> None:
    drawing = draw(graph)

    assert sorted(box.id for box in drawing.boxes) == sorted(box.id for box in graph)
    for box in drawing.boxes:
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.height + 1e-6
        for other in drawing.boxes:
            apart = (
                box.x + box.width <= other.x
                or other.x + other.width <= box.x
                or box.y + box.height <= other.y
                or other.y + other.height <= box.y
            )
            assert box is other or apart


@given(graphs())
def test_every_need_is_an_edge_that_only_goes_forward(graph: list[Box]) -> None:
    drawing = draw(graph)
    placed = {box.id: box for box in drawing.boxes}

    assert {(e.source, e.target) for e in drawing.edges} == {
        (need, box.id) for box in graph for need in box.needs
    }
    for edge in drawing.edges:
        source, target = placed[edge.source], placed[edge.target]
        assert source.layer < target.layer
        assert edge.points[0] == (source.x + source.width, source.y + source.height / 2)
        assert edge.points[-1] == (target.x, target.y + target.height / 2)
        assert [x for x, _ in edge.points] == sorted(x for x, _ in edge.points)


@given(graphs())
def test_no_edge_crosses_a_box_of_a_layer_it_passes(graph: list[Box]) -> None:
    drawing = draw(graph)

    for edge in drawing.edges:
        for box in drawing.boxes:
            for x, y in edge.points[1:-1]:
                inside = box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height
                assert not inside


def test_a_chain_goes_from_left_to_right_and_branches_share_a_layer() -> None:
    drawing = draw(boxes(check="", stop="check", oss="stop", mds="stop", start="oss mds"))

    assert layers(drawing) == [["check"], ["stop"], ["oss", "mds"], ["start"]]


def test_parallel_chains_do_not_cross() -> None:
    drawing = draw(boxes(a="", b="", b2="b", a2="a", a3="a2", b3="b2"))

    assert layers(drawing) == [["a", "b"], ["a2", "b2"], ["a3", "b3"]]


def test_the_spacing_is_the_callers() -> None:
    drawing = draw(boxes(a="", b="a"), Spacing(between_layers=10, margin=5))

    assert [(box.x, box.y) for box in drawing.boxes] == [(5, 5), (135, 5)]
    assert (drawing.width, drawing.height) == (260, 50)


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        pytest.param(boxes(a="b", b="a"), "circle", id="circle"),
        pytest.param(boxes(a="a"), "circle", id="itself"),
        pytest.param(boxes(a="zz"), "zz", id="unknown"),
    ],
)
def test_what_is_no_graph_of_needs_is_refused(graph: list[Box], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        draw(graph)


def test_nothing_is_an_empty_drawing() -> None:
    assert draw([]).boxes == ()


def test_the_largest_graph_a_plan_may_have_is_drawn() -> None:
    graph = [Box(f"j{n}", 100, 30, tuple(f"j{k}" for k in range(n))) for n in range(100)]

    assert len(draw(graph).boxes) == 100


def layers(drawing: Drawing) -> list[list[str]]:
    found: list[list[str]] = []
    for box in drawing.boxes:
        if box.layer == len(found):
            found.append([])
        found[box.layer].append(box.id)
    return found
