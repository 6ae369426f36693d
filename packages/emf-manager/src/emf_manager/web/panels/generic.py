"""Panels of any daemon: members as facts, lists of objects as tables, series as charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emf_manager.web.figures import quantity
from emf_manager.web.panels.blocks import (
    Block,
    Cell,
    Chart,
    Facts,
    Head,
    Mark,
    Table,
    Words,
    cut,
    words,
)

__all__ = ["generic"]

MOST_COLUMNS = 10
MOST_FACTS = 60
LONGEST = 300
MOST_CHARTS = 12


def generic(value: Any, series: Mapping[str, str]) -> tuple[Block, ...]:
    """Return panels for a value of any shape; ``series`` are those it has, with their units."""
    blocks: list[Block] = []
    match value:
        case dict():
            plain = {name: one for name, one in value.items() if not isinstance(one, dict | list)}
            facts, _ = cut(plain.items(), MOST_FACTS)
            if facts:
                blocks.append(Facts("Value", tuple((name, cell(one)) for name, one in facts)))
            for name, one in list(value.items())[:MOST_FACTS]:
                if isinstance(one, list) and (table := table_of(name, one)):
                    blocks.append(table)
                elif isinstance(one, dict) and one and all(map(is_plain, one.values())):
                    pairs = tuple((key, cell(each)) for key, each in list(one.items())[:MOST_FACTS])
                    blocks.append(Facts(name, pairs))
        case list():
            if table := table_of("Value", value):
                blocks.append(table)
        case _:
            blocks.append(Facts("Value", (("value", cell(value)),)))
    named, _ = cut(series, MOST_CHARTS)
    return (*(Chart(name, ((name, name),)) for name in named), *blocks)


def is_plain(value: Any) -> bool:
    """Tell whether a value fits a cell."""
    return not isinstance(value, dict | list)


def table_of(title: str, listed: list[Any]) -> Table | None:
    """Return a table of a list of objects; None where it is none."""
    if not listed or not all(isinstance(one, dict) for one in listed):
        return None
    names = dict.fromkeys(
        name for one in listed[:100] for name, each in one.items() if is_plain(each)
    )
    columns = list(names)[:MOST_COLUMNS]
    if not columns:
        return None
    numbers = {
        name for name in columns
        if all(isinstance(one.get(name), int | float | None) for one in listed[:100])
    }  # fmt: skip
    rows, beyond = cut(tuple(cell(one.get(name)) for name in columns) for one in listed)
    heads = tuple(Head(name, number=name in numbers) for name in columns)
    return Table(title, heads, rows, beyond=beyond)


def cell(value: Any) -> Cell:
    """Return a plain value as a cell."""
    if isinstance(value, bool):
        return Mark("yes", "ok") if value else Mark("no", "idle")
    if isinstance(value, float):
        return Words(f"{value:.6g}")
    if isinstance(value, int):
        text = quantity(value) if abs(value) >= 100_000 else str(value)
        return Words(text, title=str(value)[:LONGEST])
    if isinstance(value, dict | list):
        return Words("…", title="see the value as it came")
    if isinstance(value, str) and len(value) > LONGEST:
        return Words(value[:LONGEST] + "…")
    return words(value)
