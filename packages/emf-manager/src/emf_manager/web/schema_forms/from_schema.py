"""From JSON Schema to a form: pure, bounded, and never at a loss.

Schemas come from nodes, so they are read with suspicion: what is too deep, too large, recursive or
unknown becomes a field for JSON text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from emf_manager.web.schema_forms.shapes import (
    Anything,
    Choice,
    Field,
    Flag,
    Members,
    Number,
    NumberOrText,
    OneOf,
    Pairs,
    Places,
    Rows,
    Shape,
    Text,
)

__all__ = ["form_of"]

DEEPEST = 8
MOST_FIELDS = 400
MOST_OPTIONS = 200
LONGEST = 600
"""Characters of a description or a hint that are shown."""
PLAIN = frozenset({"title", "description", "default", "examples", "deprecated", "$comment"})
"""Keywords that say nothing of what is valid."""


def form_of(schema: Mapping[str, Any], name: str = "args") -> Field:
    """Return the form for values of this schema."""
    definitions = schema.get("$defs")
    reader = Reader(definitions if isinstance(definitions, Mapping) else {})
    return reader.field(name, schema, depth=0, names=())


@dataclass
class Reader:
    """Reads one schema, and counts what it makes of it."""

    definitions: Mapping[str, Any]
    made: int = 0

    def field(
        self, name: str, schema: Any, *, depth: int, names: tuple[str, ...], optional: bool = False
    ) -> Field:
        """Return the field for one schema; ``names`` are the references it was reached through.

        What is null where it is left out is left out: nobody is asked which of the two.
        """
        self.made += 1
        known: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
        resolved, names = self.resolved(known, names)
        shape, nullable = self.shape(resolved, depth, names)
        described = {**resolved, **{key: known[key] for key in PLAIN & known.keys()}}
        return Field(
            name=name,
            shape=shape,
            label=words(described.get("title")) or name,
            help=words(described.get("description")),
            hint=hint(resolved, shape),
            optional=optional,
            nullable=nullable and not (optional and described.get("default", 0) is None),
            default=as_json(described["default"])[:LONGEST] if "default" in described else None,
        )

    def resolved(
        self, schema: Mapping[str, Any], names: tuple[str, ...]
    ) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Follow references; a circle, or one into nowhere, leads to the schema of anything."""
        while "$ref" in schema:
            name = str(schema["$ref"]).removeprefix("#/$defs/")
            target = self.definitions.get(name)
            if name in names or not isinstance(target, Mapping):
                return {}, names
            names = (*names, name)
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**target, **beside}
        return schema, names

    def shape(
        self, schema: Mapping[str, Any], depth: int, names: tuple[str, ...]
    ) -> tuple[Shape, bool]:
        """Return the shape, and whether null is fine as well."""
        if depth > DEEPEST or self.made > MOST_FIELDS:
            return Anything(), False
        options = options_of(schema)
        if options is not None:
            given = tuple(option for option in options if option != "null")
            return (Choice(given) if given else Anything()), "null" in options and bool(given)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.union(schema, key, depth, names)
        if isinstance(schema.get("allOf"), Sequence):
            return self.all_of(schema, depth, names)
        kind = schema.get("type")
        if isinstance(kind, list):
            return self.union(
                {"anyOf": [{**schema, "type": one} for one in kind]}, "anyOf", depth, names
            )
        return self.plain(kind, schema, depth, names), False

    def plain(
        self, kind: Any, schema: Mapping[str, Any], depth: int, names: tuple[str, ...]
    ) -> Shape:
        match kind:
            case "string":
                return Text(
                    may_be_empty=empty_fits(schema),
                    secret=schema.get("writeOnly") is True or schema.get("format") == "password",
                    example=example_of(schema),
                )
            case "integer" | "number":
                return Number(
                    whole=kind == "integer",
                    minimum=number(schema.get("minimum")),
                    maximum=number(schema.get("maximum")),
                )
            case "boolean":
                return Flag()
            case "array":
                return self.array(schema, depth, names)
            case "object":
                return self.object(schema, depth, names)
        return Anything()

    def array(self, schema: Mapping[str, Any], depth: int, names: tuple[str, ...]) -> Shape:
        places = schema.get("prefixItems")
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if isinstance(places, list):
            if least == most == len(places):
                return Places(
                    tuple(
                        self.field(str(index), place, depth=depth + 1, names=names)
                        for index, place in enumerate(places)
                    )
                )
            return Anything()
        if not isinstance(schema.get("items"), Mapping):
            return Anything()
        return Rows(
            self.field("", schema["items"], depth=depth + 1, names=names),
            least=least if isinstance(least, int) else 0,
            most=most if isinstance(most, int) else None,
        )

    def object(self, schema: Mapping[str, Any], depth: int, names: tuple[str, ...]) -> Shape:
        members = schema.get("properties")
        others = schema.get("additionalProperties")
        if isinstance(members, Mapping) and members:
            required = schema.get("required", ())
            return Members(
                tuple(
                    self.field(
                        name,
                        member,
                        depth=depth + 1,
                        names=names,
                        optional=not isinstance(required, Sequence) or name not in required,
                    )
                    for name, member in members.items()
                )
            )
        if others is False and "patternProperties" not in schema:
            return Members(())
        if isinstance(others, Mapping) and others:
            return Pairs(self.field("", others, depth=depth + 1, names=names))
        return Anything()

    def union(
        self, schema: Mapping[str, Any], key: str, depth: int, names: tuple[str, ...]
    ) -> tuple[Shape, bool]:
        listed = schema[key]
        if not isinstance(listed, list) or not 0 < len(listed) <= MOST_OPTIONS:
            return Anything(), False
        beside = {name for name in schema if name not in PLAIN and name not in {key, "$defs"}}
        if beside - {"discriminator"}:
            return Anything(), False
        fields = [
            self.field(str(index), one, depth=depth + 1, names=names)
            for index, one in enumerate(listed)
            if not (isinstance(one, Mapping) and one.get("type") == "null")
        ]
        nullable = len(fields) < len(listed) or any(one.nullable for one in fields)
        if not fields:
            return Anything(), False
        if all(isinstance(one.shape, Choice) for one in fields):
            options = [o for f in fields if isinstance(f.shape, Choice) for o in f.shape.options]
            return Choice(tuple(dict.fromkeys(options))), nullable
        if len(fields) == 1:
            return fields[0].shape, nullable
        if line := number_or_text([one.shape for one in fields]):
            return line, nullable
        alternatives = tuple(
            replace(one, nullable=False, label=alternative(one, listed[int(one.name)]))
            for one in fields
        )
        return OneOf(alternatives), nullable

    def all_of(
        self, schema: Mapping[str, Any], depth: int, names: tuple[str, ...]
    ) -> tuple[Shape, bool]:
        parts = schema["allOf"]
        beside = {name for name in schema if name not in PLAIN and name not in {"allOf", "$defs"}}
        if len(parts) != 1 or beside or not isinstance(parts[0], Mapping):
            return Anything(), False
        only, names = self.resolved(parts[0], names)
        return self.shape(only, depth + 1, names)


