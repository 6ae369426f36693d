"""What people and machines read: tables, JSON, colour; a node's words never drive a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

__all__ = ["age", "hint", "one_line", "say_json", "say_jsonl", "table", "tidy"]

STATE_COLOURS = {
    "connected": "green",
    "active": "green",
    "ok": "green",
    "alive": "green",
    "done": "green",
    "succeeded": "green",
    "silent": "red",
    "failed": "red",
    "refused": "red",
    "critical": "red",
    "open": "red",
    "timed_out": "red",
    "unknown": "red",
    "no answer": "red",
    "stale": "yellow",
    "expired": "yellow",
    "cancelled": "yellow",
    "skipped": "yellow",
    "warning": "yellow",
    "acknowledged": "cyan",
    "cleared": "green",
    "running": "cyan",
    "pending": "cyan",
}


def say_json(value: Any) -> None:
    """Print one document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def say_jsonl(value: Any) -> None:
    """Print one line of a stream."""
    click.echo(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def hint(text: str) -> None:
    """Say something to the person that is not data."""
    click.echo(text, err=True)


def tidy(text: str) -> str:
    """Return a text with its control characters spelt out, so that it cannot drive a terminal."""
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def one_line(value: Any, *, width: int | None = None) -> str:
    """Return a value as one tidy line, cut to a width if given."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = tidy(text).replace("\n", "\\n").replace("\t", " ")
    return line if width is None or len(line) <= width else line[: width - 1] + "…"


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print aligned columns; states are coloured on a terminal."""
    cells = [["-" if cell is None else one_line(cell) for cell in row] for row in rows]
    widths = [
        max(len(line[column]) for line in [list(headers), *cells]) for column in range(len(headers))
    ]
    click.echo(padded([header.upper() for header in headers], widths, lambda text: text))
    for line in cells:
        click.echo(padded(line, widths, coloured))


def padded(line: Sequence[str], widths: Sequence[int], dress: Any) -> str:
    parts = [
        dress(cell) + " " * (width - len(cell)) for cell, width in zip(line, widths, strict=True)
    ]
    return "  ".join(parts).rstrip()


def coloured(cell: str) -> str:
    colour = STATE_COLOURS.get(cell)
    return click.style(cell, fg=colour) if colour else cell


def age(seconds: float | None) -> str:
    """Return an age as people say it: ``3s``, ``5m``, ``2h``, ``4d``."""
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, round(seconds))}s"
