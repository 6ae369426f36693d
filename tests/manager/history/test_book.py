"""The history over a real store: heard, written now and then, made coarser, read for charts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import anyio
import pytest

from emf_manager.agents import values as v
from emf_manager.catalogue import Catalogue
from emf_manager.desk import Desk
from emf_manager.history.book import DAEMONS, HistoryBook, SeriesView
from emf_manager.records import LatestValue, Node
from emf_manager.store.history import HistoryRow
from emf_manager.store.interface import Changes, Store, StoreFullError
from emf_manager.store.sql import open_store
from tests.manager.engine_bench import FakeClock

pytestmark = pytest.mark.anyio

NODE = "oss1.example.com"
HOUR = 3600.0
SCHEMA: Any = {
    "type": "object",
    "properties": {
        "load": {"type": "number", "x-emf-series": {"kind": "gauge", "unit": "threads"}},
        "sent": {"type": "integer", "x-emf-series": {"kind": "counter", "unit": "bytes"}},
    },
}
CATALOGUE = Catalogue(
    "d", "c", (), frozenset(), {"host": SCHEMA, **{f"d{n}": SCHEMA for n in range(200)}}
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the store works in threads


class Bench:
    """A book over a store, a clock, and one node that speaks."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = FakeClock()
        self.enrolled = 1.0
        self.book = self.opened()

    def opened(self) -> HistoryBook:
        """Return a book as after a restart of the manager."""
        return HistoryBook(
            self.store.history, self.clock, life_of={NODE: self.enrolled}.get, most=10
        )

    def says(self, body: Any, *, daemon: str = "host", node: str = NODE) -> None:
        desk = Desk(Node(node, enrolled=self.enrolled), v.Host(node), catalogue=CATALOGUE)
        value = LatestValue(node, daemon, "s", 1, body, self.clock.wall())
        self.book.heard(desk, Changes(values=(value,)))

    async def live(self, seconds: float, *, every: float = 10.0, rate: float = 5.0) -> None:
        """Let time pass: the node speaks, the book writes, thins out and prunes."""
        begin = self.clock.monotonic
        while self.clock.monotonic < begin + seconds:
            self.clock.monotonic += every
            now = self.clock.monotonic
            self.says({"load": now % 7, "sent": int(now * rate)})
            if (now - begin) % 60 == 0:
                await self.book.write()
            if (now - begin) % 600 == 0:
                await self.book.thin_out()

    async def read(self, name: str, seconds: float, points: int = 100) -> Any:
        (wanted,) = [one for one in await self.book.series(NODE, "host") if one.name == name]
        end = self.clock.wall() + 1
        return await self.book.read(
            NODE, "host", [wanted], start=end - seconds, end=end, points=points
        )

    async def rows(self, step: int) -> Sequence[HistoryRow]:
        return await self.store.history.read(NODE, "host", step, after=0.0, before=1e12)


@pytest.fixture
async def bench() -> AsyncGenerator[Bench, None]:
    async with open_store("sqlite://") as store:
        await store.record(Changes(nodes=(Node(NODE, enrolled=1.0),)))
        yield Bench(store)


def means(view: Any) -> list[float]:
    return [bucket.mean for bucket in view.series[0].buckets if bucket is not None]


async def test_what_is_not_written_yet_can_be_read(bench: Bench) -> None:
    await bench.live(60)

    view = await bench.read("sent", 60, points=6)

    assert view.step == 10
    assert means(view) == [pytest.approx(5)] * 5, "the first value of a counter has no rate"
    assert await bench.rows(0) == ()


async def test_series_are_listed_with_kind_unit_and_last(bench: Bench) -> None:
    await bench.live(30)

    shown = {one.name: one for one in await bench.book.series(NODE, "host")}

    assert list(shown) == ["load", "sent"]
    assert (shown["sent"].mark.kind, shown["sent"].mark.unit) == ("counter", "bytes")
    assert shown["sent"].last == pytest.approx(5)
    assert shown["load"].last == bench.clock.monotonic % 7
    assert await bench.book.series(NODE, "network") == ()
    assert await bench.book.series("stranger", "host") == ()


async def test_values_are_written_in_few_rows_and_read_on_after_a_restart(bench: Bench) -> None:
    await bench.live(HOUR / 2)
    await bench.book.write(everything=True)
    assert 6 <= len(await bench.rows(0)) <= 8

    bench.book = bench.opened()
    view = await bench.read("load", HOUR / 2, points=200)

    assert len(means(view)) >= 170
    assert set(means(view)) == set(range(7))
    assert [one.name for one in await bench.book.series(NODE, "host")] == ["load", "sent"]


