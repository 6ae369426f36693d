"""The book of alerts: hears what changes, steps the rules, and writes down what they say.

It wakes when something changed or is due, and looks now and then at what nobody tells: the disk,
and certificates. What was raised is on disk before anybody is told; how far the events were looked
at is kept with it, so that a killed manager misses none and tells none twice.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import NoReturn, Protocol

import anyio
import anyio.to_thread

from emf_agent.errors import RefusedError
from emf_manager import desk as d
from emf_manager.alerts import conditions as c
from emf_manager.alerts import rules
from emf_manager.alerts.values import Acknowledgement, Alert, Condition
from emf_manager.background import running_beside
from emf_manager.bus import Subscription, TooSlowError
from emf_manager.clock import Clock, SystemClock
from emf_manager.records import Event, NewAudit
from emf_manager.seats import Seats
from emf_manager.store.alert_rows import AlertFilter, AlertStore, AlertsWritten, Report
from emf_manager.store.interface import Changes, StoreError
from emf_manager.views import EventView, NotFoundError

__all__ = ["AlertBook", "Manager", "open_alerts"]

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 300.0
PAUSE_S = 5.0
"""After the store failed."""
PAGE = 500
TELLING = ("identity.two_places", "job.conflict", "node.journal_lost", "data.dropped", "data.gap")
CERTIFICATES = {"certificate.ending", "certificate.ended"}
LIFE_BEGINS = ("node.enrolled", "node.removed", "node.revoked")

Scope = str | None
"""A node, or None for the manager itself."""


class Manager(Protocol):
    """What the book asks of the engine."""

    @property
    def seats(self) -> Seats:
        """Every node's seat."""
        ...

    def subscribe(
        self, *, after: int, wanted: Callable[[EventView], bool]
    ) -> AbstractContextManager[Subscription[EventView]]:
        """Hand out events from now on."""
        ...


class Trail(Protocol):
    """What the book reads of the store beside alerts."""

    async def events(
        self, *, after: int = 0, limit: int = 1000, kinds: Collection[str] | None = None
    ) -> tuple[Event, ...]:
        """Return events above a number, in order."""
        ...


@asynccontextmanager
async def open_alerts(
    store: AlertStore,
    trail: Trail,
    manager: Manager,
    *,
    clock: Clock | None = None,
    room: Callable[[], c.Room | None] = lambda: None,
) -> AsyncGenerator[AlertBook, None]:
    """Recall the alerts there are, look at everything anew, and keep watch while open."""
    book = AlertBook(store, trail, manager.seats, clock or SystemClock(), room)
    await book.recall()
    manager.seats.listen(book.notice)
    async with running_beside(partial(book.listen, manager), book.watch):
        yield book


