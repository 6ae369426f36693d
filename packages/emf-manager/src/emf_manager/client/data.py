"""``emf data``: what a daemon said last, and what its numbers were."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from emf_agent.errors import UsageError
from emf_manager.client.durations import Seconds
from emf_manager.client.numbers import quantity, sparkline
from emf_manager.client.output import age, hint, say_json, table, tidy
from emf_manager.client.program import as_json, talks

if TYPE_CHECKING:
    from emf_manager.client.door import Door

__all__ = ["data", "of_daemon"]

LONGEST_S = 366 * 86400.0


@click.command()
@click.argument("fqdn", metavar="NODE")
@click.argument("daemon")
@click.option("--list-series", "listed", is_flag=True, help="List the numbers that are kept.")
@click.option("--history", metavar="SERIES", multiple=True, help="Show what a number was.")
@click.option(
    "--since", "since_s", type=Seconds(1, LONGEST_S), help="How far back: 30m, 1h (default), 7d."
)
@click.option("--points", type=click.IntRange(1, 2000), help="About how many points (60).")
@as_json
@talks
async def data(
    door: Door,
    fqdn: str,
    daemon: str,
    history: tuple[str, ...],
    since_s: float | None,
    points: int | None,
    *,
    listed: bool,
    json_out: bool,
) -> None:
    """Show the latest value of DAEMON on NODE, and how old it is."""
    if history:
        await tell_history(
            door, of_daemon("history", fqdn, daemon), history, since_s, points, json_out=json_out
        )
        return
    if since_s is not None or points is not None:
        raise UsageError("--since and --points go with --history SERIES")
    if listed:
        await tell_series(door, of_daemon("history", fqdn, daemon), json_out=json_out)
        return
    await tell_latest(door, of_daemon("data", fqdn, daemon), json_out=json_out)


def of_daemon(what: str, fqdn: str, daemon: str) -> str:
    """Return the path of something that belongs to a daemon on a node."""
    return f"{what}/{quote(fqdn, safe='')}/{quote(daemon, safe='')}"


async def tell_latest(door: Door, path: str, *, json_out: bool) -> None:
    found = await door.get(path)
    if json_out:
        say_json(found)
        return
    mark = "; STALE: the node is silent or the session is over" if found["stale"] else ""
    hint(f"{found['node']} {found['daemon']}: as of {found['as_of']} ({age(found['age_s'])}){mark}")
    say_json(found["value"])


async def tell_series(door: Door, path: str, *, json_out: bool) -> None:
    found = await door.get(path)
    if json_out:
        say_json(found)
        return
    table(
        ["series", "kind", "last", "as of"],
        (
            [
                each["name"],
                each["kind"],
                quantity(each["last"], each["unit"], per_second=each["kind"] == "counter"),
                each["at"],
            ]
            for each in found["series"]
        ),
    )


async def tell_history(
    door: Door,
    path: str,
    names: tuple[str, ...],
    since_s: float | None,
    points: int | None,
    *,
    json_out: bool,
) -> None:
    asked = {"series": list(names), "last": since_s, "points": points or 60}
    found = await door.get(path, asked)
    if json_out:
        say_json(found)
        return
    for each in found["series"]:
        tell_one(found["times"], each)


def tell_one(times: list[float], series: dict[str, Any]) -> None:
    per_second = series["kind"] == "counter"

    def shown(column: str, place: int) -> str:
        return quantity(series[column][place], series["unit"], per_second=per_second)

    hint(f"{tidy(series['name'])}  {sparkline(series['mean'])}")
    table(
        ["time", "mean", "min", "max"],
        (
            [clock(at), shown("mean", place), shown("min", place), shown("max", place)]
            for place, at in enumerate(times)
        ),
    )


def clock(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")
