"""Filters over facts: ``os.name=rhel``, ``memory.total>=256GiB``, ``lustre.target~OST000?``.

``=`` and ``!=`` compare the whole value. ``~`` and ``!~`` look for a pattern as of the shell
(``*``, ``?``, ``[ab]``) anywhere in the value; ``^`` in front and ``$`` behind hold it to the
beginning and the end. It is no regular expression, so that no filter can keep the manager busy.
``<``, ``<=``, ``>``, ``>=`` compare numbers where the fact is one (``K``, ``MiB`` and the like are
known), and texts as versions, number by number: ``8.10`` is above ``8.9``. A list-valued fact
matches when any of its elements does, so ``!=`` and ``!~`` mean that none of them is, or looks, so.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Any

from emf_agent.errors import UsageError
from emf_manager.facts import Fact, Facts

__all__ = ["Filter", "FilterError", "explain", "parse_filter", "unknown_names"]

FILTER = re.compile(r"\s*([A-Za-z0-9_.:/-]{1,255})\s*(!=|!~|<=|>=|=|~|<|>)\s?(.*)", re.DOTALL)
NUMBER = re.compile(r"([+-]?\d{1,18}(?:\.\d{1,9})?(?:[eE][+-]?\d{1,2})?)\s*([KMGTPE]?)(i?)([Bb]?)")
PIECES = re.compile(r"\d+|[A-Za-z]+")
POWERS = {sign: power for power, sign in enumerate(("", "K", "M", "G", "T", "P", "E"))}
LONGEST = 255
WILDCARDS_MOST = 16
ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class FilterError(UsageError):
    """A filter that cannot be read; the message says what one looks like."""

    def __init__(self, text: str, why: str) -> None:
        shown = text if len(text) <= 80 else text[:79] + "…"
        super().__init__(f"fact filter {shown!r}: {why}")
        self.why = why


@dataclass(frozen=True)
class Filter:
    """One condition on one fact."""

    name: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{self.value}"

    def matches(self, fact: Fact) -> bool:
        """Tell whether a fact meets it."""
        elements = fact if isinstance(fact, tuple) else (fact,)
        negated = self.operator.startswith("!")
        return any(self._meets(element) for element in elements) is not negated

    def _meets(self, element: object) -> bool:
        match self.operator:
            case "=" | "!=":
                return is_equal(element, self.value)
            case "~" | "!~":
                return pattern(self.value).match(text_of(element)) is not None
        order, wanted = ORDERS[self.operator], number(self.value)
        if isinstance(element, int | float) and wanted is not None:
            return order(element, wanted)
        return order(version(text_of(element)), version(self.value))


def parse_filter(text: str) -> Filter:
    """Return a filter from its text.

    Raises:
        FilterError: it is none.

    """
    found = FILTER.fullmatch(text) if len(text) <= 2 * LONGEST else None
    if found is None:
        raise FilterError(text, "write NAME=VALUE; also !=, ~, !~, <, <=, >, >=")
    name, sign, value = found.groups()
    if not value or len(value) > LONGEST:
        raise FilterError(text, f"{sign} needs a value of at most {LONGEST} characters")
    if "~" in sign and sum(map(value.count, "*?[")) > WILDCARDS_MOST:
        raise FilterError(text, f"a pattern has at most {WILDCARDS_MOST} wildcards")
    if "~" in sign and not value.strip("^$"):
        raise FilterError(text, f"{sign} needs a pattern")
    return Filter(name, sign, value)


def explain(facts: Facts, filters: Sequence[Filter]) -> str | None:
    """Return why a node does not match; None where it does."""
    for one in filters:
        if one.name not in facts:
            return f"has no fact {one.name}"
        if not one.matches(facts[one.name]):
            return f"{one.name} is {shown(facts[one.name])}, not {one.operator} {one.value}"
    return None


def unknown_names(filters: Sequence[Filter], known: Collection[str]) -> dict[str, list[str]]:
    """Return the facts that no node has, each with the names it may have meant."""
    return {
        one.name: difflib.get_close_matches(one.name, sorted(known), n=3, cutoff=0.5)
        for one in filters
        if one.name not in known
    }


def is_equal(element: object, value: str) -> bool:
    if isinstance(element, bool):
        return value.lower() in {"true", "yes"} if element else value.lower() in {"false", "no"}
    if isinstance(element, int | float):
        wanted = number(value)
        return wanted is not None and math.isclose(element, wanted, rel_tol=1e-12)
    return element == value


def text_of(element: object) -> str:
    return str(element).lower() if isinstance(element, bool) else str(element)


@lru_cache(maxsize=256)
def pattern(glob: str) -> re.Pattern[str]:
    """Return a glob as a pattern for ``match``; the library's translation never backtracks far."""
    begins, ends = glob.startswith("^"), glob.endswith("$")
    inner = glob[begins : len(glob) - ends]
    return re.compile(translate(f"{'' if begins else '*'}{inner}{'' if ends else '*'}"))


@lru_cache(maxsize=4096)
def number(text: str) -> float | None:
    """Return a number, with its unit counted in: ``64GiB`` and ``64G`` are 64 · 2^30."""
    found = NUMBER.fullmatch(text.strip())
    if found is None:
        return None
    return float(found[1]) * 1024.0 ** POWERS[found[2]]


def version(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return what versions are compared by: their numbers, and letters below any number."""
    return tuple(
        (1, int(piece), "") if piece.isdigit() else (0, 0, piece)
        for piece in PIECES.findall(text[:LONGEST])
    )


def shown(fact: Fact) -> str:
    texts = [text_of(one) for one in fact] if isinstance(fact, tuple) else [text_of(fact)]
    told = ", ".join(texts[:3]) + (", …" if len(texts) > 3 else "")
    return told if len(told) <= 120 else told[:119] + "…"