@pytest.mark.slow  # two days of values
async def test_a_day_and_a_month_are_coarser_and_the_newest_is_never_missing(bench: Bench) -> None:
    await bench.live(50 * HOUR, every=60.0)

    assert bench.clock.wall() - (await bench.rows(0))[0].start < 3 * HOUR
    assert bench.clock.wall() - (await bench.rows(60))[0].start < 36 * HOUR
    assert len(await bench.rows(600)) >= 6
    for hours, points in ((1, 60), (12, 100), (24, 144), (48, 48)):
        view = await bench.read("sent", hours * HOUR, points)
        assert len(means(view)) >= 0.95 * hours * HOUR / view.step
        assert means(view) == [pytest.approx(5, rel=1e-3)] * len(means(view))
        assert view.series[0].buckets[-2] is not None


async def test_a_reset_and_a_silence_are_holes(bench: Bench) -> None:
    await bench.live(60)
    bench.clock.monotonic += 120
    bench.says({"sent": 1})
    bench.clock.monotonic += 10
    bench.says({"sent": 11})

    view = await bench.read("sent", 190, points=19)

    assert means(view) == [pytest.approx(5)] * 5 + [pytest.approx(1)]
    assert view.series[0].buckets.count(None) >= 12


async def test_a_store_that_takes_nothing_loses_nothing_for_a_while(bench: Bench) -> None:
    class Full:
        async def add(self, rows: Sequence[HistoryRow]) -> None:
            raise StoreFullError("the store")

    await bench.live(100)
    real, bench.book._store = bench.book._store, Full()  # type: ignore[assignment]
    with pytest.raises(StoreFullError):
        await bench.book.write(everything=True)
    bench.book._store = real
    assert len(means(await bench.read("load", 100, points=10))) == 10

    await bench.book.write(everything=True)
    assert len(await bench.rows(0)) == 1


async def test_a_node_that_went_leaves_nothing_to_its_namesake(bench: Bench) -> None:
    await bench.live(100)
    bench.enrolled = 2.0
    lives: Mapping[str, float] = {NODE: 2.0}
    bench.book._life_of = lives.get

    assert await bench.book.series(NODE, "host") == ()
    await bench.book.write(everything=True)
    assert await bench.rows(0) == ()

    await bench.live(20)
    assert len(means(await bench.read("load", 100, points=10))) == 2


@pytest.mark.parametrize(
    "body", [None, [], {}, "text", {"load": "x"}, {"load": float("nan")}, {"sent": True}]
)
async def test_a_value_that_is_none_of_its_schema_adds_nothing(bench: Bench, body: Any) -> None:
    bench.says(body)
    bench.says({"load": 1}, daemon="unknown")

    assert bench.book.samples == 0


async def test_daemons_of_one_node_are_bounded(bench: Bench) -> None:
    for number in range(200):
        bench.says({"load": 1}, daemon=f"d{number}")

    assert bench.book.samples == DAEMONS


async def test_a_damaged_block_costs_itself_alone(bench: Bench) -> None:
    await bench.live(600)
    await bench.book.write(everything=True)
    first, *_ = await bench.rows(0)
    await bench.store.history.add(
        [HistoryRow(NODE, "host", 0, first.start, first.until, b"damaged")]
    )

    assert means(await bench.read("load", 600, points=60))


async def test_the_book_writes_by_itself_and_once_more_at_the_end(bench: Bench) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.book.run)
        await anyio.wait_all_tasks_blocked()
        bench.says({"load": 1})
        tasks.cancel_scope.cancel()

    assert len(await bench.rows(0)) == 1


async def test_a_full_disk_does_not_spoil_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_: Sequence[HistoryRow]) -> None:
        raise StoreFullError("the test's disk")

    monkeypatch.setattr(bench.store.history, "add", refuse)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.book.run)
        await anyio.wait_all_tasks_blocked()
        bench.says({"load": 1})
        tasks.cancel_scope.cancel()

    assert "the last minutes of the history are lost" in caplog.text


async def test_an_unknown_series_has_no_points(bench: Bench) -> None:
    await bench.live(60)
    end = bench.clock.wall()
    unknown = SeriesView("none", CATALOGUE.shapes("host")[0].members["load"][0].mark, None, None)  # type: ignore[arg-type]

    view = await bench.book.read(NODE, "host", [unknown], start=end - 60, end=end, points=6)

    assert set(view.series[0].buckets) == {None}
