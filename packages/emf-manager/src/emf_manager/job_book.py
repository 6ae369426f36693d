"""Jobs as the operators' side orders, reads and cancels them: judged, stored, then offered."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import anyio

from emf_agent.errors import RefusedError, UsageError
from emf_manager import catalogue as book
from emf_manager import desk as d
from emf_manager import portraits as show
from emf_manager.clock import Clock
from emf_manager.fact_book import FactBook
from emf_manager.facts import Facts
from emf_manager.groups import Member, Roster
from emf_manager.ha import HA_GROUP, ha_clusters
from emf_manager.handing_out import seal_arguments
from emf_manager.jobs import Open
from emf_manager.limits import Limits
from emf_manager.records import Job, Target
from emf_manager.rollout_book import RolloutBook
from emf_manager.rollouts import RolloutError, judge_sizes, plan, write_rollout
from emf_manager.safe import Safe
from emf_manager.seats import NodeGoneError, Seat, Seats
from emf_manager.store.interface import KeyReusedError, Store
from emf_manager.views import ConflictError, JobOrder, JobView, NotFoundError

__all__ = ["JobBook", "new_job_id"]

LONGEST_S = 366 * 86400.0


class JobBook:
    """Every job there is; the open ones also lie on their nodes' desks."""

    def __init__(
        self,
        store: Store,
        seats: Seats,
        facts: FactBook,
        clock: Clock,
        limits: Limits,
        safe: Safe,
    ) -> None:
        self._store = store
        self._facts = facts
        self.rollouts = RolloutBook(store, clock, offer=self.released, announce=seats.announce)
        self._seats = seats
        self._clock = clock
        self._limits = limits
        self._safe = safe

    async def create(self, order: JobOrder) -> JobView:
        """Store a job and offer it: once this returns it survives a restart.

        Raises:
            NotFoundError: a node is not enrolled. UnknownActionError, ArgumentsError: it does not
            fit the catalogue. ConflictError: the idempotency key. RefusedError: too many nodes or
            open jobs. RolloutError: another number of nodes than the options fit. UsageError:
            nothing targeted, or a number out of range.

        """
        order = replace(order, nodes=tuple(dict.fromkeys(order.nodes)))
        order, batches, apart = await self.planned(order)
        seats = await self._judged(order)
        wall = self._clock.wall()
        expires_in_s = order.expires_in_s or self._limits.expires_in_s
        job_id = new_job_id(wall)
        described = [desk.catalogue for desk in self._seats.desks() if desk.catalogue]
        args, sealed, digest = seal_arguments(
            job_id, order.action, order.args, described, self._safe
        )
        job = Job(
            id=job_id,
            action=order.action,
            args=args,
            sealed=sealed,
            secret_digest=digest,
            requester=order.requester,
            created=wall,
            expires=wall + expires_in_s,
            timeout_s=order.timeout_s,
            dry_run=order.dry_run,
            idempotency_key=order.idempotency_key,
            open_targets=len(seats),
            rollout=write_rollout(order.rollout),
            deadline=None if order.deadline_s is None else wall + order.deadline_s,
        )
        batch_of = {node: number for number, batch in enumerate(batches, 1) for node in batch}
        targets = tuple(
            Target(
                f"{job.id}.{place}",
                job.id,
                node,
                state="queued" if batch_of[node] == 1 else "held",
                queued=wall,
                batch=batch_of[node],
                apart=apart.get(node),
            )
            for place, node in enumerate(order.nodes)
        )
        event = show.job_created(job, wall)
        with anyio.CancelScope(shield=True):
            try:
                created = await self._store.create_job(job, targets, events=(event,))
            except KeyReusedError as error:
                raise ConflictError(str(error)) from error
            self._seats.announce(created.events)
            if created.created:
                if len(batches) > 1:
                    self.rollouts.follow(created.job)
                for seat, target in zip(seats, created.targets, strict=True):
                    if target.state == "queued":
                        await self._offer(seat, self.opened(created.job, target, None))
        return await self.read(created.job.id)

    async def read(self, job_id: str) -> JobView:
        """Return a job with its targets; NotFoundError."""
        event = self._seats.last_event
        job, targets = await self._found(job_id)
        views = tuple(show.target_view(t, silent=self._is_silent(t.node)) for t in targets)
        counts = show.count_targets((view.state, view.outcome, 1) for view in views)
        return replace(show.job_view(job, counts), targets=views, event=event)

    async def newest(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        requester: str | None = None,
        state: Literal["running", "done"] | None = None,
        action: str | None = None,
    ) -> tuple[JobView, ...]:
        """Return jobs without targets, newest first, those with an id below ``before``."""
        found = await self._store.jobs(
            limit=limit, before=before, requester=requester, state=state, action=action
        )
        tallies = await self._store.tallies([job.id for job in found])
        return tuple(show.job_view(job, show.count_tally(tallies.get(job.id, {}))) for job in found)

    async def cancel(
        self, job_id: str, *, requester: str, nodes: Collection[str] | None = None
    ) -> JobView:
        """Ask for the end of a job, or of it on some nodes; what is final stays. NotFoundError."""
        job, targets = await self._found(job_id)
        if any(target.state == "held" for target in targets):
            await self.rollouts.cancel(job, targets, nodes)
            # A batch may have been released between the look and the end of what is held.
            job, targets = await self._found(job_id)
        for target in targets:
            if target.state not in ("held", "final") and (nodes is None or target.node in nodes):
                asked = d.CancelActions((target.action_id,), requester)
                try:
                    await self._seats.apply(await self._seats.find(target.node), asked)
                except NodeGoneError:
                    continue
        return await self.read(job_id)

    async def _judged(self, order: JobOrder) -> list[Seat]:
        """Return the seats of an order that may be stored."""
        if not order.nodes:
            raise UsageError("a job needs at least one node")
        if len(order.nodes) > self._limits.nodes:
            raise RefusedError(f"a job may have {self._limits.nodes} nodes; name fewer")
        for name, seconds in (
            ("timeout", order.timeout_s),
            ("expiry", order.expires_in_s),
            ("deadline", order.deadline_s),
        ):
            if seconds is not None and not 0 < seconds <= LONGEST_S:
                raise UsageError(f"the {name} must be above 0 and at most {LONGEST_S:g} s")
        seats = [await self._seat(fqdn) for fqdn in order.nodes]
        held = self.rollouts.held_on()
        for seat in seats:
            if len(seat.desk.open) + held[seat.desk.node.fqdn] >= self._limits.open_targets:
                raise RefusedError(
                    f"{seat.desk.node.fqdn} has {self._limits.open_targets} actions that wait or "
                    "run; wait for them or cancel some"
                )
        book.check_order(
            order, {s.desk.node.fqdn: s.desk.catalogue for s in seats if s.desk.catalogue}
        )
        return seats

    async def planned(
        self, order: JobOrder
    ) -> tuple[JobOrder, tuple[tuple[str, ...], ...], Mapping[str, str]]:
        """Return the order for the nodes within its limit, in which batches they go, and why apart.

        Raises:
            RolloutError: an option contradicts the number of nodes, or another one.

        """
        rollout, matched = order.rollout, len(order.nodes)
        if order.expect is not None and order.expect != matched:
            raise RolloutError("expect", f"{order.expect} nodes to match", str(matched))
        apart: Mapping[str, str] = {}
        if rollout.spread == "ha" and order.nodes:
            facts = await self._facts.facts()
            every = ha_clusters(facts, await self._ha_groups(facts))
            apart = {node: every[node] for node in order.nodes if node in every}
            if not apart:
                wanted = "nodes whose HA cluster is known (daemon corosync, or a group ha-…)"
                raise RolloutError("spread", wanted, "none of them")
        laid_out = plan(order.nodes, rollout, apart)
        beyond = frozenset(laid_out.beyond)
        kept = tuple(node for node in order.nodes if node not in beyond)
        judge_sizes(rollout, len(kept))
        return replace(order, nodes=kept), laid_out.batches, apart

    async def _ha_groups(self, facts: Mapping[str, Facts]) -> dict[str, tuple[str, ...]]:
        defined = {group.name: group.nodes for group in await self._store.groups.listed()}
        members = (
            Member(node, str(its["state"]), str(its["role"]) if "role" in its else None)
            for node, its in facts.items()
        )
        roster = Roster(members, defined)
        return {name: roster.group(name) for name in defined if name.startswith(HA_GROUP)}

    async def released(self, job: Job, targets: Sequence[Target]) -> None:
        """Offer what is not held any more."""
        for target in targets:
            try:
                seat = await self._seats.find(target.node)
            except NodeGoneError:
                continue
            await self._offer(seat, self.opened(job, target, None))

    async def _offer(self, seat: Seat, opened: Open) -> None:
        try:
            await self._seats.apply(seat, d.Added((opened,)))
        except NodeGoneError:
            return

    def opened(self, job: Job, target: Target, protocol: int | None) -> Open:
        now, wall = self._clock.now(), self._clock.wall()
        expires = target.queued + (job.expires - job.created)
        if job.deadline is not None:
            expires = min(expires, job.deadline)
        offered = None if target.offered is None else now - max(0.0, wall - target.offered)
        return Open(
            job=job,
            target=target,
            expires_at=now + (expires - wall),
            protocol=None if target.state == "queued" else protocol,
            offered_at=offered,
        )

    async def _found(self, job_id: str) -> tuple[Job, tuple[Target, ...]]:
        found = await self._store.job(job_id)
        if found is None:
            raise NotFoundError("job", job_id)
        return found

    async def _seat(self, fqdn: str) -> Seat:
        try:
            return await self._seats.find(fqdn)
        except NodeGoneError as error:
            raise NotFoundError("node", fqdn) from error

    def _is_silent(self, fqdn: str) -> bool:
        desk = self._seats.known(fqdn)
        return desk is None or desk.host.silent


def new_job_id(wall: float) -> str:
    """Return a UUIDv7 (RFC 9562): sorts by age, is never used twice."""
    number = int(wall * 1000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=number | 0b10 << 62 | secrets.randbits(62)))
