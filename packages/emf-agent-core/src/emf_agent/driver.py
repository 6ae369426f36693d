"""One daemon's life: carries out what the session rules order, and calls the plugin.

Everything a plugin does wrong ends here: an exception, a value that is not JSON, an overrun, a
thread that cannot be cancelled. It costs that plugin its session, or its turn, and nobody else
anything (P11).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from time import time
from typing import Any, Literal, TypeVar

import anyio
import anyio.abc
from pydantic import JsonValue, TypeAdapter
from pydantic_core import PydanticSerializationError
from typing_extensions import assert_never

from emf_agent import session_state as rules
from emf_agent.backoff import Backoff
from emf_agent.outbox import Channel, Limits, Outbox, TooLargeError
from emf_agent.plugin import (
    Daemon,
    DaemonContext,
    DaemonFault,
    FatalStartError,
    NotApplicableError,
)
from emf_agent.registry import RegisteredDaemon
from emf_agent.sessions import SessionBook
from emf_agent.update_schedule import Quarantine, Schedule, phase_s
from emf_agent.wire import DaemonHealth

__all__ = ["Driver", "DriverContext", "DriverSettings"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

STOP_WITHIN_S = 1.0
INBOX_MESSAGES = 256
Condition = Literal[
    "ok", "starting", "fault", "late", "quarantined", "stuck", "not-applicable", "failed"
]


@dataclass(frozen=True)
class DriverSettings:
    """What every driver of an agent shares."""

    fqdn: str
    state_directory: Path
    backoff: Backoff = field(default_factory=Backoff)
    quarantine: Quarantine = field(default_factory=Quarantine)
    limits: Limits = field(default_factory=Limits)
    random: Random = field(default_factory=Random)


@dataclass(frozen=True)
class DriverContext(DaemonContext):
    """The context of a daemon of the core, which may send of its own accord."""

    channel: Channel | None = None


@dataclass
class Message:
    """A message of the manager, and the event that says it was handled."""

    body: JsonValue
    handled: anyio.Event


@dataclass
class Delivered:
    """A payload that the manager has stored."""

    payload: Any


@dataclass
class Instance:
    """One instance and the tools around it."""

    session_id: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    gone: anyio.Event = field(default_factory=anyio.Event)
    something: anyio.Event = field(default_factory=anyio.Event)
    waiting: deque[Message | Delivered] = field(default_factory=deque)
    update_wanted: bool = False

    def put(self, item: Message | Delivered) -> None:
        """Queue something for the instance."""
        self.waiting.append(item)
        self.something.set()

    def want_update(self) -> None:
        """Take note that the daemon saw a change."""
        self.update_wanted = True
        self.something.set()


class PluginCrashError(Exception):
    """The plugin raised what would have ended the process."""


class Overrun(Exception):  # noqa: N818 - it is a verdict about a call, not an error of ours
    """A call was not over by its deadline, and was cancelled."""


class Driver:
    """Runs one daemon."""

    def __init__(
        self,
        daemon: RegisteredDaemon,
        book: SessionBook,
        outbox: Outbox,
        settings: DriverSettings,
        *,
        awaited: bool = False,
    ) -> None:
        self._daemon = daemon
        self._book = book
        self._outbox = outbox
        self._settings = settings
        self._awaited = awaited
        self._instance: Instance | None = None
        self._tasks: anyio.abc.TaskGroup | None = None
        self._stepped = anyio.Event()
        self._condition: Condition = "ok"
        self._reason: str | None = None
        self._since = time()
        self._overruns = 0
        self._failures = 0
        self._call_ends = float("inf")
        self._call_since = 0.0

    @property
    def name(self) -> str:
        """Return the daemon's name."""
        return self._daemon.name

    def handle(self, event: rules.Event) -> None:
        """Step the session by an event, and begin what the rules order."""
        for order in self._book.step(self.name, event, anyio.current_time()):
            self._carry_out(order)
        self._stepped.set()

    async def deliver(self, session_id: str, body: JsonValue) -> bool:
        """Hand a message to the instance; False where it has no room or is gone.

        A daemon of the core is waited for, since what it took may be acknowledged to the manager.
        """
        instance = self._instance
        if instance is None or instance.session_id != session_id:
            return False
        if len(instance.waiting) >= INBOX_MESSAGES:
            return False
        message = Message(body, anyio.Event())
        instance.put(message)
        if self._awaited:
            await message.handled.wait()
        return True

    def health(self, now: float) -> DaemonHealth:
        """Return how the daemon fares at this moment of the loop's clock."""
        state = self._book.states[self.name]
        session: Literal["empty", "pending", "active"]
        match state:
            case rules.Empty():
                session = "empty"
            case rules.Pending():
                session = "pending"
            case rules.Active():
                session = "active"
            case _:
                assert_never(state)
        condition, reason, since = self._condition, self._reason, self._since
        if now > self._call_ends + STOP_WITHIN_S:
            condition, since = "stuck", self._call_since
            reason = "a call does not end although it was cancelled"
        return DaemonHealth(
            name=self.name,
            session=session,
            condition=condition,
            reason=reason,
            since=round(since, 3),
            overruns=self._overruns,
            failures=self._failures,
        )

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Let time pass for the session, for ever; when cancelled, the instance ends with it."""
        async with anyio.create_task_group() as self._tasks:
            task_status.started()
            while True:
                self._stepped = anyio.Event()
                wait_s = self._book.next_tick(self.name) - anyio.current_time()
                with anyio.move_on_after(max(0.0, wait_s)):
                    await self._stepped.wait()
                self.handle(rules.Tick())

    def _carry_out(self, order: rules.Order) -> None:
        match order:
            case rules.Ask(resume=resume):
                self._outbox.ask(self.name, resume)
            case rules.StartInstance(session_id):
                previous, self._instance = self._instance, Instance(session_id)
                assert self._tasks is not None, "sessions are asked for by run() alone"
                self._tasks.start_soon(self._live, self._instance, previous)
            case rules.StopInstance(session_id, reason, tell_manager):
                if self._instance is not None and self._instance.session_id == session_id:
                    self._instance.scope.cancel()
                self._outbox.close(self.name, session_id, reason if tell_manager else None)
            case _:
                assert_never(order)

    async def _live(self, instance: Instance, previous: Instance | None) -> None:
        """Live one session, from the constructor to ``stop_session``."""
        try:
            if previous is not None:
                # One call in flight, ever: an instance that cannot be stopped is waited for.
                await previous.gone.wait()
            with instance.scope:
                try:
                    await self._session(instance)
                except Exception as error:  # noqa: BLE001 - the plugin's edge: told, not passed on
                    self._failed(instance, error)
        finally:
            instance.gone.set()
            for item in instance.waiting:
                if isinstance(item, Message):
                    item.handled.set()

    async def _session(self, instance: Instance) -> None:
        self._become("starting", None)
        registered = self._daemon
        daemon = await self._call(build(registered.factory), registered.start_deadline_s)
        channel = self._outbox.open(
            self.name, instance.session_id, registered.delivery, self._settings.limits
        )
        daemon.context = DriverContext(
            state_directory=self._settings.state_directory / registered.plugin,
            wake=instance.want_update,
            channel=channel,
        )
        try:
            logger.info("session active daemon=%s id=%s", self.name, instance.session_id)
            try:
                await self._emit(
                    daemon, instance, channel, daemon.start_session(), registered.start_deadline_s
                )
                self._become("ok", None)
            except Overrun:
                raise NotStartedError(registered.start_deadline_s) from None
            except DaemonFault as fault:
                self._become("fault", str(fault))
            self.handle(rules.InstanceStarted(instance.session_id))
            async with anyio.create_task_group() as tasks:
                trouble: list[Exception] = []
                tasks.start_soon(self._watch, daemon, tasks.cancel_scope, trouble)
                try:
                    await self._updates_and_messages(daemon, instance, channel)
                except Exception as error:  # noqa: BLE001 - groups are kept out of the reasons
                    trouble.append(error)
                    tasks.cancel_scope.cancel()
            if trouble:
                raise trouble[0]
        finally:
            with anyio.move_on_after(STOP_WITHIN_S, shield=True):
                try:
                    await self._call(daemon.stop_session(), STOP_WITHIN_S)
                except Exception:
                    logger.warning("daemon=%s failed to stop", self.name, exc_info=True)

    async def _updates_and_messages(
        self, daemon: Daemon, instance: Instance, channel: Channel
    ) -> None:
        interval_s = self._daemon.interval_s
        schedule = Schedule.begin(
            interval_s,
            phase_s(self._settings.fqdn, self.name, interval_s),
            self._settings.quarantine,
            anyio.current_time(),
        )
        while True:
            with anyio.move_on_after(max(0.0, schedule.due - anyio.current_time())):
                await instance.something.wait()
            instance.something = anyio.Event()
            while instance.waiting:
                await self._handle(daemon, instance.waiting.popleft(), channel)
            if instance.update_wanted:
                instance.update_wanted = False
                schedule = schedule.wanted_now(anyio.current_time())
            if anyio.current_time() >= schedule.due:
                schedule = await self._update(daemon, instance, channel, schedule)

    async def _update(
        self, daemon: Daemon, instance: Instance, channel: Channel, schedule: Schedule
    ) -> Schedule:
        try:
            late = await self._emit(
                daemon, instance, channel, daemon.update_session(), self._daemon.deadline_s
            )
        except DaemonFault as fault:
            self._become("fault", str(fault))
            return schedule.updated(anyio.current_time())
        except Overrun:
            late = True
        if not late:
            self._become("ok", None)
            return schedule.updated(anyio.current_time())
        self._overruns += 1
        schedule = schedule.overran(anyio.current_time())
        why = f"{schedule.overruns} updates in a row took longer than {self._daemon.deadline_s:g} s"
        self._become("quarantined" if schedule.quarantined else "late", why)
        logger.warning("update late daemon=%s in_a_row=%d", self.name, schedule.overruns)
        return schedule

    async def _emit(
        self,
        daemon: Daemon,
        instance: Instance,
        channel: Channel,
        call: Coroutine[Any, Any, Any],
        deadline_s: float,
    ) -> bool:
        """Await a value and send it; returns whether it came late, though complete."""
        began = anyio.current_time()
        payload = await self._call(call, deadline_s)
        late = anyio.current_time() - began > deadline_s
        if payload is None:
            return late
        on_stored = None
        if type(daemon).delivered is not Daemon.delivered:
            on_stored = partial(instance.put, Delivered(payload))
        try:
            channel.offer(encode(self._daemon.payload, payload), on_stored)
        except TooLargeError as error:
            raise DaemonFault(str(error)) from error
        return late

    async def _handle(self, daemon: Daemon, item: Message | Delivered, channel: Channel) -> None:
        deadline_s = self._daemon.start_deadline_s
        if isinstance(item, Delivered):
            await self._call(daemon.delivered(item.payload), deadline_s)
            return
        try:
            answer = await self._call(daemon.receive(item.body), deadline_s)
            if answer is not None:
                channel.append({"Ok": encode(self._daemon.answer, answer)}, keep=True)
        except Overrun:
            channel.append({"Err": f"not handled within {deadline_s:g} s"}, keep=True)
        except Exception as error:
            logger.warning("daemon=%s failed on a message", self.name, exc_info=True)
            channel.append({"Err": str(error) or type(error).__name__}, keep=True)
        finally:
            item.handled.set()

    async def _watch(
        self, daemon: Daemon, scope: anyio.CancelScope, trouble: list[Exception]
    ) -> None:
        stall_owner = self.name  # noqa: F841 - read by the stall watch from another thread
        try:
            await guarded(daemon.watch_session())
        except Exception as error:  # noqa: BLE001 - the plugin's edge: ends the session with a reason
            trouble.append(error)
            scope.cancel()

    async def _call(self, call: Coroutine[Any, Any, T], deadline_s: float) -> T:
        """Await one call of the plugin under its deadline, measured from now.

        Raises:
            Overrun: it was cancelled at its deadline.

        """
        stall_owner = self.name  # noqa: F841 - read by the stall watch from another thread
        self._call_since = time()
        self._call_ends = anyio.current_time() + deadline_s
        try:
            with anyio.move_on_after(deadline_s):
                return await guarded(call)
        finally:
            self._call_ends = float("inf")
        raise Overrun

    def _failed(self, instance: Instance, error: Exception) -> None:
        self._failures += 1
        kind: rules.FailureKind = "retry"
        condition: Condition = "failed"
        if isinstance(error, NotApplicableError):
            kind, condition = "not-applicable", "not-applicable"
        elif isinstance(error, FatalStartError):
            kind = "fatal"
        reason = str(error) or type(error).__name__
        self._become(condition, reason)
        logger.warning("session failed daemon=%s kind=%s reason=%s", self.name, kind, reason)
        logger.debug("traceback of daemon=%s", self.name, exc_info=error)
        state = self._book.states[self.name]
        attempt = state.failures if isinstance(state, rules.Active) else 0
        pause_s = self._settings.backoff.wait_s(attempt, self._settings.random)
        self.handle(rules.InstanceFailed(instance.session_id, reason, kind, pause_s))

    def _become(self, condition: Condition, reason: str | None) -> None:
        if (condition, reason) != (self._condition, self._reason):
            self._condition, self._reason, self._since = condition, reason, time()


class NotStartedError(Exception):
    """``start_session`` was not over by its deadline (W-A5)."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"start took longer than {deadline_s:g} s and was cancelled")


class NotJsonError(Exception):
    """The plugin returned what JSON cannot carry."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(f"returned {kind}, which is not the JSON it promised: {why}")


def encode(adapter: TypeAdapter[Any], value: Any) -> JsonValue:
    """Return a plugin's value as JSON.

    Raises:
        NotJsonError: it is not what its annotation promised.

    """
    try:
        encoded: JsonValue = adapter.dump_python(value, mode="json", warnings="error")
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        text = " ".join(str(error).split())[:300]
        raise NotJsonError(type(value).__name__, text) from error
    return encoded


async def build(factory: Callable[[], Daemon]) -> Daemon:
    """Make an instance, inside the deadline and the guard of a call (W-A6)."""
    return factory()


async def guarded(call: Coroutine[Any, Any, T]) -> T:
    """Await a plugin's coroutine; what would end the process becomes an ordinary error (R25)."""
    try:
        return await call
    except (SystemExit, KeyboardInterrupt) as error:
        raise PluginCrashError(f"raised {type(error).__name__}: {error}") from error
