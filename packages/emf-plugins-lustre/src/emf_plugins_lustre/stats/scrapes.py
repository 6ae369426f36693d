"""Scrapes: one reading at a time answers all who ask, and for a moment those who come after.

The text of a scrape can be hundreds of megabytes, so it is rendered once into a file that
leaves memory when it is large; every response reads it at its own pace.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

import anyio
import anyio.to_thread

from emf_agent.command import run
from emf_plugins_lustre.stats.collect import Reading, Wanted, collect
from emf_plugins_lustre.stats.exposition_compat import CompatExposition
from emf_plugins_lustre.stats.exposition_jobs import JobExposition, compat_jobs
from emf_plugins_lustre.stats.exposition_native import NativeExposition
from emf_plugins_lustre.stats.exposition_native_jobs import native_jobs
from emf_plugins_lustre.stats.exposition_text import END
from emf_plugins_lustre.stats.job_pipeline import JobPipeline
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.own_metrics import own_families
from emf_plugins_lustre.stats.settings import StatsSettings

__all__ = ["Ask", "Rendered", "Scrapes"]

KEPT_IN_MEMORY = 1 << 20
PIECE = 64 * 1024


@dataclass(frozen=True)
class Ask:
    """What one request wants; equal asks share a reading."""

    mode: Literal["compat", "native"] = "compat"
    jobs: bool = False
    reset: bool = False


class Rendered:
    """The text of one scrape in a file; closed when nobody holds it any more."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.made_at = time.monotonic()
        self._file = tempfile.SpooledTemporaryFile(max_size=KEPT_IN_MEMORY)  # noqa: SIM115 - release() closes it
        self._lock = Lock()
        self._holders = 1

    def write(self, pieces: Iterator[bytes]) -> None:
        """Take the text; in a worker thread."""
        for piece in pieces:
            self._file.write(piece)
        self.made_at = time.monotonic()

    def read(self, offset: int) -> bytes:
        """Return the next piece from an offset, empty at the end; in a worker thread."""
        with self._lock:
            self._file.seek(offset)
            return self._file.read(PIECE)

    def hold(self) -> None:
        """Keep it open for one more holder."""
        self._holders += 1

    def release(self) -> None:
        """Give it up; the last holder closes the file."""
        self._holders -= 1
        if self._holders == 0:
            self._file.close()


@dataclass
class Scrapes:
    """Answers asks from the node, or from a reading that is young enough."""

    settings: StatsSettings
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    _cache: dict[Ask, Rendered] = field(default_factory=dict)
    _locks: dict[Ask, anyio.Lock] = field(default_factory=dict)

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncIterator[Rendered]:
        """Give a rendered scrape; asks that are equal wait for one reading.

        Raises CommandError where a reset was asked for and failed.
        """
        async with self._locks.setdefault(ask, anyio.Lock()):
            rendered = self._cache.get(ask)
            age = None if rendered is None else time.monotonic() - rendered.made_at
            if rendered is None or age is None or age >= self.settings.cache_s or ask.reset:
                self._drop(ask)
                rendered = self._cache[ask] = await self._scrape(ask)
            rendered.hold()
        try:
            yield rendered
        finally:
            rendered.release()

    def own_text(self, rendered: Rendered) -> bytes:
        """Return the metrics about the reading, as of now, and the end mark."""
        families = own_families(
            rendered.reading.cost,
            age_seconds=time.monotonic() - rendered.made_at,
            lost=self.lost,
            failed=self.failed,
        )
        return "".join([*families.text(), END]).encode("utf-8", "replace")

    def expire(self) -> None:
        """Give up what is too old to answer anybody."""
        now = time.monotonic()
        for ask, rendered in tuple(self._cache.items()):
            if now - rendered.made_at >= self.settings.cache_s:
                self._drop(ask)

    def close(self) -> None:
        """Give up everything."""
        for ask in tuple(self._cache):
            self._drop(ask)

    def _drop(self, ask: Ask) -> None:
        rendered = self._cache.pop(ask, None)
        if rendered is not None:
            rendered.release()

    async def _scrape(self, ask: Ask) -> Rendered:
        settings, native = self.settings, ask.mode == "native"
        jobs = native_jobs() if native else compat_jobs()
        skip_zero = settings.job.skip_zero_rows

        def pipeline(losses: Losses) -> JobPipeline:
            return JobPipeline(
                losses,
                jobs.add,
                criteria=settings.job.criteria(),
                skip_zero_rows=native if skip_zero is None else skip_zero,
            )

        with jobs:
            wanted = Wanted.of(settings, extended=native)
            reading = await collect(wanted, pipeline if ask.jobs else None)
            self.lost.update(reading.losses.counts)
            self.failed.update(reading.cost.failures.items())
            if jobs.duplicates:
                reading.cost.left_out["duplicate_jobs"] = jobs.duplicates
            if ask.reset:
                await run(["lctl", "set_param", "mdt.*.md_stats", "0"], timeout_s=30)
            rendered = Rendered(reading)
            try:
                await _in_thread(lambda: rendered.write(_text(reading, jobs, native=native)))
            except BaseException:
                rendered.release()
                raise
        return rendered


def _text(reading: Reading, jobs: JobExposition, *, native: bool) -> Iterator[bytes]:
    yield from jobs.text()
    exposition = NativeExposition() if native else CompatExposition()
    exposition.add_all(reading.records)
    reading.records.clear()  # the text is what a scrape is kept as
    for text in exposition.families.text():
        yield text.encode("utf-8", "replace")


async def _in_thread(call: Callable[[], None]) -> None:
    # Not abandoned: the thread writes into files that are closed right after.
    await anyio.to_thread.run_sync(call)
