"""What a form can ask for, as values: one shape for each kind of control.

``Anything`` is the shape of whatever has no control of its own: its control is JSON text. A value
that does not fit its shape is shown so too, whatever the shape.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

__all__ = [
    "Anything",
    "Choice",
    "Field",
    "Flag",
    "Members",
    "Number",
    "NumberOrText",
    "OneOf",
    "Pairs",
    "Places",
    "Rows",
    "Shape",
    "Text",
]


@dataclass(frozen=True)
class Text:
    """A line of text; of a secret nothing that was typed is ever shown again."""

    may_be_empty: bool = True
    secret: bool = False
    example: str = ""


@dataclass(frozen=True)
class Number:
    """A number, with the bounds a browser can hold."""

    whole: bool = False
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class NumberOrText:
    """A line that is a number where it looks like one, else a text: ``4`` or ``25%``."""

    whole: bool = False


@dataclass(frozen=True)
class Flag:
    """Yes or no."""


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    options: tuple[str, ...]
    """Each as JSON text, so that no two of them look alike."""

    def shown(self, option: str) -> str:
        """Return an option as people read it."""
        value = json.loads(option)
        return value if isinstance(value, str) and value.strip() else option


@dataclass(frozen=True)
class Rows:
    """Any number of values of one shape."""

    each: Field
    least: int = 0
    most: int | None = None


@dataclass(frozen=True)
class Places:
    """A value at each of so many places."""

    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Members:
    """An object whose members have names."""

    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Pairs:
    """An object whose members have any name and one shape."""

    each: Field


@dataclass(frozen=True)
class OneOf:
    """A value of one of several shapes."""

    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Anything:
    """Any JSON value, as text."""


Shape = (
    Text
    | Number
    | NumberOrText
    | Flag
    | Choice
    | Rows
    | Places
    | Members
    | Pairs
    | OneOf
    | Anything
)


@dataclass(frozen=True)
class Field:
    """One thing that is asked for."""

    name: str
    shape: Shape
    label: str = ""
    help: str = ""
    hint: str = ""
    """What a value has to be like, in words."""
    optional: bool = False
    """It may be left out."""
    nullable: bool = False
    """It may be null."""
    default: str | None = None
    """What it is where it is left out, as JSON text; None where that is not said."""
