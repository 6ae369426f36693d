"""Runs what the manager orders: each id at most once, under its deadline, with one honest outcome.

An action outlives the session and the connection that brought it. Its three durable points are in
the journal: accepted before it is confirmed, started before the effect, finished before it is sent
(reliability, section 4).
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
from pydantic import JsonValue

from emf_agent.command import CommandStuckError
from emf_agent.errors import ActionError, JournalError
from emf_agent.journal import Acceptance, Accepted, Journal, Outcome
from emf_agent.plugin import (
    ActionContext,
    ActionFinished,
    ActionNotice,
    ArgumentsError,
    Progress,
)
from emf_agent.registry import RegisteredAction, Registry
from emf_agent.wire import (
    ActionAccepted,
    ActionProgress,
    ActionReport,
    ActionResult,
    ActionStart,
    ActionStarted,
    CancelState,
    Err,
    Ok,
    OutcomeKind,
)

__all__ = ["ActionLimits", "ActionRunner", "Reports", "Verdict", "result_of"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActionLimits:
    """What bounds all actions of a node."""

    concurrent: int = 32
    waiting: int = 1000
    """Accepted actions that have not ended; more are refused."""
    default_timeout_s: float = 600.0
    result_bytes: int = 1024 * 1024


@dataclass(frozen=True)
class Verdict:
    """How an action ended, before it is written down."""

    kind: OutcomeKind
    result: Ok | Err
    reason: str | None = None
    truncated: bool = False


class WorkerThread:
    """The call of a plain function in a worker thread, which no cancellation can stop."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.alive = False

    def __call__(self) -> Any:
        """Run the function, in the thread."""
        self.alive = True
        try:
            return self._function()
        finally:
            self.alive = False


@dataclass
class Running:
    """An accepted action that has not ended."""

    id: str
    registered: RegisteredAction
    bound: Mapping[str, Any]
    dry_run: bool
    timeout_s: float
    expires_at: float | None
    requester: str | None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    cancel_asked: bool = False
    started: bool = False
    thread: WorkerThread | None = None


class Reports:
    """Where reports go: to the session of ``action_runner`` while there is one.

    Only results matter for ever, and those are in the journal: what is said into the void is lost.
    """

    def __init__(self) -> None:
        self.listener: Callable[[ActionReport], None] | None = None

    def tell(self, report: ActionReport) -> None:
        """Pass a report on, if anybody listens."""
        if self.listener is not None:
            self.listener(report)


