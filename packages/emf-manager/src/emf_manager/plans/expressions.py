"""``${{ steps.build.result.version }}``: paths into what is known, put in place of texts. No code.

A document is compiled once, before any value is known; values that come from variables or nodes
are put in as they are and never read again, so that nothing a node says can become a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from emf_agent.errors import UsageError

__all__ = [
    "MARK",
    "BadPathError",
    "Bounded",
    "Joined",
    "Known",
    "MissingError",
    "Path",
    "Ref",
    "Several",
    "Template",
    "ToNamed",
    "compile_template",
    "dig",
    "fill",
    "is_known",
    "known_part",
    "path_text",
    "read_path",
    "references",
    "settle",
    "weight",
]

MARK = "${{"
END = "}}"
MOST_CHARACTERS = 512
MOST_PUT_IN = 1024 * 1024
"""What the paths of one step may come to: as much as the body of a request."""
PART = re.compile(
    r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|\[(?P<place>[0-9]{1,6})\]|\["(?P<key>[^"\\]{1,255})"\]"""
)
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Path = tuple[str | int, ...]


class BadPathError(UsageError):
    """What stands between the braces is no path."""


class MissingError(UsageError):
    """A path leads nowhere in the values there are."""


@dataclass(frozen=True)
class Known:
    """A value that is put in as it is."""

    value: JsonValue


@dataclass(frozen=True)
class Ref:
    """A path whose value, of whatever type, stands here."""

    path: Path


@dataclass(frozen=True)
class Joined:
    """A text made of texts and of the texts of values."""

    parts: tuple[Known | Ref, ...]


@dataclass(frozen=True)
class Several:
    """A list."""

    items: tuple[Template, ...]


@dataclass(frozen=True)
class ToNamed:
    """A mapping; its keys are plain."""

    members: Mapping[str, Template]


Template = Known | Ref | Joined | Several | ToNamed
Look = Callable[[Path], JsonValue]
"""From a path to its value; raises MissingError."""


class Bounded:
    """Looks values up until they come to too much: one text may name a value a thousand times."""

    def __init__(self, look: Look, most: int = MOST_PUT_IN) -> None:
        self._look = look
        self._most = self._left = most

    def __call__(self, path: Path) -> JsonValue:
        """Return what a path leads to.

        Raises:
            MissingError: nowhere, or all that was looked up comes to too much.

        """
        value = self._look(path)
        self._left -= weight(value, self._left)
        if self._left < 0:
            told = f"with {path_text(path)} the values that are put in"
            raise MissingError(f"{told} come to more than {self._most} characters")
        return value


def weight(value: JsonValue, most: int) -> int:
    """Return about how many characters a value is written with; beyond ``most`` any such number."""
    found, ahead = 0, [value]
    while ahead and found <= most:
        found += 1
        match ahead.pop():
            case str(text):
                found += len(text)
            case list(items):
                ahead += items
            case dict(members):
                found += sum(map(len, members))
                ahead += members.values()
    return found


def compile_template(
    value: JsonValue, complain: Callable[[str, str], None], where: str = ""
) -> Template:
    """Return a value with its paths read; ``complain`` is told where a path is bad, and why."""
    match value:
        case str():
            try:
                return compile_text(value)
            except BadPathError as error:
                complain(where, str(error))
                return Known(value)
        case list():
            return Several(
                tuple(
                    compile_template(item, complain, f"{where}.{place}")
                    for place, item in enumerate(value)
                )
            )
        case dict():
            return ToNamed(
                {
                    key: compile_template(item, complain, f"{where}.{key}")
                    for key, item in value.items()
                }
            )
        case _:
            return Known(value)


def compile_text(text: str) -> Known | Ref | Joined:
    """Return a text with its paths read.

    Raises:
        BadPathError: with what is wrong.

    """
    parts: list[Known | Ref] = []
    at = 0
    while (begin := text.find(MARK, at)) >= 0:
        inside = begin + len(MARK)
        end = text.find(END, inside)
        if end < 0:
            why = f"{MARK} without {END}; write ${MARK} where the text itself is meant"
            raise BadPathError(why)
        is_text = text[at:begin].endswith("$")
        parts.append(Known(text[at : begin - is_text]))
        at = end + len(END)
        parts.append(Known(text[begin:at]) if is_text else Ref(read_path(text[inside:end])))
    parts.append(Known(text[at:]))
    told = [part for part in parts if part != Known("")]
    if len(told) == 1:
        return told[0]
    if all(isinstance(part, Known) for part in told):
        return Known("".join(str(part.value) for part in told if isinstance(part, Known)))
    return Joined(tuple(told))


