"""Runs what the manager orders: each id at most once, under its deadline, with one honest outcome.

An action outlives the session and the connection that brought it, and a long one the agent itself.
Its three durable points are in the journal: accepted before it is confirmed, started before the
effect, finished before it is sent (reliability, section 4).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import anyio
import anyio.abc
from pydantic import JsonValue

from emf_agent.action_call import ActionCall, Verdict
from emf_agent.action_life import ActionLife, ActionLimits, Running, stopped_with_the_agent
from emf_agent.action_reports import Reports, outcome_of, recorded_result, refusal
from emf_agent.detached import DetachedActions
from emf_agent.errors import JournalError
from emf_agent.journal import Acceptance, Accepted, Journal, Known, Recovery
from emf_agent.plugin import ArgumentsError
from emf_agent.registry import RegisteredAction, Registry
from emf_agent.wire import (
    ActionAccepted,
    ActionResult,
    ActionStart,
    CancelState,
    Err,
)

__all__ = ["ActionLimits", "ActionRunner"]

logger = logging.getLogger(__name__)

TIDY_EVERY_S = 3600.0


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
        detached: DetachedActions | None = None,
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._limits = limits
        self._wall_clock = wall_clock
        self._permit = permit
        self._detached = detached
        self._unrecovered: str | None = "the journal was not read yet"
        self._running: dict[str, Running] = {}
        self._ended = anyio.Event()
        self._ending: str | None = None
        self._tasks: anyio.abc.TaskGroup | None = None
        self._to_acknowledge: list[str] = []
        self._something_stored = anyio.Event()
        self.reports = Reports()
        self._life = ActionLife(registry, journal, limits, self.reports, wall_clock, detached)

    @property
    def running(self) -> int:
        """Return how many actions have been accepted and have not ended."""
        return len(self._running)

    @property
    def fault(self) -> str | None:
        """Return why this node takes no actions; None where it takes them."""
        return self._journal.fault or self._unrecovered

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Recover what a crash left behind, then own the tasks of all actions."""
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._acknowledge)
            await self._recover()
            task_status.started()
            while True:
                await anyio.sleep(TIDY_EVERY_S)
                await self._tidy()

    async def _recover(self) -> None:
        """Go on where a former process ended; until that is possible, no action is taken."""
        try:
            recovery = await self._journal.recover()
        except JournalError as error:
            self._unrecovered = str(error)
            logger.error("no actions are taken: %s", error)
            return
        self._unrecovered = None
        await self._resume(recovery)

    async def _resume(self, recovery: Recovery) -> None:
        assert self._tasks is not None, "run() owns the tasks"
        if self._detached is not None:
            await self._detached.sweep([one.id for one in recovery.detached])
        for acceptance in recovery.detached:
            await self._follow(acceptance)
        for acceptance in recovery.waiting:
            await self._take_up(acceptance)

    async def _tidy(self) -> None:
        """Do now and then what may wait: recover, where that failed; collect garbage, when idle."""
        if self._unrecovered is not None:
            await self._recover()
        elif not self._running:
            try:
                await self._journal.collect_garbage()
            except JournalError as error:
                logger.warning("the journal could not be tidied: %s", error)

    async def unacknowledged(self, limit: int) -> list[ActionResult]:
        """Return the oldest results that no manager has acknowledged; none that cannot be read."""
        try:
            waiting = await self._journal.unacknowledged(limit)
        except JournalError as error:
            logger.warning("results cannot be read now: %s", error)
            return []
        return [recorded_result(one.id, one.outcome) for one in waiting]

    def acknowledged(self, action_id: str) -> None:
        """Take note that the manager has the result of an id on its disk."""
        self._to_acknowledge.append(action_id)
        self._something_stored.set()

    async def refuse_unreadable(self, action_id: str, why: str) -> None:
        """Answer an order that could not be read, unless its id means something here."""
        if action_id not in self._running and await self._known(action_id) is None:
            self.reports.unrecorded(action_id, refusal(f"the order cannot be read: {why}"))

    async def _known(self, action_id: str) -> Known | None:
        """Return what is known of an id; nothing where the journal cannot be read."""
        try:
            return await self._journal.known(action_id)
        except JournalError as error:
            logger.warning("what is known of id=%s cannot be read: %s", action_id, error)
            return None

    async def _acknowledge(self) -> None:
        """Mark stored results, in batches; one that cannot be marked is sent again some day."""
        while True:
            await self._something_stored.wait()
            self._something_stored = anyio.Event()
            batch, self._to_acknowledge = self._to_acknowledge, []
            try:
                await self._journal.acknowledge(batch)
            except JournalError as error:
                logger.warning("%d acknowledgements are not recorded: %s", len(batch), error)

    async def _follow(self, acceptance: Acceptance) -> None:
        """Go on with an action that a former process had begun in a unit of its own."""
        assert self._tasks is not None, "run() owns the tasks"
        if self._detached is None:
            why = "its unit cannot be asked for: this process has no units"
            await self._record(acceptance.id, Verdict("unknown", Err(text=why), "unit-lost"), None)
            return
        registered = self._registry.actions.get(acceptance.action)
        running = Running(
            id=acceptance.id,
            name=acceptance.action,
            plugin="" if registered is None else registered.plugin,
            locks=locks_of(registered, json.loads(acceptance.args_json)),
            requester=acceptance.requester,
            started=True,
            detached=True,
            in_unit=True,
        )
        self._running[running.id] = running
        # Before anything else begins, it has its locks again.
        await self._tasks.start(self._live, running)

    async def _take_up(self, acceptance: Acceptance) -> None:
        """Run an action that a former process had accepted but may not have had an effect."""
        if acceptance.redacted:
            why = "its secret arguments were not kept over the agent's restart"
            await self._record(acceptance.id, refusal(why), None)
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
            await self._record(acceptance.id, judged, None)
        else:
            self._begin(judged)

    async def take(self, start: ActionStart) -> None:
        """Take an offer: journal it, confirm it, begin it. A known id is only answered again."""
        if self._unrecovered is not None:
            await self._refuse_unrecovered(start.id)
            return
        expires_at = None
        if start.expires_in is not None:
            expires_at = self._wall_clock() + start.expires_in
        judged = self._judge(start, expires_at)
        try:
            accepted = await self._journal.accept(self._acceptance(start, expires_at))
        except JournalError as error:
            # Without a record it must not run; without a record it cannot be remembered either.
            why = f"the node's journal takes no record: {error}"
            self.reports.unrecorded(start.id, refusal(why))
            return
        if not isinstance(accepted, Accepted):
            self._answer_again(start.id, accepted)
        elif isinstance(judged, Verdict):
            await self._record(start.id, judged, None)
        else:
            self.reports.tell(ActionAccepted(id=start.id))
            self._begin(judged)

    def _answer_again(self, action_id: str, known: Known) -> None:
        if known.outcome is not None:
            self.reports.tell(recorded_result(action_id, known.outcome))
        else:
            self.reports.tell(ActionAccepted(id=action_id))

    async def _refuse_unrecovered(self, action_id: str) -> None:
        """Refuse what is new; what a former process took on will be answered after recovery."""
        known = await self._known(action_id)
        if known is not None:
            self._answer_again(action_id, known)
            return
        why = f"the node's journal takes no record: {self._unrecovered}"
        self.reports.unrecorded(action_id, refusal(why))

    async def cancel(self, action_id: str) -> None:
        """Ask an action to stop; its one result says what came of it (P6)."""
        running = self._running.get(action_id)
        if running is not None:
            running.cancel_asked = True
            running.scope.cancel()
            self.reports.tell(CancelState(id=action_id, state="taken"))
            return
        known = await self._known(action_id)
        outcome = None if known is None else known.outcome
        state = CancelState(id=action_id, state="unknown_id" if outcome is None else "too_late")
        self.reports.tell(state)
        if outcome is not None:
            self.reports.tell(recorded_result(action_id, outcome))

    async def end(self, why: str) -> None:
        """Take no more orders, stop what runs, and wait for it to be gone; units run on."""
        self._ending = why
        for running in list(self._running.values()):
            if not running.in_unit:
                running.cancel_asked, running.cancelled_for = True, why
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
            detached=registered is not None and self._wants_unit(registered, start),
            expires_at=expires_at,
            timeout_s=start.timeout,
            dry_run=bool(start.dry_run),
            requester=start.requester,
        )

    def _wants_unit(self, registered: RegisteredAction, start: ActionStart) -> bool:
        """Tell whether an action goes into a unit; a dry run is short and changes nothing."""
        return self._detached is not None and registered.action.detached and not start.dry_run

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
            name=registered.action.name,
            plugin=registered.plugin,
            locks=registered.action.lock_names(bound),
            call=ActionCall(registered, result_bytes=self._limits.result_bytes),
            args=start.args,
            bound=bound,
            dry_run=bool(start.dry_run),
            timeout_s=timeout_s,
            expires_at=expires_at,
            requester=start.requester,
            detached=self._wants_unit(registered, start),
        )

    def _begin(self, running: Running) -> None:
        assert self._tasks is not None, "run() owns the tasks"
        self._running[running.id] = running
        self._tasks.start_soon(self._live, running)

    async def _live(
        self,
        running: Running,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        began = anyio.current_time()
        try:
            verdict = await self._life.verdict(running, task_status.started)
        except anyio.get_cancelled_exc_class():
            # The agent ends: say so in the journal, briefly, and go.
            if not running.in_unit:
                with anyio.move_on_after(2.0, shield=True):
                    await self._record(running.id, stopped_with_the_agent(running), began)
            raise
        finally:
            self._running.pop(running.id, None)
        if verdict is not None:
            recorded = await self._record(running.id, verdict, began)
            if running.in_unit and recorded:
                assert self._detached is not None, "it put the action there"
                await self._detached.release(running.id)
        self._ended.set()

    async def _record(self, action_id: str, verdict: Verdict, began: float | None) -> bool:
        """Write an outcome down, then tell it; returns whether it could be written."""
        seconds = None if began is None else round(anyio.current_time() - began, 6)
        outcome = outcome_of(verdict, seconds)
        recorded = True
        try:
            with anyio.CancelScope(shield=True):
                await self._journal.finish(action_id, outcome)
        except JournalError:
            # Sent all the same: after a restart the id is unknown here, which is the truth.
            logger.exception("the outcome of id=%s could not be recorded", action_id)
            recorded = False
        self.reports.tell(recorded_result(action_id, outcome))
        return recorded


def locks_of(registered: RegisteredAction | None, args: JsonValue) -> tuple[str, ...]:
    """Return the locks of an action that runs already; none that this version cannot tell."""
    if registered is None:
        return ()
    try:
        return registered.action.lock_names(registered.action.bind(args))
    except ArgumentsError:
        return ()