class ActionRunner:
    """Accepts, runs, cancels and reports actions."""

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        limits: ActionLimits,
        *,
        wall_clock: Callable[[], float],
        permit: Callable[[str, JsonValue], str | None] = lambda _name, _args: None,
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._limits = limits
        self._wall_clock = wall_clock
        self._permit = permit
        self._running: dict[str, Running] = {}
        self._ended = anyio.Event()
        self._ending: str | None = None
        self._slots = anyio.CapacityLimiter(limits.concurrent)
        self._locks: dict[str, anyio.Lock] = {}
        self._tasks: anyio.abc.TaskGroup | None = None
        self._to_acknowledge: list[str] = []
        self._something_stored = anyio.Event()
        self.reports = Reports()

    @property
    def running(self) -> int:
        """Return how many actions have been accepted and have not ended."""
        return len(self._running)

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Recover what a crash left behind, then own the tasks of all actions."""
        recovery = await self._journal.recover()
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._acknowledge)
            for acceptance in recovery.waiting:
                await self._take_up(acceptance)
            task_status.started()
            await anyio.sleep_forever()

    async def unacknowledged(self, limit: int) -> list[ActionResult]:
        """Return the oldest results that no manager has acknowledged."""
        return [
            recorded_result(one.id, one.outcome)
            for one in await self._journal.unacknowledged(limit)
        ]

    def acknowledged(self, action_id: str) -> None:
        """Take note that the manager has the result of an id on its disk."""
        self._to_acknowledge.append(action_id)
        self._something_stored.set()

    async def refuse_unreadable(self, action_id: str, why: str) -> None:
        """Answer an order that could not be read, unless its id means something here."""
        if action_id not in self._running and await self._journal.outcome(action_id) is None:
            self._tell_result(action_id, refusal(f"the order cannot be read: {why}"))

    async def _acknowledge(self) -> None:
        """Mark stored results, in batches; one that cannot be marked is sent again some day."""
        while True:
            await self._something_stored.wait()
            self._something_stored = anyio.Event()
            batch, self._to_acknowledge = self._to_acknowledge, []
            try:
                await self._journal.acknowledge(batch)
            except JournalError:
                logger.exception("%d acknowledgements could not be recorded", len(batch))

    async def _take_up(self, acceptance: Acceptance) -> None:
        """Run an action that a former process had accepted but may not have had an effect."""
        if acceptance.redacted:
            await self._finish_unrun(
                acceptance.id,
                refusal("its secret arguments were not kept over the agent's restart"),
            )
            return
        start = ActionStart(
            action=acceptance.action,
            args=json.loads(acceptance.args_json),
            id=acceptance.id,
            timeout=acceptance.timeout_s,
            dry_run=acceptance.dry_run or None,
            requester=acceptance.requester,
        )
        judged = self._judge(start, acceptance.expires_at)
        if isinstance(judged, Verdict):
            await self._finish_unrun(acceptance.id, judged)
        else:
            self._begin(judged)

    async def take(self, start: ActionStart) -> None:
        """Take an offer: journal it, confirm it, begin it. A known id is only answered again."""
        expires_at = None
        if start.expires_in is not None:
            expires_at = self._wall_clock() + start.expires_in
        judged = self._judge(start, expires_at)
        try:
            accepted = await self._journal.accept(self._acceptance(start, expires_at))
        except JournalError as error:
            # Without a record it must not run; without a record it cannot be remembered either.
            self._tell_result(start.id, refusal(f"the node's journal takes no record: {error}"))
            return
        if not isinstance(accepted, Accepted):
            if accepted.outcome is not None:
                self.reports.tell(recorded_result(start.id, accepted.outcome))
            else:
                self.reports.tell(ActionAccepted(id=start.id))
            return
        if isinstance(judged, Verdict):
            await self._finish_unrun(start.id, judged)
            return
        self.reports.tell(ActionAccepted(id=start.id))
        self._begin(judged)

    async def cancel(self, action_id: str) -> None:
        """Ask an action to stop; its one result says what came of it (P6)."""
        running = self._running.get(action_id)
        if running is not None:
            running.cancel_asked = True
            running.scope.cancel()
            self.reports.tell(CancelState(id=action_id, state="taken"))
            return
        outcome = await self._journal.outcome(action_id)
        state = CancelState(id=action_id, state="unknown_id" if outcome is None else "too_late")
        self.reports.tell(state)
        if outcome is not None:
            self.reports.tell(recorded_result(action_id, outcome))

    async def end(self, why: str) -> None:
        """Take no more orders, stop what runs, and wait for it to be gone."""
        self._ending = why
        for running in list(self._running.values()):
            running.cancel_asked = True
            running.scope.cancel()
        while self._running:
            self._ended = anyio.Event()
            await self._ended.wait()

    def _acceptance(self, start: ActionStart, expires_at: float | None) -> Acceptance:
        registered = self._registry.actions.get(start.action)
        args = start.args if registered is None else registered.action.redact(start.args)
        return Acceptance(
            id=start.id,
            action=start.action,
            args_json=json.dumps(args),
            redacted=args != start.args,
            idempotent=registered is not None and registered.action.idempotent,
            detached=registered is not None and registered.action.detached,
            expires_at=expires_at,
            timeout_s=start.timeout,
            dry_run=bool(start.dry_run),
            requester=start.requester,
        )

    def _judge(self, start: ActionStart, expires_at: float | None) -> Running | Verdict:
        """Return what is to be run, or why it is not."""
        registered = self._registry.actions.get(start.action)
        if self._ending is not None:
            return refusal(self._ending)
        if registered is None:
            return refusal(f"no action named {start.action!r} on this node")
        why = self._permit(start.action, start.args)
        if why is not None:
            return refusal(why)
        if start.dry_run and not registered.action.dry_run:
            return refusal(f"{start.action} cannot be tried without doing it (no dry run)")
        if len(self._running) >= self._limits.waiting:
            return refusal(f"{len(self._running)} actions have not ended on this node already")
        try:
            bound = registered.action.bind(start.args)
        except ArgumentsError as error:
            return refusal(str(error))
        timeout_s = start.timeout or registered.action.timeout_s or self._limits.default_timeout_s
        return Running(
            id=start.id,
            registered=registered,
            bound=bound,
            dry_run=bool(start.dry_run),
            timeout_s=timeout_s,
            expires_at=expires_at,
            requester=start.requester,
        )

    def _begin(self, running: Running) -> None:
        assert self._tasks is not None, "run() owns the tasks"
        self._running[running.id] = running
        self._tasks.start_soon(self._live, running)

    async def _live(self, running: Running) -> None:
        began = anyio.current_time()
        verdict: Verdict
        try:
            verdict = await self._verdict(running)
        except anyio.get_cancelled_exc_class():
            # The agent ends: say so in the journal, briefly, and go.
            with anyio.move_on_after(2.0, shield=True):
                await self._record(running.id, stopped_with_the_agent(running), began)
            raise
        finally:
            self._running.pop(running.id, None)
        await self._record(running.id, verdict, began)
        self._ended.set()

    async def _verdict(self, running: Running) -> Verdict:
        """Wait for slot and locks, run it under its deadline, and judge how it ended."""
        action = running.registered.action
        deadline = anyio.current_time() + running.timeout_s
        verdict: Verdict | None = None
        timed_out = False
        with running.scope:
            with anyio.move_on_at(deadline) as limit:
                async with AsyncExitStack() as held:
                    for name in action.lock_names(running.bound):
                        await held.enter_async_context(self._locked(name))
                    await held.enter_async_context(self._slots)
                    if running.expires_at is not None and self._wall_clock() > running.expires_at:
                        return Verdict("expired", Err(text="expired before it could start"))
                    try:
                        await self._journal.start(running.id)
                    except JournalError as error:
                        return refusal(str(error))
                    running.started = True
                    self.reports.tell(ActionStarted(id=running.id))
                    verdict = await self._observed(running, deadline)
            timed_out = limit.cancelled_caught
        if verdict is not None:
            return verdict
        why = f"timed out after {running.timeout_s:g} s" if timed_out else "cancelled"
        if self._ending and not timed_out:
            why = f"cancelled: {self._ending}"
        if running.thread is not None and running.thread.alive:
            why += ", but could not be stopped: its worker thread runs on"
            return Verdict("unknown", Err(text=why), reason=why)
        return Verdict("timed_out" if timed_out else "cancelled", Err(text=why))

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
            name=running.registered.action.name,
            plugin=running.registered.plugin,
            requester=running.requester,
        )
        began = anyio.current_time()
        self._registry.observe_started(notice)
        kind: OutcomeKind = "cancelled" if running.cancel_asked else "timed_out"
        try:
            verdict = await self._called(running, deadline)
            kind = verdict.kind
            return verdict
        finally:
            seconds = anyio.current_time() - began
            self._registry.observe_finished(ActionFinished(notice, kind, seconds))

    async def _called(self, running: Running, deadline: float) -> Verdict:
        """Call the function; everything it can raise becomes a verdict (W-A4)."""
        action = running.registered.action
        stall_owner = f"{running.registered.plugin}:{action.name}"  # noqa: F841 - for the stall watch
        try:
            value = await self._awaited(
                running,
                ActionContext(
                    action_id=running.id,
                    dry_run=running.dry_run,
                    deadline=deadline,
                    report=partial(self._progress, running.id),
                ),
            )
            return self._cut(Ok(value=action.encode(value)))
        except CommandStuckError as error:
            return Verdict("unknown", Err(text=str(error)), reason=str(error))
        except ActionError as error:
            return Verdict("failed", Err(text=str(error)))
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            logger.exception("action=%s id=%s crashed", action.name, running.id)
            return Verdict("failed", Err(text=f"{type(error).__name__}: {error}"))

    async def _awaited(self, running: Running, context: ActionContext) -> Any:
        action = running.registered.action
        arguments = action.with_context(running.bound, context)
        if action.is_async:
            return await action.function(**arguments)
        running.thread = WorkerThread(partial(action.function, **arguments))
        return await anyio.to_thread.run_sync(running.thread, abandon_on_cancel=True)

    def _cut(self, result: Ok) -> Verdict:
        text = json.dumps(result.value)
        if len(text) <= self._limits.result_bytes:
            return Verdict("ok", result)
        cut = result.value if isinstance(result.value, str) else text
        return Verdict(
            "ok",
            Ok(value=cut[: self._limits.result_bytes]),
            reason=f"the result of {len(text)} bytes was cut to {self._limits.result_bytes}",
            truncated=True,
        )

    def _progress(self, action_id: str, progress: Progress) -> None:
        self.reports.tell(
            ActionProgress(
                id=action_id,
                fraction=progress.fraction,
                message=progress.message,
                log=progress.log or None,
            )
        )

    async def _finish_unrun(self, action_id: str, verdict: Verdict) -> None:
        await self._record(action_id, verdict, None)

    async def _record(self, action_id: str, verdict: Verdict, began: float | None) -> None:
        seconds = None if began is None else round(anyio.current_time() - began, 6)
        outcome = Outcome(
            kind=verdict.kind,
            result_json=verdict.result.model_dump_json(),
            reason=verdict.reason,
            seconds=seconds,
            truncated=verdict.truncated,
        )
        try:
            with anyio.CancelScope(shield=True):
                await self._journal.finish(action_id, outcome)
        except JournalError:
            # Sent all the same: after a restart the id is unknown here, which is the truth.
            logger.exception("the outcome of id=%s could not be recorded", action_id)
        self.reports.tell(recorded_result(action_id, outcome))

    def _tell_result(self, action_id: str, verdict: Verdict) -> None:
        self.reports.tell(
            ActionResult(
                id=action_id, result=verdict.result, outcome=verdict.kind, reason=verdict.reason
            )
        )


def refusal(why: str) -> Verdict:
    """Return the verdict on an action that was not begun."""
    return Verdict("refused", Err(text=why), reason=why)


def stopped_with_the_agent(running: Running) -> Verdict:
    """Return the verdict on an action whose agent ends."""
    if running.started:
        return Verdict(
            "unknown", Err(text="the agent was stopped while it ran"), reason="agent-stop"
        )
    return Verdict("cancelled", Err(text="the agent was stopped before it started"))


def recorded_result(action_id: str, outcome: Outcome) -> ActionResult:
    """Return the report of an outcome that is in the journal."""
    return ActionResult(
        id=action_id,
        result=result_of(outcome),
        outcome=outcome.kind,
        reason=outcome.reason,
        seconds=outcome.seconds,
        truncated=outcome.truncated or None,
    )


def result_of(outcome: Outcome) -> Ok | Err:
    """Return an outcome's result in the wire's form."""
    value = json.loads(outcome.result_json)
    return Ok.model_validate(value) if "Ok" in value else Err.model_validate(value)
