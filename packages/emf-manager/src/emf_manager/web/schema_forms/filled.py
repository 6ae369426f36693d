"""What stands in a form: put there from a value, or as somebody sent it; and what it means.

``fill`` and ``submitted`` make the same tree, which the template draws; ``read`` makes JSON of it.
Submitting what ``fill`` shows, unchanged, reads as the value it was filled with (secrets apart).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote

from emf_manager.api import strict_json
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
    Text,
)

__all__ = ["ABSENT", "Faults", "Filled", "Path", "explained", "fill", "read", "submitted"]

MOST_ROWS = 100
"""Rows that one list shows; a longer one is shown as JSON."""
MOST_TEXT = 262_144
LONGEST_NUMBER = 400
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

Path = tuple[str | int, ...]
Faults = Mapping[Path, str]
"""What is wrong, by the place in the value."""
Presence = Literal["absent", "null", "given"]


class Absent:
    """The value of what is left out."""


ABSENT = Absent()


@dataclass(frozen=True)
class Filled:
    """One field, and what stands in it."""

    field: Field
    path: Path
    presence: Presence = "given"
    text: str = ""
    """What stands in a line, a number, a choice, or in the JSON text."""
    on: bool = False
    chosen: int = 0
    """Which of several shapes."""
    parts: tuple[Filled, ...] = ()
    keys: tuple[str, ...] = ()
    """Names of the members, where any name is fine."""
    as_json: bool = False
    """It is shown as JSON text, whatever its shape."""
    fault: str = ""
    """What is wrong with it."""

    @property
    def name(self) -> str:
        """The name of its control: the path, with every odd character quoted."""
        return "/".join(quote(str(part), safe="") for part in self.path)

    @property
    def asks_presence(self) -> bool:
        """Whether a control of its own says that it is there at all."""
        field = self.field
        if self.as_json or isinstance(field.shape, Anything):
            return field.optional or field.nullable
        if isinstance(field.shape, Number | NumberOrText | Choice | Flag):
            return field.optional and field.nullable
        if isinstance(field.shape, Text) and not field.shape.may_be_empty:
            return field.optional and field.nullable
        return field.optional or field.nullable

    @property
    def kind(self) -> str:
        """The control that shows it."""
        return "Anything" if self.as_json else type(self.field.shape).__name__


def fill(field: Field, value: Any, path: Path = ("args",)) -> Filled:
    """Return the field with a value in it; as JSON text where the value does not fit."""
    empty = Filled(field, path)
    if value is ABSENT:
        return replace(blank(empty), presence="absent" if field.optional else "given")
    if value is None and field.nullable:
        return replace(blank(empty), presence="null")
    shown = fitting(empty, value)
    if shown is None or not fits_presence(shown):
        return replace(empty, as_json=True, text=as_text(value))
    return shown


def fits_presence(shown: Filled) -> bool:
    """Tell whether an empty line can be told from one that is left out."""
    bare = isinstance(shown.field.shape, Text) and not shown.text and not shown.asks_presence
    return not (bare and (shown.field.optional or shown.field.nullable))


def blank(filled: Filled) -> Filled:
    """Return a field with what stands in a fresh form, where one can say nothing."""
    field, path = filled.field, filled.path
    match field.shape:
        case Members(fields):
            parts = tuple(fill(one, ABSENT, (*path, one.name)) for one in fields)
            return replace(filled, parts=parts)
        case Places(fields):
            parts = tuple(fill(one, ABSENT, (*path, at)) for at, one in enumerate(fields))
            return replace(filled, parts=parts)
        case OneOf(fields):
            return replace(filled, parts=alternatives(fields, path))
        case Rows(each, least):
            parts = tuple(fill(each, ABSENT, (*path, at)) for at in range(min(least, MOST_ROWS)))
            return replace(filled, parts=parts)
    return filled


def alternatives(fields: Iterable[Field], path: Path) -> tuple[Filled, ...]:
    return tuple(fill(one, ABSENT, (*path, f"|{at}")) for at, one in enumerate(fields))


def fitting(empty: Filled, value: Any) -> Filled | None:
    """Return the field with the value, or None where its control cannot hold it."""
    match empty.field.shape:
        case Text() if isinstance(value, str) and printable(value):
            return replace(empty, text=value)
        case Number(whole) if type(value) is int or (not whole and type(value) is float):
            if isinstance(value, float) and not math.isfinite(value):
                return None
            return replace(empty, text=repr(value))
        case NumberOrText(whole):
            as_number = Number(whole)
            looks = isinstance(value, str) and number_in(value, whole=whole) is None
            other = Text() if looks and str(value).strip() else as_number
            shown = fitting(replace(empty, field=replace(empty.field, shape=other)), value)
            return None if shown is None else replace(shown, field=empty.field)
        case Flag() if isinstance(value, bool):
            return replace(empty, on=value, text="yes" if value else "no")
        case Choice(options):
            text = json.dumps(value, sort_keys=True)
            return replace(empty, text=text) if text in options else None
        case Members() | Places() | Rows() | Pairs():
            return fitting_parts(empty, value)
        case OneOf(fields):
            for at, one in enumerate(fields):
                shown = fill(one, value, (*empty.path, f"|{at}"))
                if not any_json(shown):
                    parts = alternatives(fields, empty.path)
                    return replace(empty, chosen=at, parts=(*parts[:at], shown, *parts[at + 1 :]))
            return None
        case Anything():
            return replace(empty, text=as_text(value))
    return None


def fitting_parts(empty: Filled, value: Any) -> Filled | None:
    path = empty.path
    match empty.field.shape:
        case Members(fields) if isinstance(value, dict):
            if value.keys() - {one.name for one in fields}:
                return None
            if any(not one.optional and one.name not in value for one in fields):
                return None
            parts = tuple(fill(f, value.get(f.name, ABSENT), (*path, f.name)) for f in fields)
            return replace(empty, parts=parts)
        case Places(fields) if isinstance(value, list) and len(value) == len(fields):
            return replace(
                empty,
                parts=tuple(
                    fill(one, each, (*path, at))
                    for at, (one, each) in enumerate(zip(fields, value, strict=True))
                ),
            )
        case Rows(each) if isinstance(value, list) and len(value) <= MOST_ROWS:
            return replace(
                empty, parts=tuple(fill(each, one, (*path, at)) for at, one in enumerate(value))
            )
        case Pairs(each) if isinstance(value, dict) and len(value) <= MOST_ROWS:
            if not all(key and printable(key) for key in value):
                return None
            return replace(
                empty,
                keys=tuple(value),
                parts=tuple(fill(each, one, (*path, at)) for at, one in enumerate(value.values())),
            )
    return None


def any_json(filled: Filled) -> bool:
    """Tell whether something in it had to be shown as JSON."""
    return filled.as_json or any(map(any_json, filled.parts))


def printable(text: str) -> bool:
    """Tell whether a line of a form gives a text back as it was."""
    return len(text) <= MOST_TEXT and UNPRINTABLE.search(text) is None


def as_text(value: Any) -> str:
    return json.dumps(value, indent=2)


# What was sent


def submitted(
    field: Field, sent: Mapping[str, str], edit: str = "", path: Path = ("args",)
) -> Filled:
    """Return the field as it was sent; ``edit`` adds a row (``+name``) or takes one (``-name``)."""
    filled = Filled(field, path)
    name = filled.name
    if f"{name}:json" in sent:
        filled = replace(filled, as_json=True, text=sent[f"{name}:json"])
        presence = sent.get(f"{name}?", "given") if filled.asks_presence else "given"
        return replace(filled, presence=presence_of(presence))
    text = sent.get(name, "")
    match field.shape:
        case Anything():
            filled = replace(filled, text=text)
        case Flag():
            filled = replace(filled, text=text, on=text == "yes")
        case Text() | Number() | NumberOrText() | Choice():
            filled = replace(filled, text=text)
        case Members(fields):
            parts = tuple(submitted(one, sent, edit, (*path, one.name)) for one in fields)
            filled = replace(filled, parts=parts)
        case Places(fields):
            parts = tuple(submitted(one, sent, edit, (*path, i)) for i, one in enumerate(fields))
            filled = replace(filled, parts=parts)
        case OneOf(fields):
            parts = tuple(
                submitted(one, sent, edit, (*path, f"|{i}")) for i, one in enumerate(fields)
            )
            chosen = sent.get(f"{name}|", "0")
            at = int(chosen) if chosen.isdecimal() and len(chosen) < 4 else 0
            filled = replace(filled, parts=parts, chosen=min(at, len(parts) - 1))
        case Rows(each) | Pairs(each):
            filled = rows_sent(filled, each, sent, edit)
    if edit == f"+{name}":
        return filled
    return replace(filled, presence=presence_sent(filled, sent))


def rows_sent(filled: Filled, each: Field, sent: Mapping[str, str], edit: str) -> Filled:
    """Return the rows as they were sent, with one more or one less where that was asked for."""
    path, name = filled.path, filled.name
    count = sent.get(f"{name}#", "0")
    kept = range(min(int(count), MOST_ROWS) if count.isdecimal() and len(count) < 9 else 0)
    gone = edit.removeprefix(f"-{name}/") if edit.startswith(f"-{name}/") else ""
    rows = [submitted(each, sent, edit, (*path, at)) for at in kept if str(at) != gone]
    keys = [sent.get(f"{name}/{at}=", "") for at in kept if str(at) != gone]
    if edit == f"+{name}" and len(rows) < MOST_ROWS:
        rows.append(fill(each, ABSENT, (*path, len(rows))))
        keys.append("")
    numbered = tuple(moved(row, (*path, at)) for at, row in enumerate(rows))
    return replace(
        filled, parts=numbered, keys=tuple(keys) if isinstance(filled.field.shape, Pairs) else ()
    )


def moved(filled: Filled, path: Path) -> Filled:
    """Return a field under another path."""
    depth = len(filled.path)

    def under(one: Filled) -> Filled:
        return replace(
            one, path=(*path, *one.path[depth:]), parts=tuple(under(part) for part in one.parts)
        )

    return under(filled)


def presence_of(said: str) -> Presence:
    return said if said in ("absent", "null") else "given"  # type: ignore[return-value]  # narrowed


def presence_sent(filled: Filled, sent: Mapping[str, str]) -> Presence:
    """Return whether it is there: as its own control says, or by nothing standing in it."""
    field = filled.field
    if filled.asks_presence:
        said = presence_of(sent.get(f"{filled.name}?", "given"))
        allowed = {"absent": field.optional, "null": field.nullable, "given": True}
        return said if allowed[said] else "given"
    empty_means = "absent" if field.optional else "null" if field.nullable else "given"
    scalar = isinstance(field.shape, Text | Number | NumberOrText | Choice | Flag)
    return presence_of(empty_means) if scalar and not filled.text else "given"


# What it means


def read(filled: Filled) -> tuple[Any, dict[Path, str]]:
    """Return the value, ABSENT where it is left out, and what could not be read."""
    faults: dict[Path, str] = {}
    value = meant(filled, (), faults)
    return value, faults


def meant(filled: Filled, at: Path, faults: dict[Path, str]) -> Any:
    if filled.presence == "absent":
        return ABSENT
    if filled.presence == "null":
        return None
    shape = filled.field.shape
    if filled.as_json or isinstance(shape, Anything):
        return json_meant(filled.text, at, faults)
    match shape:
        case Members():
            values = {p.field.name: meant(p, (*at, p.field.name), faults) for p in filled.parts}
            return {name: value for name, value in values.items() if value is not ABSENT}
        case Places() | Rows():
            return [meant(part, (*at, i), faults) for i, part in enumerate(filled.parts)]
        case OneOf():
            return meant(filled.parts[filled.chosen], at, faults)
        case Pairs():
            return pairs_meant(filled, at, faults)
        case Number():
            return number_meant(filled, at, faults)
        case NumberOrText(whole):
            number = number_in(filled.text, whole=whole)
            return filled.text if number is None else number
        case Choice(options):
            return choice_meant(filled.text, options, at, faults)
        case Flag():
            return filled.on
    return filled.text


def choice_meant(text: str, options: Collection[str], at: Path, faults: dict[Path, str]) -> Any:
    if text in options:
        return json.loads(text)
    faults[at] = "choose one"
    return None


def number_meant(filled: Filled, at: Path, faults: dict[Path, str]) -> int | float | None:
    whole = isinstance(filled.field.shape, Number) and filled.field.shape.whole
    number = number_in(filled.text, whole=whole)
    if number is None:
        faults[at] = "write a whole number" if whole else "write a number"
    return number


def number_in(text: str, *, whole: bool) -> int | float | None:
    """Return the number that a text is; None where it is none."""
    if len(text) > LONGEST_NUMBER:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return None
    return None if whole or not math.isfinite(value) else value


def json_meant(text: str, at: Path, faults: dict[Path, str]) -> Any:
    try:
        strict_json.check(text.encode())
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        faults[at] = f"this is no JSON: {error}" if text.strip() else "write JSON"
        return None


def pairs_meant(filled: Filled, at: Path, faults: dict[Path, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, part in zip(filled.keys, filled.parts, strict=True):
        where = (*at, key)
        if not key:
            faults[where] = "give every row a name"
        elif key in values:
            faults[where] = "this name stands here twice"
        else:
            values[key] = meant(part, where, faults)
    return values


# What is wrong with it


def explained(filled: Filled, faults: Faults, at: Path = ()) -> Filled:
    """Return the form with each fault at its field, or at the nearest one that is shown."""
    below: dict[int, dict[Path, str]] = {}
    own: list[str] = []
    for path, why in faults.items():
        index = part_on_the_way(filled, path[len(at) :])
        if index is None:
            own.append(why)
        else:
            below.setdefault(index, {})[path] = why
    parts = tuple(
        explained(part, below.get(index, {}), (*at, *step(filled, index)))
        for index, part in enumerate(filled.parts)
    )
    return replace(filled, parts=parts, fault="; ".join(own))


def part_on_the_way(filled: Filled, rest: Path) -> int | None:
    """Return which part a path leads through; None where it ends here."""
    if filled.as_json or filled.presence != "given":
        return None
    if isinstance(filled.field.shape, OneOf):
        return filled.chosen
    indexes = range(len(filled.parts))
    return next((at for at in indexes if rest and step(filled, at) == rest[:1]), None)


def step(filled: Filled, index: int) -> Path:
    """Return the step in the value from a field to one of its parts."""
    match filled.field.shape:
        case OneOf():
            return ()
        case Members(fields):
            return (fields[index].name,)
        case Pairs():
            return (filled.keys[index],)
    return (index,)