class AlertBook:
    """Every alert that is not cleared, and the watch over what may raise one."""

    def __init__(
        self,
        store: AlertStore,
        trail: Trail,
        seats: Seats,
        clock: Clock,
        room: Callable[[], c.Room | None],
    ) -> None:
        self._store = store
        self._trail = trail
        self._seats = seats
        self._clock = clock
        self._room = room
        self._current: dict[int, Alert] = {}
        self._watches: dict[Scope, rules.Watch] = {}
        self._reports: dict[str, Report] = {}
        self._contacts: dict[str, tuple[str, str | None]] = {}
        self._lives: Mapping[str, c.Life] = {}
        self._full: tuple[Condition, ...] = ()
        self._seen = 0
        self._changed: set[Scope] = set()
        self._news = True
        """Whether events may be there that were not looked at."""
        self._look_at = 0.0
        self._wake = anyio.Event()
        self._turn = anyio.Lock()

    # What others ask

    def counts(self) -> Mapping[str, int]:
        """Return how many open alerts each node has that nobody has acknowledged."""
        open_ = (a.key.node for a in self._current.values() if a.acknowledged is None)
        return Counter(node for node in open_ if node is not None)

    async def listed(
        self, which: AlertFilter, *, before: int | None, limit: int
    ) -> tuple[Alert, ...]:
        """Return alerts, the newest first, those with a number below ``before``."""
        return await self._store.listed(which, before=before, limit=limit)

    def watched(self, scope: Scope) -> rules.Watch:
        """Return how it stands with a node, or with the manager itself."""
        return self._watches.get(scope, rules.Watch())

    async def find(self, alert: int) -> Alert:
        """Return one alert; NotFoundError."""
        found = await self._store.find(alert)
        if found is None:
            raise NotFoundError("alert", str(alert))
        return found

    async def acknowledge(self, alert: int, *, by: str, note: str) -> Alert:
        """Note that somebody looks after an alert; who comes second changes nothing. NotFoundError.

        Of something that happened, and so has no end of its own, this is the end.
        """
        at = self._clock.wall()
        audit = NewAudit(at, f"user:{by}", "alert.acknowledge", str(alert), detail={"note": note})
        async with self._turn:
            with anyio.CancelScope(shield=True):
                told = await self._store.acknowledge(
                    alert, Acknowledgement(by, at, note), audit=audit
                )
                if told is None:
                    raise NotFoundError("alert", str(alert))
                found, events = told
                self._keep(found)
                if found.cleared is not None:
                    self._step(found.key.node, rules.Ended(alert), [])
        self._seats.announce(events)
        return found

    # What it hears

    def notice(self, desk: d.Desk, changes: Changes) -> None:
        """Take in what was just written of a node; cheap where nothing of it matters."""
        fqdn = desk.node.fqdn
        for value in changes.values:
            if value.daemon == d.AGENT:
                self._reports[fqdn] = Report(c.read_vitals(value.body), value.received)
                self._mark(fqdn)
        contact = desk.node.state, desk.node.reason
        if contact != self._contacts.get(fqdn):
            self._contacts[fqdn] = contact
            self._mark(fqdn)

    async def listen(self, manager: Manager) -> None:
        """Hear of events until the manager shuts down; one that was missed is read later."""
        kinds = frozenset(TELLING + LIFE_BEGINS)
        while True:
            try:
                with manager.subscribe(after=0, wanted=lambda event: event.kind in kinds) as events:
                    self._news, self._look_at = True, 0.0
                    self._wake.set()
                    async for event in events:
                        self._hear(event)
            except TooSlowError:
                continue
            except RefusedError as error:  # others took its place
                logger.warning("alerts hear of nothing for a while: %s", error)
                await self._clock.wait(anyio.Event(), self._clock.now() + PAUSE_S)
                continue
            return

    def _hear(self, event: EventView) -> None:
        if event.kind in TELLING:
            self._news = True
            self._wake.set()
        elif event.node is not None:
            known = self._reports.get(event.node)
            if event.kind != "node.revoked" and known is not None and known.received <= event.at:
                del self._reports[event.node]
            self._look_at = 0.0
            self._mark(event.node)

    def _mark(self, scope: Scope) -> None:
        self._changed.add(scope)
        self._wake.set()

    # What it does about it

    async def recall(self) -> None:
        """Take up the alerts as they were left, with everything to be looked at."""
        by_scope: dict[Scope, list[Alert]] = {}
        for alert in await self._store.current():
            self._current[alert.id] = alert
            by_scope.setdefault(alert.key.node, []).append(alert)
        self._watches = {scope: rules.recalled(alerts) for scope, alerts in by_scope.items()}
        self._seen = await self._store.seen()
        self._reports = dict(await self._store.reports())
        self._changed = {None, *self._watches, *(desk.node.fqdn for desk in self._seats.desks())}

    async def watch(self) -> NoReturn:
        """Work whenever there is something to do; sleeps until then."""
        while True:
            self._wake = anyio.Event()
            try:
                await self.work()
            except StoreError as error:
                logger.error("alerts are late, trying again: %s", error)
                await self._clock.wait(anyio.Event(), self._clock.now() + PAUSE_S)
            else:
                await self._clock.wait(self._wake, self._due())

    def _due(self) -> float:
        moments = (rules.due(watch) for watch in self._watches.values())
        return min([self._look_at, *(at for at in moments if at is not None)])

    async def work(self) -> None:
        """Step whatever changed or is due, and write what that comes to; StoreError."""
        async with self._turn:
            changed, self._changed = self._changed, set()
            news, self._news = self._news, False
            try:
                written = await self._work(changed, news=news)
            except StoreError:
                self._changed |= changed
                self._news |= news
                raise
        self._seats.announce(written.events)

    async def _work(self, changed: set[Scope], *, news: bool) -> AlertsWritten:
        now = self._clock.now()
        late = {
            scope: keys for scope, w in self._watches.items() if (keys := rules.overdue(w, now))
        }
        # A certificate may have been renewed a moment ago, and nobody tells.
        doubtful = any(key.kind in CERTIFICATES for keys in late.values() for key in keys)
        if now >= self._look_at or doubtful:
            changed |= await self._look()
        happened, seen = await self._happened() if news else ([], self._seen)
        before = dict(self._watches)
        orders: list[tuple[Scope, rules.Order]] = []
        for scope in changed | late.keys():
            for event in self._now(scope):
                self._step(scope, event, orders)
        for condition in happened:
            self._step(condition.key.node, rules.Happened(condition), orders)
        if not orders and seen == self._seen:
            return AlertsWritten()
        try:
            with anyio.CancelScope(shield=True):
                written = await self._write(orders, seen)
        except StoreError:
            self._watches = before
            raise
        return written

    async def _write(self, orders: Iterable[tuple[Scope, rules.Order]], seen: int) -> AlertsWritten:
        at = self._clock.wall()
        raised = [order.condition for _, order in orders if isinstance(order, rules.Raise)]
        cleared = [order.alert for _, order in orders if isinstance(order, rules.Clear)]
        written = await self._store.write(raised, cleared, at=at, seen=seen)
        self._seen = seen
        for number in cleared:
            self._current.pop(number, None)
        for alert in written.raised:
            self._keep(alert)
            scope = alert.key.node
            self._watches[scope] = rules.named(self._watches[scope], {alert.key: alert.id})
            logger.warning(
                "alert raised id=%d kind=%s node=%s: %s",
                *(alert.id, alert.key.kind, scope, alert.text),
            )
        return written

    def _keep(self, alert: Alert) -> None:
        if alert.cleared is None:
            self._current[alert.id] = alert
        else:
            self._current.pop(alert.id, None)

    def _step(
        self, scope: Scope, event: rules.Event, orders: list[tuple[Scope, rules.Order]]
    ) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        watch, told = rules.step(self.watched(scope), event, now, wall)
        orders.extend((scope, order) for order in told)
        if watch == rules.Watch():
            self._watches.pop(scope, None)
        else:
            self._watches[scope] = watch

    def _now(self, scope: Scope) -> tuple[rules.Event, ...]:
        """Return what is to be said of a node, or of the manager, as it stands."""
        if scope is None:
            return (rules.Seen(self._full),)
        desk = self._seats.known(scope)
        life = self._lives.get(scope)
        if desk is None and life is None:
            self._reports.pop(scope, None)
            self._contacts.pop(scope, None)
            return (rules.Gone(),)
        report = self._reports.get(scope, Report(c.Vitals(), 0.0))
        facts = c.NodeFacts(
            fqdn=scope,
            silent=desk is not None and desk.node.state == "silent",
            reason=None if desk is None else desk.node.reason,
            vitals=report.vitals,
            certificate=c.certificate_in_use(life, report.vitals.certificate, report.received),
        )
        return (rules.Seen(c.node_conditions(facts)),)

    async def _look(self) -> set[Scope]:
        """Look at what nobody tells, and return whom that concerns."""
        lives = await self._store.lives()
        changed: set[Scope] = {
            node
            for node in lives.keys() | self._lives.keys()
            if lives.get(node) != self._lives.get(node)
        }
        self._lives = lives
        self._full = c.manager_conditions(await anyio.to_thread.run_sync(self._room))
        self._look_at = self._clock.now() + LOOK_EVERY_S
        return changed | {None}

    async def _happened(self) -> tuple[list[Condition], int]:
        """Return what happened since the last time, and the number of the last event of it."""
        found: list[Condition] = []
        seen = self._seen
        while events := await self._trail.events(after=seen, limit=PAGE, kinds=TELLING):
            for event in events:
                body = event.body if isinstance(event.body, dict) else {}
                condition = c.happened(event.kind, event.node, body)
                if condition is not None:
                    found.append(condition)
            seen = events[-1].sequence
        return found, seen
