"""YAML text to a tree of values that know their line: YAML 1.2's core schema, and nothing clever.

Aliases, anchors, tags, merge keys, duplicate keys and a second document are refused: what stands
in the text is what it says. The text is bounded before it is parsed, the tree while it grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml
from pydantic import JsonValue

from emf_agent.errors import UsageError

__all__ = [
    "MAX_TEXT",
    "Fault",
    "FaultsError",
    "Items",
    "Mark",
    "Members",
    "Scalar",
    "Tree",
    "marks_below",
    "plain",
    "read_yaml",
]

MAX_TEXT = 256 * 1024
MAX_VALUES = 20_000
MAX_DEPTH = 32
MAX_DIGITS = 18
MOST_TOLD = 50

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Its parser alone is used: libyaml's where PyYAML was built with it, thirty times as fast."""
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

NULL = re.compile(r"null|Null|NULL|~|")
BOOLEANS = {"true": True, "True": True, "TRUE": True} | dict.fromkeys(
    ("false", "False", "FALSE"), False
)
INTEGER = re.compile(r"[-+]?[0-9]+")
OCTAL = re.compile(r"0o[0-7]+")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True, order=True)
class Mark:
    """A place in the text; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong, and where."""

    mark: Mark
    where: str
    """Path in the document, such as ``jobs.a.steps[0].args``; empty for the whole."""
    message: str
    suggestions: tuple[str, ...] = ()
    kind: Literal["invalid", "no-node-matched", "forbidden"] = "invalid"


