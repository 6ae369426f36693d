"""One seat for each node: its desk, the lock that puts its events in order, the GETs that hang.

An event steps the desk, what changed is written through the store, and only then the desk is kept
and anybody is answered: what was acknowledged is on disk, and what could not be written has not
happened. This is the one place where time enters.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn, Protocol
from weakref import WeakValueDictionary

import anyio
from pydantic import JsonValue

from emf_agent.errors import EmfError
from emf_manager import desk as d
from emf_manager.agents import values as v
from emf_manager.bus import Bus
from emf_manager.catalogue import Catalogue
from emf_manager.clock import Clock
from emf_manager.desk_rules import step
from emf_manager.facts import Facts
from emf_manager.portraits import event_view
from emf_manager.records import Event, NewAudit, NewEvent, Node
from emf_manager.store.interface import (
    Changes,
    Committed,
    OutcomeVerdict,
    Store,
    StoreError,
)
from emf_manager.views import EventView

__all__ = ["Listener", "NodeGoneError", "Seat", "Seats", "Watcher"]

logger = logging.getLogger(__name__)

Listener = Callable[[d.Desk, Changes], None]
"""Is told, after each commit, of a node as it is now and what was written; must not wait."""

NOTHING = Changes()
AT_ONCE = 64
"""Seats whose time has come are stepped this many at a time, so that their writes share commits."""
STORE_PAUSE_S = 1.0
EVENT_PAGE = 1000


class NodeGoneError(EmfError):
    """The node is not enrolled, or not any more."""

    def __init__(self, fqdn: str) -> None:
        super().__init__(f"{fqdn} is not enrolled here; enrol it again")
        self.fqdn = fqdn


@dataclass(eq=False)
class Seat:
    """One node at run time."""

    desk: d.Desk
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    hanging: dict[int, anyio.Event] = field(default_factory=dict)
    """By number: set when that GET must be answered."""
    returned: anyio.Event = field(default_factory=anyio.Event)
    """Set, and replaced, whenever a GET comes in."""
    due: float | None = None
    gone: bool = False


class Watcher(Protocol):
    """Whoever waits for targets to end; must not wait itself."""

    def ended(self, verdicts: Sequence[OutcomeVerdict]) -> None:
        """Take note of outcomes that are on disk."""

    def forgotten(self, fqdn: str) -> None:
        """Take note that a node's targets may have ended by other hands."""


