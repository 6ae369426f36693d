"""Rollouts at run time: one task that releases and stops what is held, as the rules say.

What is in memory is a copy of what the store says, and is read again whenever the two may differ:
at the start, after an error, after a node was forgotten by other hands. An outcome on disk is all
it waits for, so a manager that is killed anywhere goes on where it was.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import anyio

from emf_manager import rollouts as r
from emf_manager.clock import Clock
from emf_manager.records import Event, Job, Target
from emf_manager.store.interface import OutcomeVerdict, Store, StoreError

__all__ = ["RolloutBook"]

logger = logging.getLogger(__name__)

STORE_PAUSE_S = 1.0


@dataclass(eq=False)
class Run:
    """One job some of whose nodes are held."""

    job: Job
    rolling: r.Rolling | None = None
    """None until it is read."""
    stale: bool = True
    """It has to be read, or read again."""
    news: deque[r.Event] = field(default_factory=deque)
    """Bounded by the job's targets: each has one outcome, and at most one correction of it."""
    lock: anyio.Lock = field(default_factory=anyio.Lock)


class RolloutBook:
    """Every job that is under way batch by batch."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        offer: Callable[[Job, Sequence[Target]], Awaitable[None]],
        announce: Callable[[tuple[Event, ...]], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._offer = offer
        self._announce = announce
        self._runs: dict[str, Run] = {}
        self._alarm = anyio.Event()

    def follow(self, job: Job) -> None:
        """Take charge of a job that is on disk with held targets."""
        self._runs[job.id] = Run(job)
        self._alarm.set()

    def ended(self, verdicts: Sequence[OutcomeVerdict]) -> None:
        """Take note of outcomes that are on disk."""
        for verdict in verdicts:
            run = self._runs.get(verdict.job_id or "")
            if run is not None and verdict.verdict in ("recorded", "resolved"):
                outcome = verdict.outcome
                run.news.append(r.Ended(outcome.action_id, outcome.kind, outcome.reason))
                self._alarm.set()

    def forgotten(self, fqdn: str) -> None:
        """Take note that a node's targets may have ended by other hands: read again."""
        logger.debug("rollouts are read again, node=%s is not what it was", fqdn)
        for run in self._runs.values():
            run.stale = True
            self._alarm.set()

    def held_on(self) -> Counter[str]:
        """Count what is held, by node."""
        return Counter(
            piece.node
            for run in self._runs.values()
            if run.rolling is not None
            for piece in run.rolling.held
        )

    async def cancel(
        self, job: Job, targets: Iterable[Target], nodes: Collection[str] | None
    ) -> None:
        """End what is held of a job, on these nodes or all, at once; StoreError."""
        run = self._runs.get(job.id) or Run(job)
        async with run.lock:
            rolling = r.resume(job, targets) if run.rolling is None else run.rolling
            await self._take(run, rolling, r.Cancelled(nodes))

    async def run(self) -> NoReturn:
        """Do what is due, whenever something has ended or a deadline has come."""
        while True:
            self._alarm = anyio.Event()
            for run in tuple(self._runs.values()):
                if run.stale or run.news or self._is_late(run):
                    await self._turn(run)
            if not self._alarm.is_set():
                await self._clock.wait(self._alarm, self._next())

    async def _turn(self, run: Run) -> None:
        try:
            async with run.lock:
                rolling = await self._read(run) if run.stale else run.rolling
                if rolling is None:
                    return
                while run.news:
                    rolling = await self._take(run, rolling, run.news.popleft())
                await self._take(run, rolling, r.Tick())
        except StoreError as error:
            logger.error("a rollout stands still job=%s: %s", run.job.id, error)
            await self._clock.wait(anyio.Event(), self._clock.now() + STORE_PAUSE_S)
            self._alarm.set()

    async def _read(self, run: Run) -> r.Rolling | None:
        """Return a job as the store has it; None where it is not there any more."""
        run.news.clear()
        run.stale = False
        try:
            found = await self._store.job(run.job.id)
        except StoreError:
            run.stale = True
            raise
        if found is None:
            self._drop(run)
            return None
        return r.resume(*found)

    async def _take(self, run: Run, rolling: r.Rolling, event: r.Event) -> r.Rolling:
        rolling, orders = r.step(rolling, event, self._clock.wall())
        done = False
        try:
            for order in orders:
                await self._carry_out(run, order)
            done = True
        finally:
            if not done:  # how far it came, only the store knows
                run.stale = True
                self._alarm.set()
        run.rolling = rolling
        if not rolling.held:
            self._drop(run)
        return rolling

    def _drop(self, run: Run) -> None:
        if self._runs.get(run.job.id) is run:
            del self._runs[run.job.id]

    async def _carry_out(self, run: Run, order: r.Order) -> None:
        wall, rollouts = self._clock.wall(), self._store.rollouts
        with anyio.CancelScope(shield=True):
            match order:
                case r.Release(batch, action_ids):
                    freed = await rollouts.release(run.job.id, action_ids, batch=batch, at=wall)
                    self._announce(freed.events)
                    await self._offer(run.job, freed.targets)
                case r.Stop(action_ids, kind, reason):
                    ended = await rollouts.stop(
                        run.job.id, action_ids, kind=kind, reason=reason, at=wall
                    )
                    self._announce(ended.events)

    def _is_late(self, run: Run) -> bool:
        moment = None if run.rolling is None else r.due(run.rolling)
        return moment is not None and moment <= self._clock.wall()

    def _next(self) -> float | None:
        """Return when the first deadline comes, in the clock's monotonic seconds."""
        rolling = [run.rolling for run in self._runs.values() if run.rolling is not None]
        moments = [moment for one in rolling if (moment := r.due(one)) is not None]
        wall = min(moments, default=None)
        return None if wall is None else self._clock.now() + max(0.0, wall - self._clock.wall())