class FaultsError(UsageError):
    """What is wrong with a document, all that could be found."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        lines = [f"line {each.mark.line}: {each.message}" for each in self.faults[:MOST_TOLD]]
        if len(self.faults) > MOST_TOLD:
            lines.append(f"and {len(self.faults) - MOST_TOLD} more")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Scalar:
    """A text, a number, a truth value or null."""

    value: str | int | float | bool | None
    mark: Mark


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[Tree, ...]
    mark: Mark


@dataclass(frozen=True)
class Members:
    """A mapping, in the order of the text."""

    members: Mapping[str, Tree]
    keys: Mapping[str, Mark]
    """Where each key stands."""
    mark: Mark


Tree = Scalar | Items | Members


def plain(tree: Tree) -> JsonValue:
    """Return the values without their places."""
    match tree:
        case Scalar(value):
            return value
        case Items(items):
            return [plain(item) for item in items]
        case Members(members):
            return {key: plain(value) for key, value in members.items()}


def marks_below(tree: Tree, path: str) -> Iterator[tuple[str, Mark]]:
    """Yield the dotted path and the place of each value: ``args``, ``args.names``, ``args.0``."""
    yield path, tree.mark
    match tree:
        case Items(items):
            for place, item in enumerate(items):
                yield from marks_below(item, f"{path}.{place}")
        case Members(members):
            for key, value in members.items():
                yield from marks_below(value, f"{path}.{key}")
        case Scalar():
            pass


def read_yaml(text: str) -> Tree:
    """Return the one document in a text.

    Raises:
        FaultsError: it is too large, no YAML, or YAML of a kind that is not taken.

    """
    if len(text) > MAX_TEXT:
        raise FaultsError([Fault(Mark(1, 1), "", f"it is larger than {MAX_TEXT // 1024} KiB")])
    if stranger := UNPRINTABLE.search(text):
        at = stranger.start()
        mark = Mark(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        why = f"the character U+{ord(stranger[0]):04X} is not allowed in YAML"
        raise FaultsError([Fault(mark, "", why)])
    builder = Builder()
    try:
        for event in yaml.parse(text, Loader=LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = mark_at(error.problem_mark or error.context_mark)
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise FaultsError([*builder.faults, Fault(mark, "", f"not YAML: {why}")]) from error
    if builder.root is None:
        builder.fault(Mark(1, 1), "the document is empty")
    if builder.faults:
        raise FaultsError(builder.faults)
    assert builder.root is not None
    return builder.root


def mark_at(place: Any) -> Mark:
    """Return PyYAML's mark as ours; its own and libyaml's are two types."""
    return Mark(1, 1) if place is None else Mark(place.line + 1, place.column + 1)


@dataclass
class Open:
    """A list or mapping whose end has not come yet."""

    mark: Mark
    items: list[Tree] | None
    members: dict[str, Tree] = field(default_factory=dict)
    keys: dict[str, Mark] = field(default_factory=dict)
    key: tuple[str, Mark] | None = None

    def closed(self) -> Tree:
        if self.items is not None:
            return Items(tuple(self.items), self.mark)
        return Members(self.members, self.keys, self.mark)


class Builder:
    """Makes the tree of the parser's events; keeps no more than the limits allow."""

    def __init__(self) -> None:
        self.root: Tree | None = None
        self.faults: list[Fault] = []
        self._open: list[Open] = []
        self._values = 0
        self._documents = 0

    def fault(self, mark: Mark, message: str) -> None:
        self.faults.append(Fault(mark, "", message))

    def take(self, event: yaml.Event) -> None:
        """Take the next event.

        Raises:
            FaultsError: a limit is passed; what follows is not looked at.

        """
        mark = mark_at(event.start_mark)
        match event:
            case yaml.AliasEvent():
                self.fault(mark, f"the alias *{event.anchor} is not taken; write the value out")
                self._add(Scalar(None, mark))
            case yaml.ScalarEvent():
                self._refuse_extras(event, mark)
                self._add(Scalar(self._value(event, mark), mark))
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._refuse_extras(event, mark)
                self._enter(Open(mark, [] if isinstance(event, yaml.SequenceStartEvent) else None))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._add(self._open.pop().closed())
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise FaultsError([*self.faults, Fault(mark, "", "a second document begins")])

    def _enter(self, opened: Open) -> None:
        self._open.append(opened)
        if len(self._open) > MAX_DEPTH:
            why = f"it is nested deeper than {MAX_DEPTH}"
            raise FaultsError([*self.faults, Fault(opened.mark, "", why)])

    def _refuse_extras(self, event: yaml.NodeEvent, mark: Mark) -> None:
        if event.anchor is not None:
            self.fault(mark, f"the anchor &{event.anchor} is not taken; write each value out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self.fault(mark, f"the tag {tag} is not taken")

    def _add(self, tree: Tree) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            why = f"it has more than {MAX_VALUES} values"
            raise FaultsError([*self.faults, Fault(tree.mark, "", why)])
        if not self._open:
            self.root = tree
            return
        parent = self._open[-1]
        if parent.items is not None:
            parent.items.append(tree)
        elif parent.key is None:
            parent.key = self._key(tree)
        else:
            (key, mark), parent.key = parent.key, None
            if key in parent.members:
                first = parent.keys[key].line
                self.fault(mark, f"the key {key!r} is here twice, first in line {first}")
            parent.members[key] = tree
            parent.keys[key] = mark

    def _key(self, tree: Tree) -> tuple[str, Mark]:
        value = tree.value if isinstance(tree, Scalar) else None
        if value is None or value == "":
            self.fault(tree.mark, "a key must be a word")
        elif value == "<<":
            self.fault(tree.mark, "the merge key << is not taken; write the members out")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return text[:255], tree.mark

    def _value(self, event: yaml.ScalarEvent, mark: Mark) -> str | int | float | bool | None:
        text: str = event.value
        if event.style:  # none at all, or empty, where it is plain
            return text
        if NULL.fullmatch(text):
            return None
        if text in BOOLEANS:
            return BOOLEANS[text]
        if NO_NUMBER.fullmatch(text):
            self.fault(mark, f"{text} is no number that can be sent")
            return None
        if any(form.fullmatch(text) for form in (INTEGER, OCTAL, HEXADECIMAL, FLOAT)):
            return self._number(text, mark)
        return text

    def _number(self, text: str, mark: Mark) -> int | float | None:
        if len(text) > MAX_DIGITS + 2:
            self.fault(mark, f"the number has more than {MAX_DIGITS} digits; quote it as a text")
            return None
        if OCTAL.fullmatch(text) or HEXADECIMAL.fullmatch(text):
            return int(text, 0)
        if INTEGER.fullmatch(text):
            return int(text)
        number = float(text)
        if number in (float("inf"), float("-inf")):
            self.fault(mark, f"{text} is too large a number")
        return number
