"""The manager as one object: what the gateway and the API call."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from typing import Literal, Protocol, TypeVar

import anyio
from pydantic import JsonValue

from emf_agent.wire import ManagerMessage, Pace, ReceivedEnvelope
from emf_manager import catalogue as book
from emf_manager import desk as d
from emf_manager import portraits as show
from emf_manager.agents import values as v
from emf_manager.background import running_beside
from emf_manager.bus import Bus, Subscription
from emf_manager.clock import Clock, SystemClock
from emf_manager.fact_book import AT_START, FactBook
from emf_manager.facts import Facts
from emf_manager.handing_out import put_in
from emf_manager.job_book import JobBook
from emf_manager.limits import Limits
from emf_manager.records import LatestValue, Node
from emf_manager.safe import Safe
from emf_manager.seats import NodeGoneError, Seat, Seats
from emf_manager.store.groups import Group
from emf_manager.store.interface import Loaded, Store, StoreError
from emf_manager.store.node_rows import NodeFile
from emf_manager.value_watch import Follower, ValueWatch
from emf_manager.views import (
    CatalogueEntry,
    DataView,
    EventView,
    JobOrder,
    JobView,
    NodeView,
    NotFoundError,
    PingView,
    RollEntry,
    SessionView,
    Traffic,
)

__all__ = ["Engine", "open_engine"]

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_engine(
    store: Store,
    *,
    clock: Clock | None = None,
    limits: Limits | None = None,
    safe: Safe | None = None,
) -> AsyncGenerator[Engine, None]:
    """Load what the store has, keep time while open, and answer every hanging GET at the end.

    Without a safe of its own, secret arguments do not outlive this engine.
    """
    loaded = await store.load()
    engine = Engine(store, clock or SystemClock(), limits or Limits(), loaded, safe or Safe())
    await engine.recall()
    seats = engine.seats
    loops = (seats.keep_time, seats.tell, engine.prune, engine.facts_known.recall, engine.roll_on)
    async with running_beside(*loops):
        try:
            yield engine
        finally:
            engine.close()


class Engine:
    """Everything the manager knows and does; one per process."""

    def __init__(
        self, store: Store, clock: Clock, limits: Limits, loaded: Loaded, safe: Safe
    ) -> None:
        self._store = store
        self._safe = safe
        self._clock = clock
        self._loaded = loaded
        self._bus: Bus[EventView] = Bus()
        self.limits = limits
        self.epoch = loaded.epoch
        self.seats = Seats(
            store,
            clock,
            self._bus,
            lease_s=limits.lease_s,
            make_desk=lambda node: d.restore(node, self._clock.now(), self._clock.wall()),
            last_event=loaded.last_event,
        )
        self._received: Counter[str] = Counter()
        self._watch = ValueWatch()
        self.seats.listen(self._watch.heard)
        self.facts_known = FactBook(store, self.seats)
        self._jobs = JobBook(store, self.seats, self.facts_known, clock, limits, safe)
        self.seats.watch(self._jobs.rollouts)

    # Beginning and end

    async def recall(self) -> None:
        """Seat every node as it was left."""
        loaded, now, wall = self._loaded, self._clock.now(), self._clock.wall()
        said: dict[str, dict[str, JsonValue]] = {}
        for daemon in AT_START:
            for value in await self._store.values(daemon=daemon):
                said.setdefault(value.node, {})[daemon] = value.body
        by_id = {job.id: job for job in loaded.jobs}
        sessions = by_node(loaded.sessions)
        targets = by_node(target for target in loaded.targets if target.job_id in by_id)
        for node in loaded.nodes:
            desk = d.restore(
                node,
                now,
                wall,
                lease_s=self.limits.lease_s,
                sessions=sessions.get(node.fqdn, ()),
                said=said.pop(node.fqdn, {}),
                envelopes=loaded.envelopes.get(node.fqdn, ()),
            )
            mine = [t for t in targets.get(node.fqdn, ()) if t.state != "held"]
            opened = [self._jobs.opened(by_id[t.job_id], t, node.protocol) for t in mine]
            self.seats.add(replace(desk, open={each.target.action_id: each for each in opened}))
        for job_id in {target.job_id for target in loaded.targets if target.state == "held"}:
            self._jobs.rollouts.follow(by_id[job_id])

    def close(self) -> None:
        """Answer every hanging GET and end every event stream: the manager shuts down."""
        self.seats.close()
        self._bus.close()
        self._watch.close()

    @property
    def closing(self) -> bool:
        """Whether the manager shuts down."""
        return self.seats.closing

    async def prune(self) -> None:
        """Drop what is older than it is kept, now and then."""
        while True:
            await self._clock.wait(anyio.Event(), self._clock.now() + self.limits.prune_every_s)
            try:
                await self._store.prune(before=self._clock.wall() - self.limits.keep_s)
            except StoreError as error:
                logger.error("nothing pruned, trying again later: %s", error)

    @property
    def traffic(self) -> Traffic:
        """What came in since the start, and who listens now."""
        return Traffic(
            envelopes=self._received["envelopes"],
            messages=self._received["messages"],
            unreadable=self._received["unreadable"],
            hanging=self.seats.hanging,
            event_streams=len(self._bus),
            value_streams=len(self._watch),
            cut_off=self._bus.cut_off,
        )

    # The agents' side: what the gateway calls

    def pace(self) -> Pace:
        """Return the pace this manager wants of its agents."""
        return Pace(poll_s=self.limits.poll_s, lease_s=self.limits.lease_s)

    def wall(self) -> float:
        """Return the manager's time, for the agents' offset."""
        return self._clock.wall()

    async def post(
        self, fqdn: str, contact: v.Contact, received: ReceivedEnvelope
    ) -> v.Accept | v.Refuse:
        """Take an envelope; once this returns, what has no verdict is on disk.

        Raises:
            NodeGoneError: the node is not enrolled. StoreError: nothing was taken.

        """
        posted = v.Posted(
            contact=contact,
            messages=received.messages,
            unreadable=received.unreadable,
            envelope_id=received.id,
            hello=received.hello,
            goodbye=received.goodbye,
            fresh_ids=tuple(str(uuid.uuid4()) for _ in received.messages),
        )
        self._received.update(
            envelopes=1, messages=len(received.messages), unreadable=len(received.unreadable)
        )
        seat = await self.seats.find(fqdn)
        for effect in await self.seats.apply(seat, posted):
            if isinstance(effect, v.Accept | v.Refuse):
                return effect
        raise AssertionError("a POST is accepted or refused")

    async def poll(
        self, fqdn: str, contact: v.Contact, acknowledged: int | None
    ) -> tuple[ManagerMessage, ...] | v.Refuse:
        """Hang until there is something for this agent process, it is replaced, or it is time.

        A caller that is cancelled has gone away and takes nothing with it.

        Raises:
            NodeGoneError: the node is not enrolled, or was removed meanwhile. StoreError.

        """
        seat = await self.seats.find(fqdn)
        number = 0
        for effect in await self.seats.apply(seat, v.Polled(contact, acknowledged)):
            if isinstance(effect, v.Refuse):
                return effect
            if isinstance(effect, v.Hang):
                number = effect.poll
        patience_s = self.limits.poll_s if contact.protocol >= 2 else self.limits.ancestor_poll_s
        waited = False
        try:
            await self._clock.wait(seat.hanging[number], self._clock.now() + patience_s)
            waited = True
        finally:
            seat.hanging.pop(number, None)
            if not waited and not seat.gone:
                with anyio.CancelScope(shield=True):
                    await self.seats.apply(seat, v.Abandoned(number))
        if self.closing:
            return ()
        for effect in await self.seats.apply(seat, v.Collect(number)):
            if isinstance(effect, v.Answer):
                return await self._put_in(seat, effect.messages)
        raise AssertionError("a GET that hung is answered")

    async def _put_in(
        self, seat: Seat, messages: tuple[ManagerMessage, ...]
    ) -> tuple[ManagerMessage, ...]:
        """Return messages with the secrets of what they start; what cannot be opened is refused."""
        ready, refused = put_in(messages, seat.desk.open, self._safe)
        if refused:
            await self.seats.apply(seat, d.WithholdActions(refused))
        return ready

    async def nudge(self, fqdn: str) -> None:
        """Have the hanging GET of a node answered now, so that who it is is looked at again."""
        desk = self.seats.known(fqdn)
        if desk is not None:
            await self.seats.apply(await self.seats.find(fqdn), v.Nudge())

    async def reset_sessions(self, fqdn: str, *, daemon: str | None, reason: str) -> None:
        """End a daemon's session, or all, so that the agent asks for new ones; NotFoundError."""
        await self._apply(fqdn, v.Reset(daemon, reason))

    async def remove_node(self, fqdn: str, *, requester: str, reason: str) -> None:
        """Forget a node: certificates revoked, GET ended, sessions and values gone; NotFoundError.

        What it had taken of jobs becomes ``unknown``.
        """
        if not await self.seats.remove(fqdn, reason, by=requester):
            raise NotFoundError("node", fqdn)

    async def revoke_node(self, fqdn: str, *, requester: str, reason: str) -> int:
        """Revoke a node's certificates and count them; what it said stays; NotFoundError."""
        revoked = await self.seats.revoke(fqdn, reason, by=requester)
        if revoked is None:
            raise NotFoundError("node", fqdn)
        return revoked

    async def approve_node(self, fqdn: str, *, requester: str) -> None:
        """Let a node speak that enrolled to wait for it; NotFoundError where none waits."""
        if not await self.seats.approve(fqdn, by=requester):
            raise NotFoundError("waiting node", fqdn)

    async def label_node(self, fqdn: str, labels: Mapping[str, str], *, requester: str) -> None:
        """Give a node these labels in place of those it has; NotFoundError where there is none."""
        if not await self.seats.label(fqdn, labels, by=requester):
            raise NotFoundError("node", fqdn)

    # Nodes and what they say

    async def nodes(self) -> tuple[NodeView, ...]:
        """Return every enrolled node, by name."""
        return tuple(self._shown(node) for node in await self._store.nodes())

    async def roll(self) -> tuple[RollEntry, ...]:
        """Return every enrolled node, by name, as a look at the whole fleet needs it."""
        entries = []
        for row in await self._store.roll():
            desk = self.seats.known(row.fqdn)
            entries.append(
                show.roll_entry(row, None, None)
                if desk is None
                else show.roll_entry(row, desk.node, desk.last_contact)
            )
        return tuple(entries)

    async def node_file(self, fqdn: str) -> NodeFile:
        """Return what is on file about a node; NotFoundError where it is not enrolled."""
        found = await self._store.node_file(fqdn)
        if found is None:
            raise NotFoundError("node", fqdn)
        return found

    async def node(self, fqdn: str) -> NodeView:
        """Return one node; NotFoundError where it is not enrolled."""
        return self._shown(await self._node(fqdn))

    async def sessions(
        self, *, node: str | None = None, daemon: str | None = None
    ) -> tuple[SessionView, ...]:
        """Return the sessions there are now, by node and daemon."""
        views = [
            view
            for desk in self.seats.desks()
            if node in (None, desk.node.fqdn)
            for view in show.session_views(desk.host, desk.records)
            if daemon in (None, view.daemon)
        ]
        return tuple(sorted(views, key=lambda view: (view.node, view.daemon)))

    async def latest(self, node: str, daemon: str) -> DataView:
        """Return the last value; NotFoundError where there is no node, or no value yet."""
        await self._node(node)
        values = await self._store.values(node=node, daemon=daemon)
        if not values:
            raise NotFoundError("value", f"{daemon} of {node}")
        return self._data_view(values[0])

    async def latest_all(self, node: str) -> tuple[DataView, ...]:
        """Return the last value of each daemon of a node; NotFoundError."""
        await self._node(node)
        return tuple(self._data_view(value) for value in await self._store.values(node=node))

    def follow(self, node: str, daemon: str) -> AbstractContextManager[Follower]:
        """Wake a follower at each change of a value or its session; RefusedError."""
        return self._watch.follow(node, daemon)

    async def catalogue(self) -> tuple[CatalogueEntry, ...]:
        """Return every action some node has, by name."""
        return book.merge(
            {desk.node.fqdn: desk.catalogue for desk in self.seats.desks() if desk.catalogue}
        )

    async def ping(self, nodes: Sequence[str], *, timeout_s: float = 5.0) -> tuple[PingView, ...]:
        """Ask each node to come back at once, and say how long that took; NotFoundError."""
        seats = [await self._seat(fqdn) for fqdn in dict.fromkeys(nodes)]
        answers: dict[str, float | None] = {}
        async with anyio.create_task_group() as tasks:
            for seat in seats:
                tasks.start_soon(self._ping, seat, timeout_s, answers)
        return tuple(
            PingView(
                node=seat.desk.node.fqdn,
                alive=answers[seat.desk.node.fqdn] is not None,
                seconds=answers[seat.desk.node.fqdn],
                last_contact=seat.desk.last_contact,
            )
            for seat in seats
        )

    async def _ping(self, seat: Seat, timeout_s: float, answers: dict[str, float | None]) -> None:
        began, returned = self._clock.now(), seat.returned
        answers[seat.desk.node.fqdn] = None
        try:
            await self.seats.apply(seat, v.Nudge())
        except NodeGoneError:
            return
        if await self._clock.wait(returned, began + timeout_s):
            answers[seat.desk.node.fqdn] = self._clock.now() - began

    async def facts(self) -> dict[str, Facts]:
        """Return what is known of every node, flat and by name."""
        return await self.facts_known.facts()

    async def groups(self) -> tuple[Group, ...]:
        """Return the groups that operators defined, by name."""
        return await self._store.groups.listed()

    async def put_group(self, group: Group) -> bool:
        """Make a group, or make it another; tell whether it is new."""
        return await self._store.groups.put(group)

    async def remove_group(self, name: str) -> bool:
        """Forget a group; False where there is none."""
        return await self._store.groups.remove(name)

    # Jobs

    async def create_job(self, order: JobOrder) -> JobView:
        """Store a job and offer it: once this returns it survives a restart.

        Raises:
            NotFoundError: a node is not enrolled. UnknownActionError, ArgumentsError: it does not
            fit the catalogue. ConflictError: the idempotency key. RefusedError: too many nodes or
            open jobs. UsageError: nothing targeted, or a number out of range.

        """
        return await self._jobs.create(order)

    async def job(self, job_id: str) -> JobView:
        """Return a job with its targets; NotFoundError."""
        return await self._jobs.read(job_id)

    async def jobs(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        requester: str | None = None,
        state: Literal["running", "done"] | None = None,
        action: str | None = None,
    ) -> tuple[JobView, ...]:
        """Return jobs without targets, newest first, those with an id below ``before``."""
        return await self._jobs.newest(
            limit=limit, before=before, requester=requester, state=state, action=action
        )

    async def plan_job(self, order: JobOrder) -> tuple[tuple[str, ...], ...]:
        """Return in which batches an order's nodes would go, those beyond its limit left out.

        Raises:
            RolloutError: an option contradicts the number of nodes, or another one.

        """
        return (await self._jobs.planned(order))[1]

    async def roll_on(self) -> None:
        """Release what is held when it is its turn, for as long as the manager runs."""
        await self._jobs.rollouts.run()

    async def cancel_job(
        self, job_id: str, *, requester: str, nodes: Collection[str] | None = None
    ) -> JobView:
        """Ask for the end of a job, or of it on some nodes; what is final stays. NotFoundError."""
        return await self._jobs.cancel(job_id, requester=requester, nodes=nodes)

    # What happens

    async def events(self, *, after: int, limit: int = 1000) -> tuple[EventView, ...]:
        """Return stored events above a number, in order."""
        return tuple(
            show.event_view(event) for event in await self._store.events(after=after, limit=limit)
        )

    async def last_event(self) -> int:
        """Return the number of the newest event; 0 before the first."""
        return self.seats.last_event

    def subscribe(
        self, *, after: int, wanted: Callable[[EventView], bool] = lambda _: True
    ) -> AbstractContextManager[Subscription[EventView]]:
        """Hand out events from now on; read ``events`` up to the first one's number after this."""
        return self._bus.subscribe(after=after, wanted=wanted)

    # Inside

    async def _node(self, fqdn: str) -> Node:
        node = await self._store.node(fqdn)
        if node is None or node.state == "removed":
            raise NotFoundError("node", fqdn)
        return node

    async def _seat(self, fqdn: str) -> Seat:
        try:
            return await self.seats.find(fqdn)
        except NodeGoneError as error:
            raise NotFoundError("node", fqdn) from error

    async def _apply(self, fqdn: str, event: d.Event) -> None:
        await self.seats.apply(await self._seat(fqdn), event)

    def _shown(self, node: Node) -> NodeView:
        desk = self.seats.known(node.fqdn)
        if desk is None:
            return show.node_view(node, node.last_contact, {})
        return show.node_view(desk.node, desk.last_contact, desk.host.sessions)

    def _data_view(self, value: LatestValue) -> DataView:
        desk = self.seats.known(value.node)
        session = None if desk is None else desk.host.sessions.get(value.daemon)
        return show.data_view(value, session, self._clock.wall())


class OfNode(Protocol):
    """Anything that belongs to one node."""

    @property
    def node(self) -> str:
        """Its name."""
        ...


N = TypeVar("N", bound=OfNode)


def by_node(items: Iterable[N]) -> dict[str, list[N]]:
    """Return items by the node they belong to, in their order."""
    found: dict[str, list[N]] = {}
    for item in items:
        found.setdefault(item.node, []).append(item)
    return found