class Seats:
    """All of them, and the clock that visits them."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        bus: Bus[EventView],
        *,
        lease_s: float,
        make_desk: Callable[[Node], d.Desk],
        last_event: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._bus = bus
        self._lease_s = lease_s
        self._make_desk = make_desk
        self._seats: dict[str, Seat] = {}
        self._alarm = anyio.Event()
        self._alarm_at: float | None = None
        self._hint = anyio.Event()
        self._catalogues: WeakValueDictionary[str, Catalogue] = WeakValueDictionary()
        self._listeners: list[Listener] = []
        self.outcomes: Counter[str] = Counter()
        """Recorded since the start, by kind."""
        self.last_event = last_event
        self.closing = False
        self._watcher: Watcher | None = None

    def watch(self, watcher: Watcher) -> None:
        """Have somebody told what becomes of targets."""
        self._watcher = watcher

    def add(self, desk: d.Desk) -> Seat:
        """Seat a node."""
        seat = Seat(self._shared(desk), due=d.due(desk))
        self._seats[desk.node.fqdn] = seat
        self._mind(seat)
        return seat

    def listen(self, listener: Listener) -> None:
        """Tell a listener, from now on, what each node's events came to."""
        self._listeners.append(listener)

    def known(self, fqdn: str) -> d.Desk | None:
        """Return a node's desk where it has a seat."""
        seat = self._seats.get(fqdn)
        return None if seat is None else seat.desk

    def desks(self) -> Iterable[d.Desk]:
        """Return every desk there is now."""
        return [seat.desk for seat in self._seats.values()]

    @property
    def hanging(self) -> int:
        """How many requests of agents wait now."""
        return sum(len(seat.hanging) for seat in self._seats.values())

    async def find(self, fqdn: str) -> Seat:
        """Return a node's seat; one that was enrolled a moment ago gets it now.

        Raises:
            NodeGoneError: there is no such node.

        """
        seat = self._seats.get(fqdn)
        if seat is not None:
            return seat
        node = await self._store.node(fqdn)
        if node is None or node.state == "removed":
            raise NodeGoneError(fqdn)
        return self._seats.get(fqdn) or self.add(self._make_desk(node))

    async def apply(self, seat: Seat, event: d.Event) -> tuple[d.Effect, ...]:
        """Step a node, write what changed, keep it, and wake whom it concerns.

        Raises:
            StoreError: it could not be written; then nothing has happened.
            NodeGoneError: the node was removed meanwhile.

        """
        async with seat.lock:
            if seat.gone:
                raise NodeGoneError(seat.desk.node.fqdn)
            now, wall = self._clock.now(), self._clock.wall()
            turn = step(seat.desk, event, now, wall, lease_s=self._lease_s)
            committed = Committed()
            # Between the commit and keeping the desk nobody may turn up and cancel.
            with anyio.CancelScope(shield=True):
                if turn.changes != NOTHING:
                    committed = await self._store.record(turn.changes)
                if committed.repeated:
                    return (v.Accept(repeated=True),)
                seat.desk = self._shared(turn.desk)
            seat.due = d.due(seat.desk)
            self._mind(seat)
            self._carry_out(seat, turn.effects)
        self._tell_listeners(seat.desk, turn.changes)
        self.announce(committed.events)
        with anyio.CancelScope(shield=True):
            await self._follow_up(seat.desk.node.fqdn, committed)
        return turn.effects

    async def remove(self, fqdn: str, reason: str, *, by: str) -> bool:
        """Forget a node for good; its hanging GET ends at once. False where there is none."""
        try:
            seat = await self.find(fqdn)
        except NodeGoneError:
            return False
        async with seat.lock:
            wall = self._clock.wall()
            audit = NewAudit(at=wall, actor=by, what="node.remove", subject=fqdn, detail=reason)
            with anyio.CancelScope(shield=True):
                removed = await self._store.remove_node(fqdn, at=wall, reason=reason, audit=audit)
                seat.gone = True
                self._seats.pop(fqdn, None)
            for event in seat.hanging.values():
                event.set()
        if removed is None:
            return False
        self.announce(removed[0].events)
        with anyio.CancelScope(shield=True):
            await self._follow_up(fqdn, removed[0])
        return True

    async def revoke(self, fqdn: str, reason: str, *, by: str) -> int | None:
        """Take a node's certificates away; tell how many. None where there is no such node.

        Its hanging GET ends when the gate that every request passes has heard of it.
        """
        wall = self._clock.wall()
        audit = NewAudit(at=wall, actor=by, what="node.revoke", subject=fqdn, detail=reason)
        revoked = await self._store.revoke_node(fqdn, at=wall, reason=reason, audit=audit)
        if revoked is None:
            return None
        self.announce(revoked[0].events)
        return len(revoked[1])

    async def approve(self, fqdn: str, *, by: str) -> bool:
        """Let a waiting node speak; False where none of this name waits."""
        wall = self._clock.wall()
        audit = NewAudit(at=wall, actor=by, what="node.approve", subject=fqdn)
        approved = await self._store.approve_node(fqdn, at=wall, audit=audit)
        if approved is not None:
            self.announce(approved.events)
            await self.dismiss(fqdn)
        return approved is not None

    async def label(self, fqdn: str, labels: Mapping[str, str], *, by: str) -> bool:
        """Give a node these labels in place of those it has; False where there is none."""
        try:
            seat = await self.find(fqdn)
        except NodeGoneError:
            return False
        async with seat.lock:
            wall = self._clock.wall()
            audit = NewAudit(
                at=wall, actor=by, what="node.label", subject=fqdn, detail=dict(labels)
            )
            with anyio.CancelScope(shield=True):
                labelled = await self._store.label_node(fqdn, labels, at=wall, audit=audit)
                if labelled is not None:
                    node = replace(seat.desk.node, labels=dict(labels))
                    seat.desk = replace(seat.desk, node=node)
        if labelled is None:
            return False
        self.announce(labelled.events)
        return True

    async def dismiss(self, fqdn: str) -> None:
        """Drop a node's seat: the store has forgotten it, or knows it anew, by other hands."""
        seat = self._seats.get(fqdn)
        if seat is not None:
            async with seat.lock:
                seat.gone = True
                self._seats.pop(fqdn, None)
            for event in seat.hanging.values():
                event.set()
        if self._watcher is not None:
            self._watcher.forgotten(fqdn)
        self._hint.set()

    async def remember(self, fqdn: str, daemon: str, facts: Facts) -> None:
        """Give a node what an earlier value of a daemon said, where no newer one has come."""
        seat = self._seats.get(fqdn)
        if seat is None:
            return
        async with seat.lock:
            if daemon not in seat.desk.facts:
                seat.desk = replace(seat.desk, facts={**seat.desk.facts, daemon: facts})

    def close(self) -> None:
        """Answer every hanging GET now; the manager shuts down."""
        self.closing = True
        for seat in self._seats.values():
            for event in seat.hanging.values():
                event.set()

    def _tell_listeners(self, desk: d.Desk, changes: Changes) -> None:
        for listener in self._listeners:
            try:
                listener(desk, changes)
            except Exception:
                logger.exception("a listener failed node=%s", desk.node.fqdn)

    def _carry_out(self, seat: Seat, effects: Iterable[d.Effect]) -> None:
        for effect in effects:
            match effect:
                case v.Hang(poll):
                    seat.hanging[poll] = anyio.Event()
                    if self.closing:
                        seat.hanging[poll].set()
                    seat.returned.set()
                    seat.returned = anyio.Event()
                case v.Wake(poll):
                    # A GET that is being replaced, answered or given up right now is not there
                    # any more, or collects nothing: what waits stays with the desk.
                    waiter = seat.hanging.get(poll)
                    if waiter is not None:
                        waiter.set()
                case _:
                    pass

    def _shared(self, desk: d.Desk) -> d.Desk:
        """Have nodes that can do the same share one catalogue: a fleet's would fill the memory."""
        if desk.catalogue is None:
            return desk
        catalogue = self._catalogues.setdefault(desk.catalogue.content, desk.catalogue)
        if catalogue is desk.catalogue or catalogue.claimed != desk.catalogue.claimed:
            return desk
        return replace(desk, catalogue=catalogue)

    # Time

    def _mind(self, seat: Seat) -> None:
        if seat.due is not None and (self._alarm_at is None or seat.due < self._alarm_at):
            self._alarm.set()

    async def keep_time(self) -> NoReturn:
        """Visit each seat when its time has come; sleeps until then."""
        while True:
            self._alarm = anyio.Event()
            moments = [seat.due for seat in self._seats.values() if seat.due is not None]
            self._alarm_at = min(moments, default=None)
            await self._clock.wait(self._alarm, self._alarm_at)
            now = self._clock.now()
            late = [s for s in self._seats.values() if s.due is not None and s.due <= now]
            for start in range(0, len(late), AT_ONCE):
                async with anyio.create_task_group() as tasks:
                    for seat in late[start : start + AT_ONCE]:
                        tasks.start_soon(self._tick, seat)
            if any(seat.due is not None and seat.due <= now for seat in late if not seat.gone):
                await self._clock.wait(anyio.Event(), self._clock.now() + STORE_PAUSE_S)

    async def _tick(self, seat: Seat) -> None:
        try:
            await self.apply(seat, v.Tick())
        except NodeGoneError:
            pass
        except StoreError as error:
            logger.error("time stands still node=%s: %s", seat.desk.node.fqdn, error)

    # Events

    def announce(self, events: tuple[Event, ...]) -> None:
        """Tell the bus, in order; where others committed in between, the store tells the rest."""
        for event in events:
            if event.sequence == self.last_event + 1:
                self._publish(event)
            elif event.sequence > self.last_event:
                self._hint.set()
                return

    async def tell(self) -> NoReturn:
        """Publish from the store what came out of order."""
        while True:
            await self._hint.wait()
            self._hint = anyio.Event()
            try:
                while events := await self._store.events(after=self.last_event, limit=EVENT_PAGE):
                    for event in events:
                        if event.sequence > self.last_event:
                            self._publish(event)
            except StoreError as error:
                logger.error("events are late: %s", error)
                await self._clock.wait(anyio.Event(), self._clock.now() + STORE_PAUSE_S)
                self._hint.set()

    def _publish(self, event: Event) -> None:
        self.last_event = event.sequence
        self._bus.publish(event_view(event))

    async def _follow_up(self, fqdn: str, committed: Committed) -> None:
        """Tell what only the store could know: a job is done, an outcome contradicts another."""
        if self._watcher is not None and committed.outcomes:
            self._watcher.ended(committed.outcomes)
        wall = self._clock.wall()
        events: list[NewEvent] = []
        audit: list[NewAudit] = []
        for verdict in committed.outcomes:
            outcome = verdict.outcome
            self.outcomes[outcome.kind] += verdict.verdict == "recorded"
            body: dict[str, JsonValue] = {
                "job": verdict.job_id,
                "action_id": outcome.action_id,
                "outcome": outcome.kind,
            }
            if verdict.job_done:
                events.append(NewEvent(wall, "job.done", None, {"job": verdict.job_id}))
            if verdict.verdict == "orphan":
                events.append(NewEvent(wall, "job.orphan", fqdn, body))
            if verdict.verdict == "conflict":
                first = verdict.first.kind if verdict.first is not None else None
                events.append(NewEvent(wall, "job.conflict", fqdn, {**body, "first": first}))
                audit.append(
                    NewAudit(
                        at=wall,
                        actor=f"node:{fqdn}",
                        what="job.conflict",
                        subject=outcome.action_id,
                        outcome="refused",
                        detail={**body, "first": first},
                    )
                )
                logger.error(
                    "conflicting outcome node=%s id=%s first=%s now=%s: the first stays",
                    fqdn,
                    outcome.action_id,
                    first,
                    outcome.kind,
                )
        if not events:
            return
        try:
            written = await self._store.record(Changes(events=tuple(events), audit=tuple(audit)))
        except StoreError as error:
            logger.error("could not tell of %s: %s", [event.kind for event in events], error)
        else:
            self.announce(written.events)
