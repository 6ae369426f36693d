"""An action's arguments against its schema, before anything is stored: named field, expected, got.

The schema comes from the node and describes the arguments by name; the forms that stand for the
same (one value, an array in order, nothing) are those the node itself accepts. What the caller
gave is never repeated, since it may be a secret: only its type is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, UnknownType, ValidationError
from jsonschema.validators import extend
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from emf_agent.wire import ActionDescription
from emf_manager.views import ArgumentsError

__all__ = ["argument_faults", "check_arguments"]

JSON_TYPES = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}
MOST_SHOWN = 120
REFERENCES = 2_000
COMPARED = 1_000
KNOWN: Any = Draft202012Validator.VALIDATORS
left: ContextVar[int] = ContextVar("left")
"""References that may still be followed."""
WAYS = 1_000_000
CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""A sign with a backslash, or a class."""
REPEAT = re.compile(r"[*+]|\{\d*,")
CHOICE = re.compile(r"[?|]")
GROUPS = re.compile(r"\)(?:[*+]|\{)|\(\?[^:=!]")
"""A group that is repeated, or that changes how the rest is read."""


class TooMuchError(Exception):
    """A schema, which comes from a node, would keep the manager busy."""


UNUSABLE = (
    TooMuchError,
    SchemaError,
    UnknownType,
    Unresolvable,
    RecursionError,
    TypeError,
    AttributeError,
    re.error,
)
"""What a schema raises that is none, or that uses what only its own side understands."""


def check_arguments(action: ActionDescription, args: JsonValue) -> None:
    """Refuse arguments that this form of an action would refuse.

    Raises:
        ArgumentsError: with the first field that does not fit.

    """
    for fault in argument_faults(action, args):
        raise fault


def argument_faults(action: ActionDescription, args: JsonValue) -> list[ArgumentsError]:
    """Return every field that does not fit, those nearest to the top first.

    A schema that cannot be used (from a newer or a broken agent) refuses nothing: the node decides.
    """
    schema = action.args_schema
    positional = schema.get("x-positional", list(schema.get("properties", {})))
    if not isinstance(positional, list):
        return []
    found: list[ValidationError] = []
    try:
        validator = Bounded(schema, registry=Registry())
        left.set(REFERENCES)
        for candidate in _by_name(action.name, args, positional, schema.get("required", ())):
            found = sorted(validator.iter_errors(candidate), key=_depth)
            if not found:
                return []
    except ArgumentsError as error:
        return [error]
    except UNUSABLE:
        return []
    return list({error.field: error for error in map(_explainer(action.name), found)}.values())


def refer(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
    left.set(left.get() - 1)
    if left.get() < 0:
        raise TooMuchError
    yield from KNOWN["$ref"](validator, wanted, instance, schema)


def match(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
    if isinstance(instance, str):
        hold_quick([wanted], [instance])
    yield from KNOWN["pattern"](validator, wanted, instance, schema)


def members(keyword: str) -> Any:
    """Return the check of a keyword that reads ``patternProperties``."""

    def check(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
        if isinstance(instance, dict):
            hold_quick(schema.get("patternProperties", ()), instance)
        yield from KNOWN[keyword](validator, wanted, instance, schema)

    return check


def unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
    if isinstance(instance, list) and len(instance) > COMPARED:
        raise TooMuchError
    yield from KNOWN["uniqueItems"](validator, wanted, instance, schema)


def unread(*_: Any) -> Any:
    raise TooMuchError


def hold_quick(patterns: Iterable[str], texts: Collection[str]) -> None:
    """Let patterns pass that are found in these texts, or not, in some milliseconds.

    Counted is in how many ways a text could be divided among what a pattern repeats or leaves
    open; a repeated group is not taken at all.
    """
    longest = max(map(len, texts), default=0)
    for one in patterns:
        plain = CLASS.sub("c", one)
        ways = max(1, longest) ** len(REPEAT.findall(plain)) * 2 ** len(CHOICE.findall(plain))
        if GROUPS.search(plain) is not None or ways * max(1, len(texts)) > WAYS:
            raise TooMuchError


BY_PATTERN = ("patternProperties", "additionalProperties")
UNREAD = ("$dynamicRef", "unevaluatedProperties", "unevaluatedItems")
Bounded: Any = extend(  # type: ignore[no-untyped-call]  # jsonschema's
    Draft202012Validator,
    {"$ref": refer, "pattern": match, "uniqueItems": unique}
    | {keyword: members(keyword) for keyword in BY_PATTERN}
    | dict.fromkeys(UNREAD, unread),
)
"""A validator that gives up on a schema that refers too often, or has slow patterns."""


def _by_name(
    action: str, args: JsonValue, names: list[str], required: Any
) -> Iterator[dict[str, JsonValue]]:
    """Yield what the arguments may mean, the likeliest last: its fault is the one to show."""
    if not names:
        if args is None or args in ({}, []):
            yield {}
            return
        raise ArgumentsError(action, "args", "nothing (null)", _type_of(args))
    if len(names) == 1:
        if args is None and names[0] not in required:
            yield {}
            return
        if isinstance(args, dict) and (names[0] in args or not args):
            yield {names[0]: args}
            yield args
            return
        yield {names[0]: args}
        return
    if args is None:
        yield {}
    elif isinstance(args, dict):
        yield args
    elif isinstance(args, list):
        if len(args) > len(names):
            wanted = f"at most {len(names)} values ({', '.join(names)})"
            raise ArgumentsError(action, "args", wanted, f"{len(args)}")
        yield dict(zip(names, args, strict=False))
    else:
        wanted = f"an array or an object with {', '.join(names)}"
        raise ArgumentsError(action, "args", wanted, _type_of(args))


def _depth(fault: ValidationError) -> tuple[int, str]:
    return len(fault.absolute_path), fault.json_path


def _explainer(action: str) -> Callable[[ValidationError], ArgumentsError]:
    """Return what explains one fault after another; each missing name is told once."""
    told: set[tuple[str, str]] = set()

    def explain(fault: ValidationError) -> ArgumentsError:
        wanted: Any = fault.validator_value
        instance: Any = fault.instance
        if fault.validator == "required" and isinstance(wanted, list):
            missing = [name for name in wanted if name not in instance]
            fresh = [name for name in missing if (fault.json_path, name) not in told]
            told.add((fault.json_path, fresh[0]))
            where = ".".join(["args", *map(str, fault.absolute_path), fresh[0]])
            return ArgumentsError(action, where, "a value", "nothing")
        return _explained(action, fault)

    return explain


def _explained(action: str, fault: ValidationError) -> ArgumentsError:
    where = ".".join(["args", *(str(part) for part in fault.absolute_path)])
    wanted: Any = fault.validator_value
    instance: Any = fault.instance
    schema: Any = fault.schema
    match fault.validator:
        case "additionalProperties":
            known = list(schema.get("properties", {}))
            unknown = next((name for name in instance if name not in known), "?")
            offer = f"one of {', '.join(known)}" if known else "no members"
            return ArgumentsError(action, f"{where}.{str(unknown)[:80]}", offer, "an unknown name")
        case "type":
            kinds = wanted if isinstance(wanted, list) else [wanted]
            expected = " or ".join(map(str, kinds))
        case "enum":
            expected = f"one of {wanted}"
        case _:
            expected = f"{fault.validator} {wanted}"
    return ArgumentsError(action, where, expected[:MOST_SHOWN], _type_of(instance))


def _type_of(value: JsonValue) -> str:
    kind = JSON_TYPES.get(type(value), type(value).__name__)
    return f"{kind} of length {len(value)}" if isinstance(value, str | list) else kind
