"""A manager in memory: the engine's and the accounts' faces, driven by the test."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Collection,
    Generator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Any, Literal

from emf_agent.wire import ActionDescription
from emf_manager import views as v
from emf_manager.alerts.values import Acknowledgement, Alert, Key
from emf_manager.api import models as m
from emf_manager.api.guard import AuditNote
from emf_manager.api.service import Service
from emf_manager.authorization import Mandate, Principal, Role
from emf_manager.bus import Bus
from emf_manager.exposition import Family
from emf_manager.facts import Facts
from emf_manager.history.book import HistoryView, SeriesView
from emf_manager.history.downsampling import Bucket
from emf_manager.records import AuditOrder, Certificate
from emf_manager.rollouts import RolloutError, judge_sizes, plan
from emf_manager.store.alert_rows import AlertFilter
from emf_manager.store.groups import Group
from emf_manager.store.interface import StoreFullError
from emf_manager.store.node_rows import NodeFile, PastTarget
from emf_manager.value_watch import Follower, ValueWatch
from tests.manager.api.fake_plans import FakePlans

NOW = 1_770_000_000.0
MOMENT = datetime.fromtimestamp(NOW, timezone.utc)
NODES = ("oss01.example.com", "oss02.example.com", "oss03.example.com", "mds01.example.com")

TOKENS: dict[str, Role] = {
    "viewer-token": "viewer",
    "operator-token": "operator",
    "admin-token": "admin",
}


def described(name: str, **more: Any) -> ActionDescription:
    schema = {
        "type": "object",
        "properties": {"unit": {"type": "string", "description": "Name of the unit."}},
        "required": ["unit"],
        "x-positional": ["unit"],
    }
    values: dict[str, Any] = {
        "name": name,
        "plugin": "units",
        "summary": f"Do {name}.",
        "args_schema": schema,
        "result_schema": {"type": "null"},
        **more,
    }
    return ActionDescription(**values)


class FakeEngine:
    """Keeps jobs and events as the real one does, but only tests move them."""

    def __init__(self, nodes: Sequence[str] = NODES) -> None:
        self.views = {name: node_view(name) for name in nodes}
        self.values: dict[tuple[str, str], v.DataView] = {}
        self.entries: tuple[v.CatalogueEntry, ...] = (
            v.CatalogueEntry("start_unit", (v.Variant(described("start_unit"), tuple(nodes)),)),
            v.CatalogueEntry("stop_unit", (v.Variant(described("stop_unit"), tuple(nodes[:1])),)),
        )
        self.told: dict[str, Facts] = {}
        self.defined: dict[str, Group] = {}
        self.clusters: dict[str, str] = {}
        self.kept: dict[str, v.JobView] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.orders: list[v.JobOrder] = []
        self.log: list[v.EventView] = []
        self.forgotten = 0
        """Events up to this number are no longer kept."""
        self.bus: Bus[v.EventView] = Bus(queue=64)
        self.watch = ValueWatch()
        self.on_subscribe: Callable[[], object] = lambda: None
        self.on_create: Callable[[v.JobView], None] = lambda job: None
        self._ids = (f"job-{number:04}" for number in itertools.count(1))

    async def nodes(self) -> tuple[v.NodeView, ...]:
        return tuple(self.views[name] for name in sorted(self.views))

    async def roll(self) -> tuple[v.RollEntry, ...]:
        return tuple(
            v.RollEntry(one.fqdn, one.role, one.state, one.waiting, one.last_contact)
            for one in await self.nodes()
        )

    async def node_file(self, fqdn: str) -> NodeFile:
        await self.node(fqdn)
        past = tuple(
            PastTarget(
                *(job.id, job.action, job.requester, job.created, job.dry_run),
                *(target.state, target.outcome, target.reason, target.seconds),
            )
            for job_id, job in sorted(self.kept.items(), reverse=True)
            for target in job.targets
            if target.node == fqdn
        )
        certificate = Certificate("5A3C", fqdn, NOW - 86400, NOW + 60 * 86400, "ab", "", None)
        return NodeFile(NOW - 86400, (certificate,), past)

    async def node(self, fqdn: str) -> v.NodeView:
        if fqdn not in self.views:
            raise v.NotFoundError("node", fqdn)
        return self.views[fqdn]

    async def approve_node(self, fqdn: str, *, requester: str) -> None:
        if not (await self.node(fqdn)).waiting:
            raise v.NotFoundError("waiting node", fqdn)
        self.views[fqdn] = replace(self.views[fqdn], waiting=False)
        self.happen("node.approved", fqdn, by=requester)

    async def label_node(self, fqdn: str, labels: Mapping[str, str], *, requester: str) -> None:
        self.views[fqdn] = replace(await self.node(fqdn), labels=dict(labels))
        self.happen("node.labelled", fqdn, by=requester, labels=dict(labels))

    async def revoke_node(self, fqdn: str, *, requester: str, reason: str) -> int:
        await self.node(fqdn)
        self.happen("node.revoked", fqdn, by=requester, reason=reason)
        return 1

    async def remove_node(self, fqdn: str, *, requester: str, reason: str) -> None:
        await self.node(fqdn)
        del self.views[fqdn]
        self.happen("node.removed", fqdn, by=requester, reason=reason)

    async def sessions(
        self, *, node: str | None = None, daemon: str | None = None
    ) -> tuple[v.SessionView, ...]:
        return tuple(
            v.SessionView(fqdn, name, f"{fqdn}-{name}", "active", NOW - 60, 3)
            for fqdn, view in sorted(self.views.items())
            for name in sorted(view.sessions)
            if node in (None, fqdn) and daemon in (None, name)
        )

    async def latest(self, node: str, daemon: str) -> v.DataView:
        if (node, daemon) not in self.values:
            raise v.NotFoundError("value", daemon)
        return self.values[node, daemon]

    def follow(self, node: str, daemon: str) -> AbstractContextManager[Follower]:
        return self.watch.follow(node, daemon)

    async def latest_all(self, node: str) -> tuple[v.DataView, ...]:
        return tuple(value for (name, _), value in sorted(self.values.items()) if name == node)

    async def catalogue(self) -> tuple[v.CatalogueEntry, ...]:
        return self.entries

    async def facts(self) -> Mapping[str, Facts]:
        return {
            fqdn: {"fqdn": fqdn, "state": view.state, **self.told.get(fqdn, {})}
            for fqdn, view in self.views.items()
        }

    async def groups(self) -> tuple[Group, ...]:
        return tuple(self.defined[name] for name in sorted(self.defined))

    async def put_group(self, group: Group) -> bool:
        new = group.name not in self.defined
        self.defined[group.name] = group
        return new

    async def remove_group(self, name: str) -> bool:
        return self.defined.pop(name, None) is not None

    async def plan_job(self, order: v.JobOrder) -> tuple[tuple[str, ...], ...]:
        laid_out = plan(order.nodes, order.rollout, self.clusters)
        judge_sizes(order.rollout, len(order.nodes) - len(laid_out.beyond))
        return laid_out.batches

    async def create_job(self, order: v.JobOrder) -> v.JobView:
        if not any(entry.name == order.action for entry in self.entries):
            raise v.UnknownActionError(order.action, "every node", ("start_unit",))
        if isinstance(order.args, dict) and not isinstance(order.args.get("unit"), str):
            raise v.ArgumentsError(order.action, "args.unit", "a string", "42")
        if order.expect not in (None, len(order.nodes)):
            raise RolloutError("expect", f"{order.expect} nodes to match", str(len(order.nodes)))
        batches = await self.plan_job(order)
        batch_of = {node: number for number, batch in enumerate(batches, 1) for node in batch}
        key = (order.requester, order.idempotency_key or "")
        if order.idempotency_key and key in self.keys:
            return await self.job(self.keys[key])
        job = v.JobView(
            id=next(self._ids),
            action=order.action,
            args=order.args,
            requester=order.requester,
            created=NOW,
            timeout_s=order.timeout_s,
            expires=NOW + (order.expires_in_s or 60),
            dry_run=order.dry_run,
            state="running",
            counts=v.Counts(0),
            targets=tuple(
                replace(target_view(node), batch=number, state="queued" if number == 1 else "held")
                for node, number in batch_of.items()
            ),
            event=self.last,
            rollout=order.rollout,
            deadline=None if order.deadline_s is None else NOW + order.deadline_s,
        )
        job = replace(job, counts=counts_of(job.targets))
        self.orders.append(order)
        self.kept[job.id] = job
        if order.idempotency_key:
            self.keys[key] = job.id
        self.on_create(job)
        return await self.job(job.id)

    async def job(self, job_id: str) -> v.JobView:
        if job_id not in self.kept:
            raise v.NotFoundError("job", job_id)
        return replace(self.kept[job_id], event=self.last)

    async def jobs(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        requester: str | None = None,
        state: Literal["running", "done"] | None = None,
        action: str | None = None,
    ) -> tuple[v.JobView, ...]:
        found = [
            replace(job, targets=())
            for job_id, job in sorted(self.kept.items(), reverse=True)
            if (before is None or job_id < before)
            and requester in (None, job.requester)
            and state in (None, job.state)
            and action in (None, job.action)
        ]
        return tuple(found[:limit])

    async def cancel_job(
        self, job_id: str, *, requester: str, nodes: Collection[str] | None = None
    ) -> v.JobView:
        for target in (await self.job(job_id)).targets:
            if target.state != "final":
                self.move(job_id, target.node, cancel="asked")
        return await self.job(job_id)

    async def ping(self, nodes: Sequence[str], *, timeout_s: float = 5.0) -> tuple[v.PingView, ...]:
        return tuple(
            v.PingView(name, alive, 0.004 if alive else None, NOW - 3)
            for name in nodes
            for alive in [self.views[name].state == "connected"]
        )

    async def events(self, *, after: int, limit: int = 1000) -> tuple[v.EventView, ...]:
        kept = [event for event in self.log if event.sequence > max(after, self.forgotten)]
        return tuple(kept[:limit])

    async def last_event(self) -> int:
        return self.last

    @contextmanager
    def subscribe(self, *, after: int) -> Generator[AsyncIterable[v.EventView], None, None]:
        with self.bus.subscribe(after=after) as subscription:
            self.on_subscribe()
            yield subscription

    # What the test does

    @property
    def last(self) -> int:
        return self.log[-1].sequence if self.log else 0

    def happen(self, kind: str, node: str | None = None, /, **body: Any) -> v.EventView:
        event = v.EventView(self.last + 1, NOW, kind, node, body)
        self.log.append(event)
        self.bus.publish(event)
        return event

    def move(self, job_id: str, node: str, **changes: Any) -> None:
        """Change one target, tell it, and end the job with its last target."""
        job = self.kept[job_id]
        if "outcome" in changes:
            changes = {"state": "final", **changes}
        targets = tuple(
            replace(each, **changes) if each.node == node else each for each in job.targets
        )
        done = all(each.state == "final" for each in targets)
        state: Literal["running", "done"] = "done" if done else "running"
        job = replace(job, targets=targets, state=state, counts=counts_of(targets))
        self.kept[job_id] = job
        moved = next(each for each in targets if each.node == node)
        self.happen("job.target", node, job=job_id, **asdict(moved))
        if done:
            self.happen("job.done", None, job=job_id)

    def silence(self, fqdn: str) -> None:
        self.views[fqdn] = replace(self.views[fqdn], state="silent", reason="no contact")


async def nothing() -> None:
    pass


class FakeAccounts:
    """Users and tokens in dictionaries."""

    def __init__(self) -> None:
        self.notes: list[AuditNote] = []
        self.full = False
        self.in_between: Callable[[], Awaitable[None]] = nothing
        """Runs while a user is being created."""
        self.people = {
            role: m.User(name=role, role=role, created=MOMENT) for role in TOKENS.values()
        }
        self.issued: dict[str, m.Token] = {}
        self.enrolments: dict[str, m.EnrolmentToken] = {}
        self.mandates: tuple[Mandate, ...] = ()
        """Of the operator."""
        self.trail: tuple[m.AuditLine, ...] = ()
        self.read = 0
        """Lines of the trail that were asked for."""

    async def authenticate(self, token: str) -> Principal | None:
        role = TOKENS.get(token)
        if role is None:
            return None
        bound = self.mandates if role == "operator" else ()
        return Principal(role, role, f"id-of-{role}", bound)

    async def audit(self, note: AuditNote) -> None:
        if self.full:
            raise StoreFullError("no space left")
        self.notes.append(note)

    async def audit_trail(
        self, *, after: int, limit: int, before: int | None = None, order: AuditOrder = "oldest"
    ) -> Sequence[m.AuditLine]:
        end = math.inf if before is None else before
        found = [line for line in self.trail if after < line.sequence < end]
        cut = (found if order == "oldest" else found[::-1])[:limit]
        self.read += len(cut)
        return cut

    async def audit_length(self) -> int:
        return self.trail[-1].sequence if self.trail else 0

    async def bind_user(
        self, principal: Principal, name: str, mandates: Sequence[m.Mandate]
    ) -> m.User | None:
        user = self.people[name]  # type: ignore[index]  # any name, not only a role's
        bound = user.model_copy(update={"mandates": tuple(mandates)})
        self.people[name] = bound  # type: ignore[index]  # as above
        return bound

    async def users(self) -> Sequence[m.User]:
        return tuple(self.people.values())

    async def create_user(self, principal: Principal, request: m.UserRequest) -> m.User | None:
        await self.in_between()
        if request.name in self.people:
            return None
        user = m.User(
            name=request.name, role=request.role, created=MOMENT, mandates=request.mandates
        )
        self.people[request.name] = user  # type: ignore[index]  # any name, not only a role's
        return user

    async def delete_user(self, principal: Principal, name: str) -> bool:
        return self.people.pop(name, None) is not None  # type: ignore[call-overload]  # as above

    async def tokens(self) -> Sequence[m.Token]:
        return tuple(self.issued.values())

    async def create_token(
        self, principal: Principal, request: m.TokenRequest
    ) -> m.NewToken | None:
        if request.user not in self.people:
            return None
        made = m.NewToken(id="t1", user=request.user, created=MOMENT, secret="said-once")
        self.issued[made.id] = m.Token(**made.model_dump(exclude={"secret"}))
        return made

    async def revoke_token(self, principal: Principal, token_id: str) -> bool:
        return self.issued.pop(token_id, None) is not None

    async def enrolment_tokens(self) -> Sequence[m.EnrolmentToken]:
        return tuple(self.enrolments.values())

    async def create_enrolment_token(
        self, principal: Principal, request: m.EnrolmentTokenRequest
    ) -> m.NewEnrolmentToken:
        made = m.NewEnrolmentToken(
            id="e1",
            created=MOMENT,
            expires=MOMENT,
            nodes=request.nodes,
            uses=request.uses,
            uses_left=request.uses,
            created_by=principal.user,
            secret="enrol-once",
        )
        self.enrolments[made.id] = m.EnrolmentToken(**made.model_dump(exclude={"secret"}))
        return made

    async def revoke_enrolment_token(self, principal: Principal, token_id: str) -> bool:
        return self.enrolments.pop(token_id, None) is not None


class FakeAlerts:
    """Alerts in a dictionary; only tests raise and clear them."""

    def __init__(self) -> None:
        self.kept: dict[int, Alert] = {}

    def counts(self) -> Mapping[str, int]:
        return Counter(a.key.node for a in self.kept.values() if a.state == "open" and a.key.node)

    async def listed(
        self, which: AlertFilter, *, before: int | None, limit: int
    ) -> tuple[Alert, ...]:
        states = {"current": {"open", "acknowledged"}}.get(which.state or "", {which.state})
        found = [
            alert
            for number, alert in sorted(self.kept.items(), reverse=True)
            if (before is None or number < before)
            and (which.state is None or alert.state in states)
            and (which.nodes is None or alert.key.node in which.nodes)
            and which.kind in (None, alert.key.kind)
            and which.severity in (None, alert.severity)
        ]
        return tuple(found[:limit])

    async def find(self, alert: int) -> Alert:
        if alert not in self.kept:
            raise v.NotFoundError("alert", str(alert))
        return self.kept[alert]

    async def acknowledge(self, alert: int, *, by: str, note: str) -> Alert:
        found = await self.find(alert)
        if found.state == "open":
            done = Acknowledgement(by, NOW, note)
            self.kept[alert] = found = replace(found, acknowledged=done)
        return found

    # What the test does

    def put(self, kind: str = "node.silent", node: str | None = NODES[0], **more: Any) -> Alert:
        """Raise an alert."""
        number = len(self.kept) + 1
        key = Key(kind, node, more.pop("subject", None))
        values: dict[str, Any] = {"severity": "critical", "text": "go and see", "raised": NOW}
        self.kept[number] = Alert(number, key, **{**values, **more})
        return self.kept[number]


class FakeMetrics:
    """One metric."""

    async def families(self) -> tuple[Family, ...]:
        return (Family.one("emf_manager_nodes", "gauge", "Enrolled nodes.", len(NODES)),)


class FakeHistory:
    """Series of each node's daemon ``host``; their points are as many as were asked for."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], tuple[SeriesView, ...]] = {}
        self.asked: list[tuple[str, str, list[str], float, float, int]] = []

    async def series(self, node: str, daemon: str) -> tuple[SeriesView, ...]:
        return self.kept.get((node, daemon), ())

    async def read(
        self,
        node: str,
        daemon: str,
        wanted: Sequence[SeriesView],
        *,
        start: float,
        end: float,
        points: int,
    ) -> HistoryView:
        self.asked.append((node, daemon, [one.name for one in wanted], start, end, points))
        buckets = (Bucket(1.0, 2.0, 1.0, 3.0, 2.0), None)
        step = (end - start) / 2
        return HistoryView(start, step, tuple(replace(one, buckets=buckets) for one in wanted))


