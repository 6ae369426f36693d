"""What the daemons said over time: heard as it comes, written now and then, read for charts.

Values are heard on the manager's hot path and only noted; every few seconds what is full goes to
the store in one transaction, with the packing in a thread. A manager that is killed loses what is
not written yet, at most some minutes: the latest values are durable, the history is not at once.
"""

from __future__ import annotations

import itertools
import logging
import math
import zlib
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn

import anyio
import anyio.to_thread

from emf_manager.background import running_beside
from emf_manager.clock import Clock, SystemClock
from emf_manager.desk import Desk
from emf_manager.history.blocks import Block, BlockError, coarser, pack, unpack
from emf_manager.history.downsampling import Bucket, Point, resample, step_for
from emf_manager.history.recorder import Recorder, Rows
from emf_manager.history.tiers import TIERS, Tier, choose, complete_until, kept_for
from emf_manager.seats import Seats
from emf_manager.series import Mark, read_samples
from emf_manager.store.history import HistoryRow, HistoryStore
from emf_manager.store.interface import Changes, StoreError

__all__ = ["HistoryBook", "HistoryView", "SeriesView", "open_history"]

logger = logging.getLogger(__name__)

WRITE_EVERY_S = 5.0
ROWS = 60
"""Values in one block."""
AT_ONCE = 500
"""Blocks in one transaction."""
WAITING = 5_000
"""Blocks that wait for a store that takes none; older ones are dropped."""
DAEMONS = 64
"""Daemons of one node that have a history."""
IDLE_S = 3600.0
KEEP_S = 30 * 86400.0
END_S = 3.0

Key = tuple[str, str]


@asynccontextmanager
async def open_history(
    store: HistoryStore, seats: Seats, *, keep_s: float = KEEP_S, clock: Clock | None = None
) -> AsyncGenerator[HistoryBook, None]:
    """Hear what nodes say, write it while open, and once more at the end."""

    def life_of(fqdn: str) -> float | None:
        desk = seats.known(fqdn)
        return None if desk is None else life(desk)

    book = HistoryBook(store, clock or SystemClock(), life_of=life_of, tiers=kept_for(keep_s))
    seats.listen(book.heard)
    async with running_beside(book.run):
        yield book


def life(desk: Desk) -> float:
    """Return what tells a node from an earlier one of its name: when it enrolled."""
    return desk.node.enrolled or 0.0


@dataclass(frozen=True)
class SeriesView:
    """One series of one daemon on one node."""

    name: str
    mark: Mark
    last: float | None
    """A gauge's last value, a counter's last rate per second; None where it is not known."""
    at: float | None
    buckets: tuple[Bucket | None, ...] = ()
    """What was asked for, one for each step; None where there is nothing."""


@dataclass(frozen=True)
class HistoryView:
    """Series over a span: bucket ``n`` begins at ``start + n * step``."""

    start: float
    step: float
    series: tuple[SeriesView, ...]


@dataclass(frozen=True)
class Unwritten:
    """Rows on their way to the store."""

    key: Key
    life: float
    rows: Rows


