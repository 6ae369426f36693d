"""What the API needs of the manager behind it: the engine's face, the accounts' face, the time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

import anyio
from fastapi import Depends, Request
from pydantic import JsonValue

from emf_manager import views as v
from emf_manager.alerts.values import Alert
from emf_manager.api import models as m
from emf_manager.api.guard import AuditNote, principal_of
from emf_manager.authorization import Principal
from emf_manager.exposition import Family
from emf_manager.facts import Facts
from emf_manager.history.book import HistoryView, SeriesView
from emf_manager.plan_book import PlanDocument, PlanOrder
from emf_manager.plan_records import PlanState
from emf_manager.plans.values import Plan
from emf_manager.plans.views import PlanView
from emf_manager.records import AuditOrder
from emf_manager.store.alert_rows import AlertFilter
from emf_manager.store.groups import Group
from emf_manager.store.node_rows import NodeFile
from emf_manager.value_watch import Follower

__all__ = ["Accounts", "Alerts", "Caller", "Engine", "Manager", "Plans", "Service"]


class Engine(Protocol):
    """Nodes, data, actions, jobs and events; ``emf_manager.engine`` is the real one."""

    async def nodes(self) -> tuple[v.NodeView, ...]:
        """Return every enrolled node, by name."""
        ...

    async def roll(self) -> tuple[v.RollEntry, ...]:
        """Return every enrolled node, by name, as a look at the whole fleet needs it."""
        ...

    async def node_file(self, fqdn: str) -> NodeFile:
        """Return what is on file about a node; NotFoundError."""
        ...

    async def node(self, fqdn: str) -> v.NodeView:
        """Return one node; NotFoundError."""
        ...

    async def approve_node(self, fqdn: str, *, requester: str) -> None:
        """Let a waiting node speak; NotFoundError."""
        ...

    async def label_node(self, fqdn: str, labels: Mapping[str, str], *, requester: str) -> None:
        """Give a node these labels in place of those it has; NotFoundError."""
        ...

    async def revoke_node(self, fqdn: str, *, requester: str, reason: str) -> int:
        """Revoke a node's certificates, and count them; NotFoundError."""
        ...

    async def remove_node(self, fqdn: str, *, requester: str, reason: str) -> None:
        """Forget a node; NotFoundError."""
        ...

    async def sessions(
        self, *, node: str | None = None, daemon: str | None = None
    ) -> tuple[v.SessionView, ...]:
        """Return the sessions there are now."""
        ...

    async def latest(self, node: str, daemon: str) -> v.DataView:
        """Return the last value; NotFoundError."""
        ...

    async def latest_all(self, node: str) -> tuple[v.DataView, ...]:
        """Return the last value of each daemon of a node."""
        ...

    def follow(self, node: str, daemon: str) -> AbstractContextManager[Follower]:
        """Wake a follower at each change of a value or its session; RefusedError."""
        ...

    async def catalogue(self) -> tuple[v.CatalogueEntry, ...]:
        """Return every action some node has."""
        ...

    async def facts(self) -> Mapping[str, Facts]:
        """Return what is known of every node, flat and by name."""
        ...

    async def groups(self) -> tuple[Group, ...]:
        """Return the groups that operators defined, by name."""
        ...

    async def put_group(self, group: Group) -> bool:
        """Make a group, or make it another; tell whether it is new."""
        ...

    async def remove_group(self, name: str) -> bool:
        """Forget a group; False where there is none."""
        ...

    async def plan_job(self, order: v.JobOrder) -> tuple[tuple[str, ...], ...]:
        """Return in which batches an order's nodes would go; RolloutError."""
        ...

    async def create_job(self, order: v.JobOrder) -> v.JobView:
        """Store a job: once this returns it survives a restart."""
        ...

    async def job(self, job_id: str) -> v.JobView:
        """Return a job with its targets; NotFoundError."""
        ...

    async def jobs(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        requester: str | None = None,
        state: Literal["running", "done"] | None = None,
        action: str | None = None,
    ) -> tuple[v.JobView, ...]:
        """Return jobs without targets, newest first."""
        ...

    async def cancel_job(
        self, job_id: str, *, requester: str, nodes: Collection[str] | None = None
    ) -> v.JobView:
        """Ask for the end of a job; NotFoundError."""
        ...

    async def ping(self, nodes: Sequence[str], *, timeout_s: float = 5.0) -> tuple[v.PingView, ...]:
        """Ask each node to come back at once."""
        ...

    async def events(self, *, after: int, limit: int = 1000) -> tuple[v.EventView, ...]:
        """Return stored events above a number, in order."""
        ...

    async def last_event(self) -> int:
        """Return the number of the newest event; 0 before the first."""
        ...

    def subscribe(self, *, after: int) -> AbstractContextManager[AsyncIterable[v.EventView]]:
        """Hand out events from now on; ends at shutdown, raises TooSlowError."""
        ...


