"""One action's life, from accepted to its verdict: locks, slot, deadline, and what stops it."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
from pydantic import JsonValue

from emf_agent.action_call import RESULT_BYTES, ActionCall, Verdict
from emf_agent.action_reports import Reports, refusal
from emf_agent.detached import DetachedActions, Order, own_environment
from emf_agent.errors import JournalError
from emf_agent.journal import Journal
from emf_agent.plugin import ActionContext, ActionFinished, ActionNotice
from emf_agent.registry import Registry
from emf_agent.wire import ActionStarted, Err, OutcomeKind

__all__ = ["ActionLife", "ActionLimits", "Running", "stopped_with_the_agent"]


@dataclass(frozen=True)
class ActionLimits:
    """What bounds all actions of a node."""

    concurrent: int = 32
    waiting: int = 1000
    """Accepted actions that have not ended; more are refused."""
    default_timeout_s: float = 600.0
    result_bytes: int = RESULT_BYTES


@dataclass
class Running:
    """An accepted action that has not ended."""

    id: str
    name: str
    plugin: str
    locks: tuple[str, ...] = ()
    call: ActionCall | None = None
    """How it is called in this process; None where it is in a unit already."""
    args: JsonValue = None
    bound: Mapping[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    timeout_s: float = math.inf
    expires_at: float | None = None
    requester: str | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    cancel_asked: bool = False
    cancelled_for: str = ""
    """Why, where it was not the manager who asked."""
    started: bool = False
    detached: bool = False
    """It runs, or is to run, in a unit of its own."""
    in_unit: bool = False
    stopped: Verdict | None = None
    """What came of stopping its unit, where that is more than its end."""


@dataclass
class ActionLife:
    """What all actions live by: who may run when, and in which order the journal hears of it."""

    registry: Registry
    journal: Journal
    limits: ActionLimits
    reports: Reports
    wall_clock: Callable[[], float]
    detached: DetachedActions | None

    def __post_init__(self) -> None:
        """Begin with every slot and lock free."""
        self._slots = anyio.CapacityLimiter(self.limits.concurrent)
        self._locks: dict[str, anyio.Lock] = {}

    async def verdict(self, running: Running, has_its_locks: Callable[[], None]) -> Verdict | None:
        """Wait for locks and slot, run it under its deadline, and judge how it ended.

        None: it is left to its unit, and its outcome to the next process. ``has_its_locks`` is
        called when nobody else can have them any more.
        """
        deadline = anyio.current_time() + running.timeout_s
        verdict: Verdict | None = None
        with running.scope, anyio.move_on_at(deadline) as limit:
            async with AsyncExitStack() as held:
                for name in running.locks:
                    await held.enter_async_context(self._locked(name))
                has_its_locks()
                await held.enter_async_context(self._slots)
                verdict = await self._start(running)
                if verdict is None:
                    verdict = await self._observed(running, deadline)
        if verdict is not None:
            return verdict
        timed_out = limit.cancelled_caught
        if running.in_unit and not (timed_out or running.cancel_asked):
            return None
        return running.stopped or self._stopped(running, timed_out=timed_out)

    @staticmethod
    def _stopped(running: Running, *, timed_out: bool) -> Verdict:
        """Return the verdict on an action that was stopped before it had one."""
        why = f"cancelled: {running.cancelled_for}" if running.cancelled_for else "cancelled"
        if timed_out:
            why = f"timed out after {running.timeout_s:g} s"
        if running.call is not None and running.call.runs_on:
            why += ", but could not be stopped: its worker thread runs on"
            return Verdict("unknown", Err(text=why), reason=why)
        return Verdict("timed_out" if timed_out else "cancelled", Err(text=why))

    async def _start(self, running: Running) -> Verdict | None:
        """Record that it begins; returns a verdict where it must not."""
        if running.started:
            return None
        if running.expires_at is not None and self.wall_clock() > running.expires_at:
            return Verdict("expired", Err(text="expired before it could start"))
        try:
            await self.journal.start(running.id)
        except JournalError as error:
            return refusal(str(error))
        running.started = True
        self.reports.tell(ActionStarted(id=running.id))
        return None

    @asynccontextmanager
    async def _locked(self, name: str) -> AsyncGenerator[None]:
        """Hold a named lock; a name nobody wants any more is forgotten."""
        lock = self._locks.setdefault(name, anyio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and not lock.statistics().tasks_waiting:
                self._locks.pop(name, None)

    async def _observed(self, running: Running, deadline: float) -> Verdict:
        notice = ActionNotice(
            action_id=running.id,
            name=running.name,
            plugin=running.plugin,
            requester=running.requester,
        )
        began = anyio.current_time()
        self.registry.observe_started(notice)
        kind: OutcomeKind | None = None
        try:
            verdict = await self._called(running, deadline)
            kind = verdict.kind
            return verdict
        finally:
            if kind is None:
                late = anyio.current_time() >= deadline
                kind = "timed_out" if late else "cancelled"
            seconds = anyio.current_time() - began
            self.registry.observe_finished(ActionFinished(notice, kind, seconds))

    async def _called(self, running: Running, deadline: float) -> Verdict:
        """Have it done, here or in a unit of its own."""
        if running.detached:
            return await self._in_its_unit(running, deadline)
        report = partial(self.reports.progress, running.id)
        assert running.call is not None, "only what is in a unit already has none"
        context = ActionContext(
            action_id=running.id, dry_run=running.dry_run, deadline=deadline, report=report
        )
        return await running.call.verdict(running.bound, context)

    async def _in_its_unit(self, running: Running, deadline: float) -> Verdict:
        """Begin and follow it; stopped where its time is over or a cancel came, else left alone."""
        assert self.detached is not None, "else it is not detached"
        resumed = running.in_unit
        try:
            if not resumed:
                order = Order(
                    id=running.id,
                    action=running.name,
                    args=running.args,
                    timeout_s=deadline - anyio.current_time(),
                    result_bytes=self.limits.result_bytes,
                    environment=own_environment(),
                )
                with anyio.CancelScope(shield=True):
                    running.in_unit = True
                    not_begun = await self.detached.begin(order)
                if not_begun is not None:
                    running.in_unit = False
                    return not_begun
            report = partial(self.reports.progress, running.id)
            return await self.detached.follow(running.id, report, resumed=resumed)
        except anyio.get_cancelled_exc_class():
            if running.cancel_asked or anyio.current_time() >= deadline:
                with anyio.CancelScope(shield=True):
                    running.stopped = await self.detached.stop(running.id)
            raise


def stopped_with_the_agent(running: Running) -> Verdict:
    """Return the verdict on an action whose agent ends."""
    if running.started:
        return Verdict(
            "unknown", Err(text="the agent was stopped while it ran"), reason="agent-stop"
        )
    return Verdict("cancelled", Err(text="the agent was stopped before it started"))