def number_or_text(shapes: Sequence[Shape]) -> Shape | None:
    """Return one line for a number and a text; None where these are others."""
    match sorted(shapes, key=lambda one: type(one).__name__):
        case [Number(whole), Text(secret=False)]:
            return NumberOrText(whole)
    return None


def options_of(schema: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the only values there are, as JSON text; None where they are not listed."""
    if "const" in schema:
        return (as_json(schema["const"]),)
    listed = schema.get("enum")
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_OPTIONS:
        return None
    return tuple(dict.fromkeys(as_json(one) for one in listed))


def as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def empty_fits(schema: Mapping[str, Any]) -> bool:
    """Tell whether the empty text is one that the schema allows."""
    shortest = schema.get("minLength", 0)
    if isinstance(shortest, int) and shortest > 0:
        return False
    pattern = schema.get("pattern")
    if not isinstance(pattern, str):
        return True
    try:
        return re.search(pattern, "") is not None
    except (re.error, RecursionError, OverflowError):
        return True


def example_of(schema: Mapping[str, Any]) -> str:
    listed = schema.get("examples")
    if isinstance(listed, list) and listed and isinstance(listed[0], str):
        return listed[0][:LONGEST]
    return ""


def number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def words(text: Any) -> str:
    return text.strip()[:LONGEST] if isinstance(text, str) else ""


def alternative(field: Field, schema: Any) -> str:
    """Return what to call one of several shapes."""
    if isinstance(field.shape, Choice):
        return " or ".join(text.strip('"') for text in field.shape.options[:5])
    if field.label != field.name:
        return field.label
    if isinstance(schema, Mapping) and "$ref" in schema:
        return words(schema["$ref"]).rpartition("/")[2]
    kinds = {
        Text: "a text",
        Number: "a number",
        Flag: "yes or no",
        Rows: "a list",
        Places: "a list",
        Anything: "JSON",
    }
    return kinds.get(type(field.shape), "an object")


def plain_shape(schema: Mapping[str, Any]) -> Shape:
    return Reader({}).plain(schema.get("type"), schema, 0, ())


def hint(schema: Mapping[str, Any], shape: Shape) -> str:
    """Return in words what a value has to be like."""
    match shape:
        case Number(whole, minimum, maximum):
            kind = "a whole number" if whole else "a number"
            if minimum is not None and maximum is not None:
                return f"{kind} from {minimum} to {maximum}"
            if minimum is not None:
                return f"{kind}, at least {minimum}"
            if maximum is not None:
                return f"{kind}, at most {maximum}"
            return kind
        case NumberOrText():
            listed = [one for key in ("anyOf", "oneOf") for one in schema.get(key, ())]
            known = [one for one in listed if isinstance(one, Mapping)]
            return " or ".join(filter(None, (hint(one, plain_shape(one)) for one in known)))
        case Text(secret=False):
            pattern = schema.get("pattern")
            return f"matches {pattern}"[:LONGEST] if isinstance(pattern, str) else ""
        case Rows(_, least, most):
            bounds = [f"at least {least}"] if least else []
            bounds += [f"at most {most}"] if most is not None else []
            return ", ".join(bounds)
        case Anything():
            return "JSON"
    return ""
