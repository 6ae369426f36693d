"""Secrets among an action's arguments: what its schema marks as one is replaced (R20). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

__all__ = ["HIDDEN", "hide"]

HIDDEN = "***"


def hide(args: JsonValue, schema: Mapping[str, Any]) -> JsonValue:
    """Return arguments, by name or by place, without those that a schema marks."""
    definitions = Definitions(schema.get("$defs") or {})
    secret = [
        name
        for name, member in (schema.get("properties") or {}).items()
        if marks_secret(member, definitions, depth=8)
    ]
    if not secret:
        return args
    if isinstance(args, dict):
        return {name: HIDDEN if name in secret else value for name, value in args.items()}
    places = schema.get("x-positional") or []
    hidden = {place for place, name in enumerate(places) if name in secret}
    if isinstance(args, list):
        return [HIDDEN if place in hidden else value for place, value in enumerate(args)]
    return HIDDEN if 0 in hidden and args is not None else args


class Definitions:
    """What a schema refers to; each is looked at once, however often a node's schema names it."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self._known: dict[str, bool] = {}

    def mark_secret(self, name: str, *, depth: int) -> bool:
        """Tell whether a secret may stand in one; one that holds itself may have it anywhere."""
        if name not in self._schemas:
            return False
        if name not in self._known:
            self._known[name] = True
            self._known[name] = marks_secret(self._schemas[name], self, depth=depth)
        return self._known[name]


def marks_secret(schema: Any, definitions: Definitions, *, depth: int) -> bool:
    """Tell whether a secret may stand anywhere in a value of this schema."""
    if depth == 0:
        return True
    if isinstance(schema, list):
        return any(marks_secret(each, definitions, depth=depth) for each in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("writeOnly") is True or schema.get("format") == "password":
        return True
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if definitions.mark_secret(name, depth=depth - 1):
        return True
    return any(
        marks_secret(each, definitions, depth=depth - 1)
        for key, each in schema.items()
        if key not in {"$ref", "$defs", "default", "examples", "enum", "const"}
    )
