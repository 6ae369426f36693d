"""Strict JSON: what a request body may be, before any model sees it (requirement R16)."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

__all__ = ["MAX_BODY_BYTES", "MAX_DEPTH", "NotStrictError", "check"]

MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 64
HALF = re.compile(r"\\u[dD][89a-fA-F]")


class NotStrictError(ValueError):
    """The body is not the JSON we take; the text says why, without echoing it."""


def check(body: bytes) -> None:
    """Refuse what parsers disagree about: NaN, duplicate keys, depth, bad UTF-8, half characters.

    Raises:
        NotStrictError: with the reason.

    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotStrictError(f"not UTF-8 at byte {error.start}") from error
    if depth(text) > MAX_DEPTH:
        raise NotStrictError(f"nested deeper than {MAX_DEPTH}")
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
        if HALF.search(text) is not None:
            json.dumps(value, ensure_ascii=False).encode()
    except NotStrictError:
        raise
    except UnicodeEncodeError as error:
        raise NotStrictError("an escape stands for half a character") from error
    except json.JSONDecodeError as error:
        why = f"{error.msg} at line {error.lineno} column {error.colno}"
        raise NotStrictError(why) from error
    except ValueError as error:
        raise NotStrictError("a number has too many digits") from error


def depth(text: str) -> int:
    """Return how deep brackets nest, outside strings."""
    deepest = level = 0
    quoted = escaped = False
    for sign in text:
        if quoted:
            if escaped:
                escaped = False
            elif sign == "\\":
                escaped = True
            elif sign == '"':
                quoted = False
        elif sign == '"':
            quoted = True
        elif sign in "[{":
            level += 1
            deepest = max(deepest, level)
        elif sign in "]}":
            level -= 1
    return deepest


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrictError("an object has the same key twice")
    return members


def no_constant(name: str) -> NoReturn:
    raise NotStrictError(f"{name} is not JSON")
