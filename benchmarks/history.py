"""What the history adds to the manager: hearing, writing, making coarser, reading.

A fleet that is simulated says a value of thirty series for each daemon every ten seconds. Beside
the history stands what the manager does anyway: writing the same values as latest ones.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio

from emf_manager.agents.values import Host
from emf_manager.catalogue import Catalogue
from emf_manager.desk import Desk
from emf_manager.history.book import HistoryBook
from emf_manager.records import LatestValue, Node
from emf_manager.store.connections import sqlite_url
from emf_manager.store.interface import Changes
from emf_manager.store.sql import SqlStore, open_store

INTERFACES = 5
NAMES = ("bytes", "packets", "errs", "drop", "multicast")
COUNTER = {"type": "integer", "x-emf-series": {"kind": "counter", "unit": "bytes"}}
GAUGE = {"type": "number", "x-emf-series": {"kind": "gauge", "unit": "threads"}}
SCHEMA: Any = {
    "properties": {
        "load": {"properties": dict.fromkeys(("one", "five", "fifteen", "a", "b"), GAUGE)},
        "interfaces": {
            "items": {
                "properties": {
                    "name": {"type": "string", "x-emf-key": True},
                    **dict.fromkeys(NAMES, COUNTER),
                }
            }
        },
    }
}
DAEMONS = ("host", "network", "stats")
CATALOGUE = Catalogue("d", "c", (), frozenset(), dict.fromkeys(DAEMONS, SCHEMA))
AT_ONCE = 64
EVERY_S = 10.0


class Clock:
    """Time that the benchmark moves."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def now(self) -> float:
        """Return monotonic seconds."""
        return self.at

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return self.at

    async def wait(self, event: anyio.Event, until: float | None) -> bool:
        """Wait for nothing: this clock is moved by hand."""
        raise NotImplementedError


class Spent:
    """Processor and wall seconds, by what they were spent on."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Count a block."""
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            self.cpu[what] = self.cpu.get(what, 0.0) + time.process_time() - cpu
            self.wall[what] = self.wall.get(what, 0.0) + time.perf_counter() - wall


def said(at: float, node: int, busy: random.Random) -> Any:
    """Return a value: a third of the counters moves at random, the others evenly or not at all."""
    return {
        "load": {
            name: round(busy.uniform(0, 8), 2) for name in ("one", "five", "fifteen", "a", "b")
        },
        "interfaces": [
            {
                "name": f"eth{number}",
                "bytes": int(at * 1e6) + busy.randrange(10**7),
                "packets": int(at * 800) + busy.randrange(10**4),
                "errs": 0,
                "drop": node,
                "multicast": int(at),
            }
            for number in range(INTERFACES)
        ],
    }


async def measure(folder: Path, nodes: int, minutes: float) -> dict[str, Any]:
    clock, spent, busy = Clock(), Spent(), random.Random(1)
    names = [f"node{number:04}.example.com" for number in range(nodes)]
    desks = {
        name: Desk(Node(name, enrolled=1.0), Host(name), catalogue=CATALOGUE) for name in names
    }
    database = folder / "manager.db"
    async with open_store(sqlite_url(database)) as store:
        await store.record(Changes(nodes=tuple(desk.node for desk in desks.values())))
        book = HistoryBook(
            store.history, clock, life_of=lambda name: 1.0 if name in desks else None
        )
        rounds = max(1, round(minutes * 60 / EVERY_S))
        anyway = store.written.commits
        recorded = 0
        for turn in range(rounds):
            clock.at += EVERY_S
            values = [
                LatestValue(name, daemon, "s", turn, said(clock.at, place, busy), clock.at)
                for place, name in enumerate(names)
                for daemon in DAEMONS
            ]
            if turn == 0:
                with spent.on("record"):
                    await record(store, values)
                recorded, anyway = len(values), store.written.commits - anyway
                size_before = database.stat().st_size
            with spent.on("hear"):
                for value in values:
                    book.heard(desks[value.node], Changes(values=(value,)))
            before = store.written.commits
            with spent.on("write"):
                await book.write()
            commits = store.written.commits - before
        await book.write(everything=True)
        with spent.on("thin"):
            clock.at += 3 * 3600
            await book.thin_out()
        with spent.on("read"):
            end = clock.at - 3 * 3600
            series = (await book.series(names[0], "network"))[:6]
            await book.read(
                names[0], "network", series, start=end - minutes * 60, end=end, points=300
            )
    count = nodes * len(DAEMONS) * rounds
    with closing(sqlite3.connect(database)) as raw:
        sizes = dict(
            raw.execute("SELECT step, sum(length(body)) FROM history GROUP BY step").fetchall()
        )
    hours = minutes / 60 * nodes * len(DAEMONS) * 30
    return {
        "values": count,
        "series": nodes * len(DAEMONS) * 30,
        "record_cpu_us_per_value": round(spent.cpu["record"] / recorded * 1e6, 1),
        "hear_cpu_us_per_value": round(spent.cpu["hear"] / count * 1e6, 1),
        "write_cpu_us_per_value": round(spent.cpu["write"] / count * 1e6, 1),
        "history_to_record_cpu": round(
            (spent.cpu["hear"] + spent.cpu["write"]) / count / (spent.cpu["record"] / recorded), 3
        ),
        "commits_for_one_round_of_values": anyway,
        "commits_of_the_history_in_a_round": commits,
        "thin_cpu_s_per_half_hour_of_a_thousand_nodes": round(
            spent.cpu["thin"] / (minutes / 30) * 1000 / nodes, 1
        ),
        "read_six_series_ms": round(spent.wall["read"] * 1000, 1),
        "bytes_per_series_hour": {str(step): round(size / hours) for step, size in sizes.items()},
        "store_growth_mib": round((database.stat().st_size - size_before) / 2**20, 1),
    }


async def record(store: SqlStore, values: list[LatestValue]) -> None:
    """Write values as posts of agents do: each its own, many at once."""
    for start in range(0, len(values), AT_ONCE):
        async with anyio.create_task_group() as tasks:
            for value in values[start : start + AT_ONCE]:
                tasks.start_soon(store.record, Changes(values=(value,)))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=31.0)
    parser.add_argument("--json", type=Path, help="store the figures, too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="emf-history-") as folder:
        figures = anyio.run(measure, Path(folder), asked.nodes, asked.minutes)
    for name, value in figures.items():
        print(f"{name:48} {value}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
