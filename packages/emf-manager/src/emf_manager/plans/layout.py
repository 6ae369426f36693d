"""Where the boxes of a graph stand: layers from left to right, an order in each, coordinates.

Pure, in units of the caller's. A box stands one layer behind the last of those it needs. Edges
that pass a layer have a lane of their own there, shared by all that come from one box, so that
no edge crosses a box. A few sweeps put neighbours at the same height.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Box", "Drawing", "Edge", "PlacedBox", "Spacing", "draw"]

SWEEPS = 6
LANE_HEIGHT = 4.0


@dataclass(frozen=True)
class Box:
    """What is to be placed; ``needs`` are ids of other boxes."""

    id: str
    width: float
    height: float
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spacing:
    """Room between boxes, and around the whole."""

    between_layers: float = 64.0
    between_boxes: float = 24.0
    margin: float = 16.0


@dataclass(frozen=True)
class PlacedBox:
    """A box with its upper left corner; ``layer`` and ``place`` count from 0."""

    id: str
    layer: int
    place: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Edge:
    """A line from the right side of the box needed to the left side of the one that needs it."""

    source: str
    target: str
    points: tuple[tuple[float, float], ...]
    """At least two; x only grows."""


@dataclass(frozen=True)
class Drawing:
    """The whole graph, boxes by layer and place."""

    width: float
    height: float
    boxes: tuple[PlacedBox, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Cell:
    """What takes room in a layer: a box, or the lane of a box's edges that go further."""

    box: str
    layer: int
    height: float
    lane: bool


def draw(boxes: Sequence[Box], spacing: Spacing | None = None) -> Drawing:
    """Place boxes; the same boxes always give the same drawing.

    Raises:
        ValueError: a box needs one that is not there, or boxes need each other in a circle.

    """
    room = spacing or Spacing()
    by_id = {box.id: box for box in boxes}
    layers = layers_of(by_id)
    columns = ordered(cells_of(boxes, layers), boxes, layers)
    lefts = left_sides(columns, by_id, room)
    height = max((stack_height(column, room) for column in columns), default=0.0)
    tops: dict[Cell, float] = {}
    for column in columns:
        y = room.margin + (height - stack_height(column, room)) / 2
        for cell in column:
            tops[cell] = y
            y += cell.height + room.between_boxes
    placed = [
        PlacedBox(
            cell.box,
            cell.layer,
            place,
            lefts[cell.layer],
            tops[cell],
            by_id[cell.box].width,
            cell.height,
        )
        for column in columns
        for place, cell in enumerate(each for each in column if not each.lane)
    ]
    right = max((box.x + box.width for box in placed), default=room.margin)
    return Drawing(
        width=right + room.margin,
        height=height + 2 * room.margin,
        boxes=tuple(placed),
        edges=tuple(edges_of(boxes, placed, tops, lefts)),
    )


def layers_of(boxes: Mapping[str, Box]) -> dict[str, int]:
    """Return the layer of each box: one more than the highest of those it needs."""
    left = {box.id: len(set(box.needs)) for box in boxes.values()}
    followers: dict[str, list[str]] = {name: [] for name in boxes}
    for box in boxes.values():
        for need in dict.fromkeys(box.needs):
            if need not in boxes:
                raise ValueError(f"{box.id} needs {need}, which is not there")
            followers[need].append(box.id)
    layers = {name: 0 for name, count in left.items() if count == 0}
    ready = list(layers)
    for name in ready:
        for follower in followers[name]:
            layers[follower] = max(layers.get(follower, 0), layers[name] + 1)
            left[follower] -= 1
            if left[follower] == 0:
                ready.append(follower)
    if len(ready) < len(boxes):
        raise ValueError("boxes need each other in a circle")
    return layers


def cells_of(boxes: Sequence[Box], layers: Mapping[str, int]) -> list[list[Cell]]:
    """Return the columns in the boxes' own order, with lanes for the edges that pass."""
    columns: list[list[Cell]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    furthest = dict(layers)
    for box in boxes:
        for need in box.needs:
            furthest[need] = max(furthest[need], layers[box.id])
    for box in boxes:
        layer = layers[box.id]
        columns[layer].append(Cell(box.id, layer, box.height, lane=False))
        for passed in range(layer + 1, furthest[box.id]):
            columns[passed].append(Cell(box.id, passed, LANE_HEIGHT, lane=True))
    return columns


def ordered(
    columns: list[list[Cell]], boxes: Sequence[Box], layers: Mapping[str, int]
) -> list[list[Cell]]:
    """Return the columns with cells near the middle of their neighbours."""
    before: dict[Cell, list[Cell]] = {cell: [] for column in columns for cell in column}
    after: dict[Cell, list[Cell]] = {cell: [] for column in columns for cell in column}
    at = {(cell.box, cell.layer): cell for column in columns for cell in column}
    links = {
        (at[need, layer], at[need, layer + 1])
        for box in boxes
        for need in box.needs
        for layer in range(layers[need], layers[box.id] - 1)
    }
    links |= {
        (at[need, layers[box.id] - 1], at[box.id, layers[box.id]])
        for box in boxes
        for need in box.needs
    }
    for left, right in sorted(links, key=lambda pair: (pair[0].box, pair[1].box, pair[0].layer)):
        before[right].append(left)
        after[left].append(right)
    columns = [list(column) for column in columns]
    places: dict[Cell, float] = {}
    for column in columns:
        places.update(places_in(column))
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        neighbours = before if forward else after
        for column in columns if forward else reversed(columns):
            column.sort(key=lambda cell: middle(cell, neighbours[cell], places))
            places.update(places_in(column))
    return columns


def places_in(column: Sequence[Cell]) -> dict[Cell, float]:
    """Return how far down its layer each cell is, from 0 to 1."""
    return {cell: place / max(len(column) - 1, 1) for place, cell in enumerate(column)}


def middle(cell: Cell, neighbours: Sequence[Cell], places: Mapping[Cell, float]) -> float:
    if not neighbours:
        return places[cell]
    return sum(places[each] for each in neighbours) / len(neighbours)


def left_sides(
    columns: Sequence[Sequence[Cell]], boxes: Mapping[str, Box], room: Spacing
) -> list[float]:
    """Return the x at which each layer begins."""
    lefts: list[float] = []
    x = room.margin
    for column in columns:
        lefts.append(x)
        widest = max(boxes[cell.box].width for cell in column if not cell.lane)
        x += widest + room.between_layers
    return lefts


def stack_height(column: Sequence[Cell], room: Spacing) -> float:
    return sum(cell.height for cell in column) + room.between_boxes * (len(column) - 1)


def edges_of(
    boxes: Sequence[Box],
    placed: Sequence[PlacedBox],
    tops: Mapping[Cell, float],
    lefts: Sequence[float],
) -> list[Edge]:
    """Return the edges, each through the lanes of the box it comes from."""
    by_id = {box.id: box for box in placed}
    widest = [max(box.width for box in placed if box.layer == layer) for layer in range(len(lefts))]
    edges = []
    for box in boxes:
        target = by_id[box.id]
        for need in dict.fromkeys(box.needs):
            source = by_id[need]
            points = [(source.x + source.width, source.y + source.height / 2)]
            for layer in range(source.layer + 1, target.layer):
                y = tops[Cell(need, layer, LANE_HEIGHT, lane=True)] + LANE_HEIGHT / 2
                points += [(lefts[layer], y), (lefts[layer] + widest[layer], y)]
            points.append((target.x, target.y + target.height / 2))
            edges.append(Edge(need, box.id, tuple(points)))
    return edges
