"""Which numbers of a daemon's value are series: read from its schema's marks. Pure.

Schema and value both come from a node and may be anything: neither is believed, both are bounded,
and nothing here raises. ``docs/plugin-author.md`` says how marks are written and series are named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import JsonValue

__all__ = ["LONGEST_NAME", "Mark", "Sample", "Shape", "read_samples", "read_shapes"]

LONGEST_NAME = 200
LONGEST_UNIT = 32
LARGEST = 1e30
"""Larger numbers are no measurement, and would not fit the history's columns."""
SHAPES = 2_000
"""Parts of one schema that are looked at; a few milliseconds."""
DEPTH = 32
STEPS = 100_000
"""Parts of one value that are looked at; about a tenth of a second."""

SeriesKind = Literal["gauge", "counter"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What the schema says of a number."""

    kind: SeriesKind
    unit: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What may be at one place of a value, as far as series are concerned."""

    mark: Mark | None = None
    name: str | None = None
    is_key: bool = False
    among: frozenset[str] | None = None
    """Texts it must be one of, where the schema lists them."""
    members: Mapping[str, tuple[Shape, ...]] = field(default_factory=dict)
    telling: tuple[str, ...] = ()
    """Members with listed texts, by which an object is of this shape or not."""
    values: tuple[Shape, ...] = ()
    """Of a mapping's values."""
    items: tuple[Shape, ...] = ()
    """Of a list's items."""

    @property
    def holds_series(self) -> bool:
        """Whether there is a series here or below."""
        below = (*self.values, *self.items, *(s for m in self.members.values() for s in m))
        return self.mark is not None or any(shape.holds_series for shape in below)

    @property
    def holds_key(self) -> bool:
        """Whether there is a key here or in members, not in further lists."""
        return self.is_key or any(s.holds_key for m in self.members.values() for s in m)


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of one value."""

    name: str
    mark: Mark
    value: float


def read_shapes(schema: JsonValue) -> tuple[Shape, ...]:
    """Return what a JSON Schema marks; nothing where it marks none, or is no schema."""
    return Reading(schema).shapes()


def read_samples(
    value: JsonValue, shapes: tuple[Shape, ...], *, most: int
) -> tuple[tuple[Sample, ...], bool]:
    """Return the numbers at marked places, each name once, at most so many; and whether all.

    A number that is none (nan, infinite, beyond 1e30), a name longer than 200 characters and an
    item without a name are passed over.
    """
    walk = Walk(most)
    top = Item()
    walk.visit(value, shapes, top, "")
    found: dict[str, Sample] = {}
    for name, mark, number in top.found:
        if name and len(name) <= LONGEST_NAME and name.isprintable():
            found.setdefault(name, Sample(name, mark, number))
    samples = tuple(found.values())
    return samples[:most], walk.complete and len(samples) <= most


class Reading:
    """One schema being read."""

    def __init__(self, schema: JsonValue) -> None:
        self._schema = schema
        defs = schema.get("$defs") if isinstance(schema, dict) else None
        self._defs = defs if isinstance(defs, dict) else {}
        self._left = SHAPES
        self._within: list[str] = []

    def shapes(self) -> tuple[Shape, ...]:
        found = self._read(self._schema, 0)
        return tuple(shape for shape in found if shape.holds_series)

    def _read(self, schema: object, depth: int) -> tuple[Shape, ...]:
        self._left -= 1
        if not isinstance(schema, dict) or self._left < 0 or depth > DEPTH:
            return ()
        name = name_of(schema)
        others = (*self._referred(schema, depth), *self._alternatives(schema, depth))
        members = self._members(schema, depth)
        own = Shape(
            mark=mark_of(schema),
            name=name,
            is_key=schema.get("x-emf-key") is True,
            among=among_of(schema),
            members=members,
            telling=tuple(n for n, m in members.items() if any(s.among is not None for s in m)),
            values=self._useful(self._mapped(schema), depth),
            items=self._useful([schema.get("items")], depth),
        )
        named = (shape if name is None else replace(shape, name=name) for shape in others)
        return (*((own,) if own != Shape(name=name) else ()), *named)

    def _referred(self, schema: dict[str, Any], depth: int) -> tuple[Shape, ...]:
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            return ()
        target = reference.removeprefix("#/$defs/")
        if target in self._within:
            return ()  # it holds itself: a tree is not followed further down
        self._within.append(target)
        try:
            return self._read(self._defs.get(target), depth + 1)
        finally:
            self._within.pop()

    def _alternatives(self, schema: dict[str, Any], depth: int) -> tuple[Shape, ...]:
        return tuple(
            shape
            for keyword in ("anyOf", "oneOf", "allOf")
            if isinstance(listed := schema.get(keyword), list)
            for one in listed
            for shape in self._read(one, depth + 1)
        )

    def _members(self, schema: dict[str, Any], depth: int) -> Mapping[str, tuple[Shape, ...]]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        read = {name: self._read(one, depth + 1) for name, one in properties.items()}
        kept = {name: shapes for name, shapes in read.items() if any(map(is_telling, shapes))}
        worth = any(s.holds_series or s.holds_key for shapes in kept.values() for s in shapes)
        return kept if worth else {}

    def _mapped(self, schema: dict[str, Any]) -> list[object]:
        patterns = schema.get("patternProperties")
        others = list(patterns.values()) if isinstance(patterns, dict) else []
        return [schema.get("additionalProperties"), *others]

    def _useful(self, schemas: Iterable[object], depth: int) -> tuple[Shape, ...]:
        found = (shape for one in schemas for shape in self._read(one, depth + 1))
        return tuple(shape for shape in found if shape.holds_series)


def is_telling(shape: Shape) -> bool:
    return shape.among is not None or shape.holds_series or shape.holds_key


def mark_of(schema: Mapping[str, Any]) -> Mark | None:
    told = schema.get("x-emf-series")
    if not isinstance(told, dict):
        return None
    kind, unit = told.get("kind"), told.get("unit")
    if kind not in ("gauge", "counter") or not isinstance(unit, str):
        return None
    return Mark(kind, unit) if len(unit) <= LONGEST_UNIT and unit.isprintable() else None


def name_of(schema: Mapping[str, Any]) -> str | None:
    name = schema.get("x-emf-name")
    return name if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME else None


def among_of(schema: Mapping[str, Any]) -> frozenset[str] | None:
    listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if not isinstance(listed, list):
        return None
    return frozenset(one for one in listed if isinstance(one, str))


class Item:
    """What was found in one item of a list, one value of a mapping, or the whole."""

    __slots__ = ("found", "keys")

    def __init__(self) -> None:
        self.found: list[tuple[str, Mark, float]] = []
        self.keys: list[str] = []


class Walk:
    """One value being looked through; ``path`` begins at the innermost named item."""

    def __init__(self, most: int) -> None:
        self._steps = STEPS
        self._most = most
        self._found = 0
        self.complete = True

    def visit(self, value: object, shapes: tuple[Shape, ...], item: Item, path: str) -> None:
        for shape in shapes:
            self._steps -= 1
            if self._steps < 0 or self._found > self._most:
                self.complete = False
                return
            self._visit(value, shape, item, path if shape.name is None else shape.name)

    def _visit(self, value: object, shape: Shape, item: Item, path: str) -> None:
        if isinstance(value, dict):
            if (shape.members or shape.values) and fits(value, shape):
                self._object(value, shape, item, path)
        elif isinstance(value, list):
            if shape.items:
                self._list(value, shape.items, item, path)
        elif isinstance(value, str):
            if shape.is_key:
                item.keys.append(value[: LONGEST_NAME + 1])
        elif shape.mark is not None:
            number = number_of(value)
            if number is not None:
                item.found.append((path, shape.mark, number))
                self._found += 1

    def _object(self, value: dict[str, Any], shape: Shape, item: Item, path: str) -> None:
        for name, below in pairs(value, shape.members, with_others=bool(shape.values)):
            known = shape.members.get(name)
            if known is not None:
                self.visit(below, known, item, f"{path}.{name}" if path else name)
            else:
                inner = Item()
                self.visit(below, shape.values, inner, "")
                put(item, path, name, inner)

    def _list(self, value: list[Any], shapes: tuple[Shape, ...], item: Item, path: str) -> None:
        for element in value:
            inner = Item()
            self.visit(element, shapes, inner, "")
            if inner.keys:
                put(item, path, "/".join(dict.fromkeys(inner.keys)), inner)
            if not self.complete:
                return


def pairs(
    value: dict[str, Any], members: Mapping[str, object], *, with_others: bool
) -> Iterator[tuple[str, Any]]:
    """Yield what is worth a look, over whichever of the two is shorter."""
    if with_others or len(value) < len(members):
        yield from value.items()
    else:
        yield from ((name, value[name]) for name in members if name in value)


def put(item: Item, path: str, key: str, inner: Item) -> None:
    """Hand what an inner item holds to the outer one, under the inner one's name."""
    for rest, mark, number in inner.found:
        dot = "." if rest and not rest.startswith("[") else ""
        item.found.append((f"{path}[{key}]{dot}{rest}", mark, number))


def fits(value: dict[str, Any], shape: Shape) -> bool:
    """Tell whether an object is of this alternative, by its members that have listed texts."""
    for name in shape.telling:
        text = value.get(name)
        if isinstance(text, str) and not any(
            one.among is None or text in one.among for one in shape.members[name]
        ):
            return False
    return True


def number_of(value: object) -> float | None:
    """Return a finite number; None for anything else, truth values among them."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return float(value) if abs(value) <= LARGEST else None
    return value if math.isfinite(value) and abs(value) <= LARGEST else None
