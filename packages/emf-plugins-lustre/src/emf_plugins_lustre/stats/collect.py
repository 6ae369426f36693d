"""One reading of the node: runs ``lctl`` and ``lnetctl``, reads what they print off the loop.

A command that fails or runs out of time makes the reading partial, never empty-handed: what it
printed until then is read. Exit status and standard error of ``lctl get_param`` say nothing,
since a pattern without a match fails the whole call; only its absence, a signal or a time-out do.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TypeVar

import anyio
import anyio.to_thread

from emf_agent.command import CommandNotFoundError, open_command
from emf_agent.errors import CommandError
from emf_plugins_lustre.stats.dump import read_dump
from emf_plugins_lustre.stats.job_pipeline import JobPipeline
from emf_plugins_lustre.stats.lnet import read_lnet
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.own_metrics import Cost
from emf_plugins_lustre.stats.parameters import asked_patterns
from emf_plugins_lustre.stats.records import Record
from emf_plugins_lustre.stats.settings import StatsSettings

__all__ = ["JOB_PATTERNS", "Reading", "Wanted", "collect"]

T = TypeVar("T")
JOB_PATTERNS = ("obdfilter.*OST*.job_stats", "mdt.*.job_stats")
MOST_OUTPUT = 512 * 1024 * 1024
FEED_BYTES = 128 * 1024
GRACE_S = 1.0
ANY_EXIT_CODE = range(256)


@dataclass(frozen=True)
class Wanted:
    """What to read: which parameters, and what of LNet."""

    groups: frozenset[str] | None = None
    extended: bool = True
    lnet: bool = True
    lnet_peers: bool = False
    timeout_s: float = 20.0

    @classmethod
    def of(cls, settings: StatsSettings, *, extended: bool = True) -> Wanted:
        """Return what settings ask for; ``extended`` may only take away."""
        return cls(
            groups=frozenset(settings.groups) if settings.groups is not None else None,
            extended=settings.extended and extended,
            lnet=settings.lnet,
            lnet_peers=settings.lnet_peers,
            timeout_s=settings.command_timeout_s,
        )

    def commands(self) -> dict[str, Sequence[str]]:
        """Return the commands by the name that metrics give them; jobs not among them."""
        commands: dict[str, Sequence[str]] = {}
        patterns = asked_patterns(self.groups, extended=self.extended)
        if patterns:
            commands["lctl get_param"] = ["lctl", "get_param", *patterns]
        if self.lnet:
            commands["lnetctl net show"] = ["lnetctl", "net", "show", "-v", "4"]
            commands["lnetctl stats show"] = ["lnetctl", "stats", "show"]
            commands["lnetctl global show"] = ["lnetctl", "global", "show"]
        if self.lnet_peers:
            commands["lnetctl peer show"] = ["lnetctl", "peer", "show", "-v", "4"]
        return commands


@dataclass
class Reading:
    """What one pass over the node gave; ``cost.failures`` says why it is partial, if it is."""

    records: list[Record] = field(default_factory=list)
    losses: Losses = field(default_factory=Losses)
    cost: Cost = field(default_factory=Cost)

    @property
    def has_lctl(self) -> bool:
        """Tell whether there is an ``lctl`` on this node at all."""
        return self.cost.failures.get("lctl get_param") != NOT_FOUND


NOT_FOUND = "not found"
JOBS = "lctl get_param job_stats"


async def collect(wanted: Wanted, jobs: Callable[[Losses], JobPipeline] | None = None) -> Reading:
    """Read the node once; the commands run side by side, parsing in worker threads.

    ``jobs`` makes the pipeline that takes the job statistics; without it they are not read.
    """
    reading = Reading()
    began = time.monotonic()
    parts: dict[str, list[Record]] = {}
    async with anyio.create_task_group() as tasks:
        for name, argv in wanted.commands().items():
            tasks.start_soon(_read_whole, reading, parts, name, argv, wanted.timeout_s)
        if jobs is not None:
            pipeline = jobs(Losses(JOBS))
            tasks.start_soon(_read_jobs, reading, pipeline, wanted.timeout_s)
    for name in wanted.commands():
        reading.records += parts.get(name, [])
    reading.cost.records = len(reading.records)
    reading.cost.wall_seconds = time.monotonic() - began
    return reading


async def _read_whole(
    reading: Reading,
    parts: dict[str, list[Record]],
    name: str,
    argv: Sequence[str],
    timeout_s: float,
) -> None:
    chunks: list[bytes] = []
    taken = 0

    async def take(chunk: bytes) -> None:
        nonlocal taken
        taken += len(chunk)
        if taken > MOST_OUTPUT:
            raise _TooMuchError
        chunks.append(chunk)

    await _run(reading.cost, name, argv, take, timeout_s)
    losses = Losses(name)
    stop = Event()
    parse = _parse_lctl if argv[0] == "lctl" else _parse_lnet
    try:
        parts[name] = await _in_thread(
            reading.cost, partial(parse, chunks, losses, stop), abandon=True
        )
    finally:
        stop.set()
    reading.cost.bytes += taken
    reading.losses.merge(losses)


async def _read_jobs(reading: Reading, pipeline: JobPipeline, timeout_s: float) -> None:
    waiting = bytearray()

    async def take(chunk: bytes) -> None:
        waiting.extend(chunk)
        if len(waiting) >= FEED_BYTES:
            fed = bytes(waiting)
            waiting.clear()
            await _in_thread(reading.cost, partial(pipeline.feed, fed))

    argv = ["lctl", "get_param", *JOB_PATTERNS]
    await _run(reading.cost, JOBS, argv, take, timeout_s)
    await _in_thread(reading.cost, partial(pipeline.feed, bytes(waiting)))
    await _in_thread(reading.cost, pipeline.close)
    pipeline.account(reading.cost)
    reading.losses.merge(pipeline.losses)


async def _run(
    cost: Cost,
    name: str,
    argv: Sequence[str],
    take: Callable[[bytes], Awaitable[None]],
    timeout_s: float,
) -> None:
    began = time.monotonic()
    try:
        with anyio.move_on_after(timeout_s) as scope:
            async with open_command(argv, grace_s=GRACE_S) as stream:
                while chunk := await stream.read():
                    await take(chunk)
                await stream.finished(ANY_EXIT_CODE)
        if scope.cancelled_caught:
            cost.failures[name] = "timeout"
    except CommandNotFoundError:
        cost.failures[name] = NOT_FOUND
    except CommandError:
        cost.failures[name] = "failed"
    except _TooMuchError:
        cost.failures[name] = "too much output"
    finally:
        cost.command_seconds[name] = time.monotonic() - began


class _TooMuchError(Exception):
    """A command printed more than a node can mean to say."""


def _parse_lctl(chunks: list[bytes], losses: Losses, stop: Event) -> list[Record]:
    return list(read_dump(chunks, losses, stop=stop.is_set))


def _parse_lnet(chunks: list[bytes], losses: Losses, _stop: Event) -> list[Record]:
    return list(read_lnet(b"".join(chunks), losses))


async def _in_thread(cost: Cost, call: Callable[[], T], *, abandon: bool = False) -> T:
    """Run a call in a worker thread and add its CPU time to the cost.

    ``abandon`` leaves the thread behind when cancelled: for calls that look at a stop event. The
    others are done in milliseconds, and what they work on may be closed right after.
    """

    def timed() -> tuple[T, float]:
        began = time.thread_time()
        return call(), time.thread_time() - began

    result, seconds = await anyio.to_thread.run_sync(timed, abandon_on_cancel=abandon)
    cost.cpu_seconds += seconds
    return result