class Accounts(Protocol):
    """Users, their tokens, enrolment tokens, and the audit trail."""

    async def authenticate(self, token: str) -> Principal | None:
        """Return whose token this is; None where it is unknown, expired or revoked."""
        ...

    async def audit(self, note: AuditNote) -> None:
        """Keep a record of a write."""
        ...

    async def audit_trail(
        self, *, after: int, limit: int, before: int | None = None, order: AuditOrder = "oldest"
    ) -> Sequence[m.AuditLine]:
        """Return the audit trail between two numbers, without them, from the end that is named."""
        ...

    async def audit_length(self) -> int:
        """Return the number of the trail's last line; 0 where there is none."""
        ...

    async def users(self) -> Sequence[m.User]:
        """Return every user."""
        ...

    async def create_user(self, principal: Principal, request: m.UserRequest) -> m.User | None:
        """Create a user; None where the name is taken."""
        ...

    async def bind_user(
        self, principal: Principal, name: str, mandates: Sequence[m.Mandate]
    ) -> m.User | None:
        """Say what alone a user may order; None where there is none."""
        ...

    async def delete_user(self, principal: Principal, name: str) -> bool:
        """Delete a user and every token of theirs; False where there is none."""
        ...

    async def tokens(self) -> Sequence[m.Token]:
        """Return every API token, without secrets."""
        ...

    async def create_token(
        self, principal: Principal, request: m.TokenRequest
    ) -> m.NewToken | None:
        """Create a token; None where the user does not exist."""
        ...

    async def revoke_token(self, principal: Principal, token_id: str) -> bool:
        """Revoke a token; False where there is none."""
        ...

    async def enrolment_tokens(self) -> Sequence[m.EnrolmentToken]:
        """Return every enrolment token, without secrets."""
        ...

    async def create_enrolment_token(
        self, principal: Principal, request: m.EnrolmentTokenRequest
    ) -> m.NewEnrolmentToken:
        """Create an enrolment token."""
        ...

    async def revoke_enrolment_token(self, principal: Principal, token_id: str) -> bool:
        """Revoke an enrolment token; False where there is none."""
        ...


class Alerts(Protocol):
    """What somebody has to look at; ``emf_manager.alert_book`` is the real one."""

    def counts(self) -> Mapping[str, int]:
        """Return how many open alerts each node has that nobody has acknowledged."""
        ...

    async def listed(
        self, which: AlertFilter, *, before: int | None, limit: int
    ) -> tuple[Alert, ...]:
        """Return alerts, the newest first, those with a number below ``before``."""
        ...

    async def find(self, alert: int) -> Alert:
        """Return one alert; NotFoundError."""
        ...

    async def acknowledge(self, alert: int, *, by: str, note: str) -> Alert:
        """Note that somebody looks after an alert, the first time; NotFoundError."""
        ...


class History(Protocol):
    """What daemons said over time."""

    async def series(self, node: str, daemon: str) -> tuple[SeriesView, ...]:
        """Return what series there are, by name."""
        ...

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
        """Return series between two times in about so many points."""
        ...


class Metrics(Protocol):
    """What the manager counts."""

    async def families(self) -> Sequence[Family]:
        """Return every metric as it is now."""
        ...


class Plans(Protocol):
    """Documents of jobs that need each other; ``emf_manager.plan_book`` is the real one."""

    def read_document(self, text: str, given: Mapping[str, JsonValue]) -> Plan:
        """Return the plan in a text; FaultsError."""
        ...

    async def create(self, order: PlanOrder) -> PlanView:
        """Store a plan and run it: once this returns it survives a restart."""
        ...

    async def read(self, plan_id: str) -> PlanView:
        """Return a plan with its jobs; NotFoundError."""
        ...

    async def newest(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        requester: str | None = None,
        state: PlanState | None = None,
    ) -> tuple[PlanView, ...]:
        """Return plans without jobs, newest first."""
        ...

    async def document(self, plan_id: str) -> PlanDocument:
        """Return what was given to be run; NotFoundError."""
        ...

    async def cancel(self, plan_id: str, *, requester: str) -> PlanView:
        """Ask for the end of a plan; NotFoundError."""
        ...

    async def resume(self, plan_id: str, *, requester: str) -> PlanView:
        """Run again what did not succeed; NotFoundError, ConflictError."""
        ...


@dataclass(frozen=True)
class Service:
    """The manager as the routes see it."""

    engine: Engine
    accounts: Accounts
    alerts: Alerts
    history: History
    metrics: Metrics
    plans: Plans
    now: Callable[[], float] = time.time
    """Wall clock, seconds since the epoch."""
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    """Held by whoever looks at a version and then replaces it."""


async def service_of(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


async def caller_of(request: Request) -> Principal:
    return principal_of(request.scope)


Manager = Annotated[Service, Depends(service_of)]
"""A route's parameter: the manager behind the API."""
Caller = Annotated[Principal, Depends(caller_of)]
"""A route's parameter: who calls, as the guard found out."""
