"""Paging and freshness: opaque cursors over sorted keys, entity tags, and what they answer."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Annotated, Generic, TypeVar

from fastapi import Header
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from emf_manager.api.freshness import matches
from emf_manager.api.problems import FieldFault, ProblemError

__all__ = ["MAX_PAGE", "IfMatch", "Page", "check_match", "decode_cursor", "encode_cursor"]
__all__ += ["entity_tag", "page", "unchanged"]

MAX_PAGE = 1000
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The `ETag` of the version you have: changed only while it still holds.",
    ),
]
"""A parameter of routes that replace something; ``check_match`` reads it."""
T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page of a list; ``next`` is the cursor of the following page, null on the last."""

    items: tuple[T, ...]
    next: str | None = Field(default=None, examples=[None, "WyJvc3MwMS5leGFtcGxlIl0"])


def encode_cursor(key: tuple[str | int, ...]) -> str:
    """Return the opaque form of the last key of a page."""
    text = json.dumps(key, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type[str | int]) -> tuple[str | int, ...]:
    """Return the key in a cursor, whose parts are of these kinds.

    Raises:
        ProblemError: this manager did not make it.

    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        key = json.loads(text)
    except (binascii.Error, ValueError, RecursionError):
        key = None
    fits = isinstance(key, list) and [type(part) for part in key] == list(kinds)
    if not fits or any(isinstance(part, int) and abs(part) >= 2**63 for part in key):
        fault = FieldFault(field="query.cursor", expected="a cursor from 'next'", got="another")
        raise ProblemError(
            422, "invalid", "query.cursor: not a cursor of this list", errors=[fault]
        )
    return tuple(key)


def page(
    items: Iterable[T], key: Callable[[T], tuple[str, ...]], *, cursor: str | None, limit: int
) -> tuple[tuple[T, ...], str | None]:
    """Cut one page out of values held in memory, sorted by their key."""
    ordered = sorted(items, key=key)
    if cursor is not None:
        after = decode_cursor(cursor, *[str for _ in key(ordered[0])] if ordered else [str])
        ordered = [item for item in ordered if key(item) > after]
    cut = tuple(ordered[:limit])
    return cut, encode_cursor(key(cut[-1])) if len(ordered) > limit else None


def entity_tag(*parts: object) -> str:
    """Return a weak entity tag over what makes an answer differ (ages do not)."""
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()
    return f'W/"{digest[:32]}"'


def unchanged(request: Request, tag: str) -> Response | None:
    """Return the 304 where the caller already has this version, else None."""
    given = request.headers.get("if-none-match")
    if given is not None and matches(given, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return None


def check_match(request: Request, tag: str) -> None:
    """Let a write pass whose ``If-Match``, where it has one, names the version there is.

    Raises:
        ProblemError: 412, somebody changed it meanwhile.

    """
    given = request.headers.get("if-match")
    if given is not None and not matches(given, tag):
        why = "it was changed since the version you have; read it again, then decide"
        raise ProblemError(412, "changed", why)