def a_service(
    engine: FakeEngine | None = None,
    accounts: FakeAccounts | None = None,
    alerts: FakeAlerts | None = None,
    history: FakeHistory | None = None,
    plans: FakePlans | None = None,
    *,
    now: Callable[[], float] = lambda: NOW,
) -> Service:
    """Return the manager as the routes see it, of fakes; each that is not given is a fresh one."""
    return Service(
        engine=engine or FakeEngine(),
        accounts=accounts or FakeAccounts(),
        alerts=alerts or FakeAlerts(),
        history=history or FakeHistory(),
        metrics=FakeMetrics(),
        plans=plans or FakePlans(),
        now=now,
    )


def node_view(fqdn: str) -> v.NodeView:
    return v.NodeView(
        fqdn=fqdn,
        state="connected",
        reason=None,
        last_contact=NOW - 3,
        protocol=2,
        agent_version="0.1.0",
        boot_id="boot-1",
        mode="allowlist",
        sessions={"agent": "active", "host": "active"},
        role=fqdn[:3],
    )


def data_view(node: str, daemon: str, value: Any, *, stale: bool = False) -> v.DataView:
    return v.DataView(node, daemon, "s1", 7, NOW - 3, 3.0, stale, value)


def target_view(node: str) -> v.TargetView:
    return v.TargetView(
        node=node,
        action_id=f"a-{node}",
        state="queued",
        silent=False,
        cancel=None,
        outcome=None,
        result=None,
        reason=None,
        seconds=None,
        truncated=False,
        fraction=None,
        message=None,
    )


def counts_of(targets: Sequence[v.TargetView]) -> v.Counts:
    told: dict[str, int] = {}
    for target in targets:
        name: str = target.outcome or target.state
        name = "succeeded" if name == "ok" else name
        told[name] = told.get(name, 0) + 1
    return v.Counts(len(targets), **told)