def read_path(text: str) -> Path:
    """Return the path in a text such as ``steps.a.nodes["oss01"].result``.

    Raises:
        BadPathError: it is none.

    """
    inner = text.strip()
    if len(inner) > MOST_CHARACTERS:
        raise BadPathError(f"a path is longer than {MOST_CHARACTERS} characters")
    rest = f".{inner}"
    path: list[str | int] = []
    while rest:
        part = PART.match(rest)
        if part is None:
            raise BadPathError(
                f"{inner[:80]!r} is not a path; only paths can stand here, such as "
                'steps.check.result.version or steps.check.nodes["oss01"].result'
            )
        path.append(int(part["place"]) if part["place"] else part["name"] or part["key"])
        rest = rest[part.end() :]
    return tuple(path)


def path_text(path: Sequence[str | int]) -> str:
    """Return a path as people write it."""
    return "".join(map(step_text, path)).removeprefix(".")


def step_text(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if PLAIN_NAME.fullmatch(part) else f'["{part}"]'


def references(template: Template) -> Iterator[Path]:
    """Yield every path in a template."""
    match template:
        case Ref(path):
            yield path
        case Joined(parts):
            for part in parts:
                yield from references(part)
        case Several(items):
            for item in items:
                yield from references(item)
        case ToNamed(members):
            for member in members.values():
                yield from references(member)
        case Known():
            pass


def is_known(template: Template) -> bool:
    """Tell whether there is no path in it."""
    return next(references(template), None) is None


def fill(template: Template, look: Look) -> JsonValue:
    """Return the value, each path replaced by what it leads to.

    Raises:
        MissingError: a path leads nowhere, or its value cannot stand inside a text.

    """
    match template:
        case Known(value):
            return value
        case Ref(path):
            return look(path)
        case Joined(parts):
            return "".join(word(part, look) for part in parts)
        case Several(items):
            return [fill(item, look) for item in items]
        case ToNamed(members):
            return {key: fill(member, look) for key, member in members.items()}


def word(part: Known | Ref, look: Look) -> str:
    value = fill(part, look)
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list) or value is None:
        assert isinstance(part, Ref)
        raise MissingError(
            f"{path_text(part.path)} is {type_name(value)}, which cannot stand inside a text"
        )
    return json.dumps(value)


def settle(template: Template, look: Look, root: str) -> Template:
    """Return the template with the paths under one root replaced by their values for good."""
    match template:
        case Ref(path) if path[0] == root:
            return Known(look(path))
        case Joined(parts):
            settled = tuple(
                Known(word(part, look)) if isinstance(part, Ref) and part.path[0] == root else part
                for part in parts
            )
            if all(isinstance(part, Known) for part in settled):
                return Known("".join(word(part, look) for part in settled))
            return Joined(settled)
        case Several(items):
            return Several(tuple(settle(item, look, root) for item in items))
        case ToNamed(members):
            return ToNamed({key: settle(item, look, root) for key, item in members.items()})
        case _:
            return template


def known_part(template: Template, stand_in: JsonValue) -> JsonValue:
    """Return the value as far as it is known, with a stand-in where a path stands."""
    match template:
        case Known(value):
            return value
        case Several(items):
            return [known_part(item, stand_in) for item in items]
        case ToNamed(members):
            return {key: known_part(item, stand_in) for key, item in members.items()}
        case _:
            return stand_in


def dig(value: JsonValue, path: Sequence[str | int], said: str) -> JsonValue:
    """Return what a path leads to in a value; ``said`` is how the value is called.

    Raises:
        MissingError: nothing is there.

    """
    for part in path:
        inside: JsonValue | None
        match value, part:
            case dict(), str() if part in value:
                inside = value[part]
            case list(), int() if part < len(value):
                inside = value[part]
            case dict(), str():
                raise MissingError(f"{said} has no member {part[:80]!r}")
            case list(), int():
                raise MissingError(f"{said} has {len(value)} items, so there is no [{part}]")
            case _:
                raise MissingError(f"{said} is {type_name(value)} and has no {step_text(part)}")
        value = inside
        said += step_text(part)
    return value


def type_name(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "a mapping"