class HistoryBook:
    """One per process; ``run`` is a task of the server's."""

    def __init__(
        self,
        store: HistoryStore,
        clock: Clock,
        *,
        life_of: Callable[[str], float | None],
        most: int = 500,
        tiers: Sequence[Tier] = TIERS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._life_of = life_of
        self._most = most
        self._tiers = tiers
        self._recorders: dict[str, tuple[float, dict[str, Recorder]]] = {}
        self._waiting: list[Unwritten] = []
        self._made_until = [0.0 for _ in tiers]
        self.samples = 0
        """Numbers noted since the start."""
        self.cut = 0
        """Values of which some series were left out."""
        self.lost_blocks = 0
        self.written_blocks = 0

    # Hearing

    def heard(self, desk: Desk, changes: Changes) -> None:
        """Note the numbers of a node's new values."""
        if desk.catalogue is None:
            return
        for value in changes.values:
            shapes = desk.catalogue.shapes(value.daemon)
            if not shapes:
                continue
            recorder = self._recorder(desk.node.fqdn, life(desk), value.daemon)
            if recorder is None:
                continue
            samples, complete = read_samples(value.body, shapes, most=self._most)
            self.samples += recorder.take(value.received, samples)
            self.cut += not complete

    def _recorder(self, node: str, life: float, daemon: str) -> Recorder | None:
        known = self._recorders.get(node)
        if known is None or known[0] != life:
            known = self._recorders[node] = (life, {})
        recorder = known[1].get(daemon)
        if recorder is None and len(known[1]) < DAEMONS:
            recorder = known[1][daemon] = Recorder(most=self._most)
        return recorder

    # Writing

    async def run(self) -> NoReturn:
        """Write, make coarser and prune until cancelled; then write what there is."""
        try:
            while True:
                await self._clock.wait(anyio.Event(), self._clock.now() + WRITE_EVERY_S)
                await self._tend()
        finally:
            with anyio.move_on_after(END_S, shield=True):
                try:
                    await self.write(everything=True)
                except StoreError as error:
                    logger.error("the last minutes of the history are lost: %s", error)

    async def _tend(self) -> None:
        try:
            await self.write()
            await self.thin_out()
        except StoreError as error:
            logger.error("the history stands still, trying again: %s", error)
        except Exception:
            logger.exception("the history failed, trying again")

    async def write(self, *, everything: bool = False) -> None:
        """Write what is full, or all; what could not be written waits.

        Raises:
            StoreError: it could not be written.

        """
        self._collect(everything=everything)
        while self._waiting:
            some = self._waiting[:AT_ONCE]
            rows = await anyio.to_thread.run_sync(packed, some)
            await self._store.add([r for r in rows if r is not None])
            self.written_blocks += len(rows)
            del self._waiting[: len(some)]

    def _collect(self, *, everything: bool) -> None:
        wall = self._clock.wall()
        for node, (life, recorders) in list(self._recorders.items()):
            if self._life_of(node) != life:
                del self._recorders[node]
                continue
            for daemon, recorder in list(recorders.items()):
                if recorder.rows.times and (everything or self._is_full(node, daemon, recorder)):
                    self._waiting.append(Unwritten((node, daemon), life, recorder.hand_over()))
                elif not recorder.rows.times and wall - recorder.heard > IDLE_S:
                    del recorders[daemon]
        self._waiting = [one for one in self._waiting if self._life_of(one.key[0]) == one.life]
        too_many = len(self._waiting) - WAITING
        if too_many > 0:
            self.lost_blocks += too_many
            del self._waiting[:too_many]

    def _is_full(self, node: str, daemon: str, recorder: Recorder) -> bool:
        """Tell whether it is time; daemons that began together are spread over the time."""
        times, block_s = recorder.rows.times, self._tiers[0].block_s
        phase = zlib.crc32(f"{node}/{daemon}".encode()) / 2**32 * block_s
        slot = math.floor((times[0] + phase) / block_s)
        return len(times) >= ROWS or math.floor((self._clock.wall() + phase) / block_s) > slot

    # Making coarser

    async def thin_out(self) -> None:
        """Make each tier from the one below it as far as that is complete; drop what is old.

        Raises:
            StoreError: it could not be done; what was made stays.

        """
        now = self._clock.wall()
        for place in range(1, len(self._tiers)):
            until = complete_until(self._tiers, place, now)
            if until > self._made_until[place]:
                await self._make(place, until)
                self._made_until[place] = until
                finer = self._tiers[place - 1]
                await self._store.prune(finer.step, before=now - finer.keep_s)
                await self._store.prune(self._tiers[-1].step, before=now - self._tiers[-1].keep_s)

    async def _make(self, place: int, until: float) -> None:
        rows: list[HistoryRow] = []
        for node, daemon in await self._store.daemons(step=self._tiers[place - 1].step):
            rows += await self._made(node, daemon, place, until)
            if len(rows) >= AT_ONCE:
                await self._store.add(rows)
                rows = []
        await self._store.add(rows)

    async def _made(self, node: str, daemon: str, place: int, until: float) -> list[HistoryRow]:
        finer, tier = self._tiers[place - 1], self._tiers[place]
        reach = await self._store.reach(node, daemon, tier.step) or 0.0
        if reach >= until:
            return []
        found = await self._store.read(node, daemon, finer.step, after=reach, before=until)
        return await anyio.to_thread.run_sync(made_coarser, found, tier, reach, until)

    # Reading

    async def series(self, node: str, daemon: str) -> tuple[SeriesView, ...]:
        """Return what series there are, by name; none where there is no history."""
        rows: list[HistoryRow] = []
        for tier in reversed(self._tiers):
            reach = await self._store.reach(node, daemon, tier.step)
            if reach is not None:
                rows += await self._store.read(
                    node, daemon, tier.step, after=reach - 1e-3, before=math.inf
                )
        found = await anyio.to_thread.run_sync(lambda: last_seen(opened(rows)))
        found.update(last_seen(one.block() for one in self._unwritten(node, daemon)))
        recorder = self._known(node, daemon)
        for name, newest in recorder.newest.items() if recorder is not None else ():
            found[name] = SeriesView(name, newest.mark, newest.shown, newest.at)
        return tuple(found[name] for name in sorted(found))

    async def read(
        self,
        node: str,
        daemon: str,
        wanted: Sequence[SeriesView],
        *,
        start: float,
        end: float,
        points: int,
    ) -> HistoryView:
        """Return series between two times in at most so many points."""
        step = step_for(end - start, points)
        age_s = self._clock.wall() - start
        place = choose(self._tiers, step=step, age_s=age_s)
        step = max(step, self._tiers[place].step)
        begin = math.floor(start / step) * step
        count = math.ceil((end - begin) / step)
        blocks = await self._blocks(node, daemon, place, begin, end)
        series = await anyio.to_thread.run_sync(
            resampled, wanted, blocks, begin, float(step), count
        )
        return HistoryView(begin, step, series)

    async def _blocks(
        self, node: str, daemon: str, place: int, start: float, end: float
    ) -> list[tuple[float, Block]]:
        """Return blocks, and from when each answers: coarse ones first, finer ones after them."""
        # Looked at before the store: what is written meanwhile then counts twice rather than never.
        unwritten = self._unwritten(node, daemon)
        found: list[tuple[float, Block]] = []
        after = start
        for tier in reversed(self._tiers[: place + 1]):
            rows = await self._store.read(node, daemon, tier.step, after=after, before=end)
            found += [(after, block) for block in await anyio.to_thread.run_sync(opened, rows)]
            if rows and tier.step:
                after = max(after, *(row.until for row in rows))
        return [*found, *((after, rows.block()) for rows in unwritten)]

    def _unwritten(self, node: str, daemon: str) -> list[Rows]:
        waiting = [one.rows for one in self._waiting if one.key == (node, daemon)]
        recorder = self._known(node, daemon)
        return waiting if recorder is None else [*waiting, recorder.rows]

    def _known(self, node: str, daemon: str) -> Recorder | None:
        known = self._recorders.get(node)
        if known is None or self._life_of(node) != known[0]:
            return None
        return known[1].get(daemon)


def packed(some: Sequence[Unwritten]) -> list[HistoryRow | None]:
    """Return rows of the store; None for what holds no series."""
    return [row_of(*one.key, 0, one.rows.block()) for one in some]


def row_of(
    node: str, daemon: str, step: int, block: Block, *, until: float | None = None
) -> HistoryRow | None:
    if not block.series:
        return None
    last = block.times[-1] + 1.0 if until is None else until
    return HistoryRow(node, daemon, step, block.times[0], last, pack(block))


def opened(rows: Iterable[HistoryRow]) -> list[Block]:
    """Return the blocks of rows; one that is damaged is logged and passed over."""
    blocks = []
    for row in rows:
        try:
            blocks.append(unpack(row.body))
        except BlockError as error:
            logger.error("%s of %s from %s: %s", row.daemon, row.node, row.start, error)
    return blocks


def made_coarser(
    found: Sequence[HistoryRow], tier: Tier, after: float, until: float
) -> list[HistoryRow]:
    """Return blocks of a tier for every span of it that has anything, from finer ones."""
    blocks = opened(found)
    spans = {math.floor(at / tier.block_s) for block in blocks for at in block.times}
    made = []
    for span in sorted(spans):
        start, end = span * tier.block_s, (span + 1) * tier.block_s
        if after <= start and end <= until:
            inside = [b for b in blocks if b.times[0] < end and b.times[-1] >= start]
            block = coarser(inside, step=tier.step, start=start, end=end)
            row = row_of(found[0].node, found[0].daemon, tier.step, block, until=end)
            made += [] if row is None else [row]
    return made


def last_seen(blocks: Iterable[Block]) -> dict[str, SeriesView]:
    """Return each series with its last bucket."""
    found: dict[str, SeriesView] = {}
    for block in blocks:
        for name, mark, point in block.newest():
            found[name] = SeriesView(name, mark, point.bucket.last, point.at)
    return found


def resampled(
    wanted: Sequence[SeriesView],
    blocks: Sequence[tuple[float, Block]],
    start: float,
    step: float,
    count: int,
) -> tuple[SeriesView, ...]:
    def points(name: str) -> Iterable[Point]:
        return itertools.chain.from_iterable(
            (point for point in block.points(name) if point.at >= after) for after, block in blocks
        )

    return tuple(
        SeriesView(
            one.name,
            one.mark,
            one.last,
            one.at,
            resample(points(one.name), start=start, step=step, count=count),
        )
        for one in wanted
    )
