"""``emf watch``: one daemon on one node as it changes, pushed by the manager, never polled."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio
import click

from emf_agent.errors import UsageError
from emf_manager.client.data import of_daemon
from emf_manager.client.durations import Seconds
from emf_manager.client.numbers import quantity, sparkline
from emf_manager.client.output import hint, one_line, say_json, say_jsonl, table, tidy
from emf_manager.client.program import talks

if TYPE_CHECKING:
    from emf_manager.client.door import Door

__all__ = ["watch"]

BARS = 24
"""Values in a line of bars."""
EARLIER_S = 600
MOST_ROWS = 200
HISTORY_AT_ONCE = 20


@click.command()
@click.argument("fqdn", metavar="NODE")
@click.argument("daemon")
@click.option("--series", "wanted", metavar="NAME", multiple=True, help="Only these; * and ?.")
@click.option(
    "--interval", "interval_s", type=Seconds(0, 86400), default=0.0, help="At most this often: 30s."
)
@click.option("--count", type=click.IntRange(1), help="End after so many values.")
@click.option("--jsonl", is_flag=True, help="One JSON document a line.")
@talks
async def watch(
    door: Door,
    fqdn: str,
    daemon: str,
    wanted: tuple[str, ...],
    interval_s: float,
    count: int | None,
    *,
    jsonl: bool,
) -> None:
    """Follow DAEMON on NODE: its numbers with rates, or its value where it has none."""
    shown, shown_at = 0, float("-inf")
    screen = Screen(wanted)
    async with aclosing(values(door, fqdn, daemon)) as told:
        async for item in told:
            now = anyio.current_time()
            if item["stale"] is screen.stale and now - shown_at < interval_s:
                continue
            found = await door.get(of_daemon("history", fqdn, daemon))
            series = chosen(found["series"], wanted)
            if jsonl:
                say_jsonl({**item, "series": {one["name"]: one["last"] for one in series}})
            elif not series:
                tell_value(item)
            else:
                await screen.begin(door, of_daemon("history", fqdn, daemon), series)
                screen.tell(item, series)
            screen.stale = item["stale"]
            shown, shown_at = shown + 1, now
            if shown == count:
                return


async def values(door: Door, fqdn: str, daemon: str) -> AsyncGenerator[Any, None]:
    """Yield the value now and at each change; ends with a word where the node was removed."""
    from emf_manager.client.follow import follow_stream

    path = f"{of_daemon('data', fqdn, daemon)}/stream"
    async with aclosing(follow_stream(door, path, {}, last_id=None)) as events:
        async for event in events:
            if event is None:
                continue
            if event.kind == "gone":
                hint(f"{fqdn} {daemon} is gone: {one_line(event.data)}")
                return
            if event.kind == "value":
                yield event.data


def chosen(series: Iterable[dict[str, Any]], wanted: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the series whose names fit one of the patterns.

    Raises:
        UsageError: a pattern fits none.

    """
    found = list(series)
    if not wanted:
        return found
    kept: dict[str, dict[str, Any]] = {}
    for pattern in wanted:
        form = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
        fitting = {one["name"]: one for one in found if form.fullmatch(one["name"])}
        if not fitting:
            near = "emf data NODE DAEMON --list-series shows them"
            raise UsageError(f"no series is called {pattern!r}; {near}")
        kept |= fitting
    return list(kept.values())


def tell_value(item: Any) -> None:
    hint(heading(item))
    say_json(item["value"])


def heading(item: Any) -> str:
    mark = "; STALE: the node is silent or the session is over" if item["stale"] else ""
    return tidy(f"{item['node']} {item['daemon']}: as of {item['as_of']}{mark}")


class Screen:
    """What is on a terminal: a table that is drawn anew, with the last values as bars."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self._wanted = wanted
        self._bars: dict[str, deque[float | None]] = {}
        self._live = sys.stdout.isatty()
        self.stale: bool | None = None

    async def begin(self, door: Door, path: str, series: list[dict[str, Any]]) -> None:
        """Fill the bars, once, with what was before."""
        new = [one["name"] for one in series[:MOST_ROWS] if one["name"] not in self._bars]
        for start in range(0, len(new), HISTORY_AT_ONCE):
            names = new[start : start + HISTORY_AT_ONCE]
            asked = {"series": names, "last": EARLIER_S, "points": BARS}
            told = await door.get(path, asked)
            for one in told["series"]:
                self._bars[one["name"]] = deque(one["mean"][-BARS:-1], maxlen=BARS)

    def tell(self, item: Any, series: list[dict[str, Any]]) -> None:
        """Draw the table."""
        if self._live:
            click.clear()
        hint(heading(item))
        rows = []
        for one in series[:MOST_ROWS]:
            bars = self._bars.setdefault(one["name"], deque(maxlen=BARS))
            bars.append(one["last"])
            per_second = one["kind"] == "counter"
            last = quantity(one["last"], one["unit"], per_second=per_second)
            rows.append([one["name"], last, sparkline(list(bars))])
        table(["series", "last", "lately"], rows)
        if len(series) > MOST_ROWS:
            hint(f"{len(series) - MOST_ROWS} more; choose with --series")
