"""The store over SQL: each method is one transaction of the writer's, or one read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Table, delete, func, select, update
from sqlalchemy.exc import DBAPIError

from emf_manager.authorization import Mandate
from emf_manager.records import (
    ApiToken,
    AuditEntry,
    AuditOrder,
    Certificate,
    EnrolmentGrant,
    Event,
    Job,
    LatestValue,
    NewAudit,
    NewEvent,
    Node,
    Orphan,
    SessionRecord,
    Target,
    User,
)
from emf_manager.store import identity_rows, job_rows
from emf_manager.store import schema as t
from emf_manager.store.alert_rows import AlertRows, AlertStore
from emf_manager.store.answer_rows import AnswerRows, AnswerStore
from emf_manager.store.changes import record
from emf_manager.store.connections import Connections, connect, explain_failure
from emf_manager.store.group_rows import SqlGroups
from emf_manager.store.groups import GroupStore
from emf_manager.store.history import HistoryStore
from emf_manager.store.history_rows import SqlHistory
from emf_manager.store.interface import (
    Changes,
    Committed,
    Created,
    Loaded,
    TargetTally,
)
from emf_manager.store.login_rows import SqlLogins
from emf_manager.store.logins import LoginStore
from emf_manager.store.node_rows import NodeFile, read_node_file
from emf_manager.store.plan_rows import PlanRows, PlanStore
from emf_manager.store.roll_rows import RollRow, read_roll
from emf_manager.store.rollout_rows import SqlRollouts
from emf_manager.store.rollouts import RolloutStore
from emf_manager.store.rows import (
    insert_new,
    mandates_column,
    read,
    read_node,
    read_orphan,
    read_user,
    row_of,
    user_row,
)
from emf_manager.store.trails import append_audit, take_numbers
from emf_manager.store.upgrade import bring_up_to_date
from emf_manager.store.writer import Writer

__all__ = ["SqlStore", "open_store"]

T = TypeVar("T")


@asynccontextmanager
async def open_store(url: str, *, max_bytes: int | None = None) -> AsyncGenerator[SqlStore, None]:
    """Open the store at an SQLAlchemy URL, made or migrated where that is due.

    Writing ends with the block: what was asked for inside it is written first.

    Raises:
        ConfigurationError: the URL. StoreError: the database cannot be opened, or is newer.

    """
    connections = connect(url, max_bytes=max_bytes)
    try:
        await anyio.to_thread.run_sync(bring_up_to_date, connections.writing)
        writer = Writer(connections.writing)
        failed: list[Exception] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            try:
                yield SqlStore(connections, writer)
            except Exception as error:  # noqa: BLE001 - raised below: a task group would wrap it
                failed.append(error)
            finally:
                writer.close()
        if failed:
            raise failed[0]
    finally:
        connections.dispose()


class SqlStore:
    """A ``Store`` over SQLite or PostgreSQL; ``open_store`` makes one."""

    def __init__(self, connections: Connections, writer: Writer) -> None:
        self._connections = connections
        self._writer = writer
        self._readers = anyio.CapacityLimiter(4)
        self.alerts: AlertStore = AlertRows(self._read, writer.write)
        self.answers: AnswerStore = AnswerRows(writer.write)
        self.logins: LoginStore = SqlLogins(self._read, writer.write)
        self.history: HistoryStore = SqlHistory(self._read, writer.write)
        self.written = writer.written
        self.rollouts: RolloutStore = SqlRollouts(writer)
        self.groups: GroupStore = SqlGroups(writer, self._read)
        self.plans: PlanStore = PlanRows(self._read, writer.write)

    # The engine

    async def load(self) -> Loaded:
        return await self._read(_load)

    async def record(self, changes: Changes) -> Committed:
        return await self._writer.write(lambda connection: record(connection, changes))

    async def create_job(
        self, job: Job, targets: tuple[Target, ...], *, events: tuple[NewEvent, ...] = ()
    ) -> Created:
        return await self._writer.write(lambda c: job_rows.create_job(c, job, targets, events))

    async def job(self, job_id: str) -> tuple[Job, tuple[Target, ...]] | None:
        return await self._read(lambda c: job_rows.find_job(c, job_id))

    async def jobs(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        requester: str | None = None,
        state: Literal["running", "done"] | None = None,
        action: str | None = None,
    ) -> tuple[Job, ...]:
        return await self._read(
            lambda c: job_rows.list_jobs(
                c, limit=limit, before=before, requester=requester, state=state, action=action
            )
        )

    async def job_states(self) -> Mapping[str, int]:
        """Count jobs by state."""
        return await self._read(job_rows.count_states)

    async def tallies(self, job_ids: Collection[str]) -> Mapping[str, TargetTally]:
        return await self._read(lambda c: job_rows.tally(c, job_ids))

    async def values(
        self, *, node: str | None = None, daemon: str | None = None
    ) -> tuple[LatestValue, ...]:
        wanted = select(t.values).order_by(t.values.c.node, t.values.c.daemon)
        if node is not None:
            wanted = wanted.where(t.values.c.node == node)
        if daemon is not None:
            wanted = wanted.where(t.values.c.daemon == daemon)
        return await self._rows(wanted, LatestValue)

    async def sessions(self, *, node: str | None = None) -> tuple[SessionRecord, ...]:
        wanted = select(t.sessions).order_by(t.sessions.c.started.desc())
        if node is not None:
            wanted = wanted.where(t.sessions.c.node == node)
        return await self._rows(wanted, SessionRecord)

    async def orphans(self) -> tuple[Orphan, ...]:
        wanted = select(t.orphans).order_by(t.orphans.c.outcome_at)
        return await self._read(lambda c: tuple(map(read_orphan, c.execute(wanted).mappings())))

    async def events(
        self, *, after: int = 0, limit: int = 1000, kinds: Collection[str] | None = None
    ) -> tuple[Event, ...]:
        wanted = (
            select(t.events)
            .where(t.events.c.sequence > after)
            .order_by(t.events.c.sequence)
            .limit(limit)
        )
        if kinds is not None:
            wanted = wanted.where(t.events.c.kind.in_(kinds))
        return await self._rows(wanted, Event)

    async def event_bounds(self) -> tuple[int, int]:
        number = t.events.c.sequence
        oldest, newest = await self._read(
            lambda c: c.execute(select(func.min(number), func.max(number))).one()
        )
        return oldest or 0, newest or 0

    async def audit(self, entry: NewAudit) -> AuditEntry:
        (link,) = await self._writer.write(lambda c: append_audit(c, (entry,)))
        return link

    async def audit_length(self) -> int:
        wanted = select(t.counters.c.value).where(t.counters.c.name == "audit")
        length: int = await self._read(lambda c: c.execute(wanted).scalar_one())
        return length

    async def audit_trail(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        order: AuditOrder = "oldest",
        limit: int = 1000,
    ) -> tuple[AuditEntry, ...]:
        number = t.audit.c.sequence
        wanted = select(t.audit).where(number > after).limit(limit)
        wanted = wanted.order_by(number.desc() if order == "newest" else number)
        if before is not None:
            wanted = wanted.where(number < before)
        return await self._read(
            lambda c: tuple(
                AuditEntry(row["sequence"], read(NewAudit, row), row["digest"])
                for row in c.execute(wanted).mappings()
            )
        )

    async def prune(self, *, before: float) -> int:
        return await self._writer.write(lambda c: _prune(c, before))

    async def raise_epoch(self, *, above: int = 0) -> int:
        def raised(connection: Connection) -> int:
            new = max(take_numbers(connection, "epoch", 1), above) + 1
            mine = t.counters.c.name == "epoch"
            connection.execute(update(t.counters).where(mine).values(value=new))
            return new

        return await self._writer.write(raised)

    # Nodes and their identity

    async def nodes(self, *, removed: bool = False) -> tuple[Node, ...]:
        return await self._read(lambda c: identity_rows.nodes_listed(c, removed=removed))

    async def roll(self) -> tuple[RollRow, ...]:
        return await self._read(read_roll)

    async def node_file(self, fqdn: str) -> NodeFile | None:
        return await self._read(lambda c: read_node_file(c, fqdn))

    async def node(self, fqdn: str) -> Node | None:
        row = await self._first(select(t.nodes).where(t.nodes.c.fqdn == fqdn))
        return None if row is None else read_node(row)

    async def remove_node(
        self, fqdn: str, *, at: float, reason: str, audit: NewAudit
    ) -> tuple[Committed, tuple[Certificate, ...]] | None:
        return await self._writer.write(
            lambda c: identity_rows.remove_node(c, fqdn, at, reason, audit)
        )

    async def revoke_node(
        self, fqdn: str, *, at: float, reason: str, audit: NewAudit
    ) -> tuple[Committed, tuple[Certificate, ...]] | None:
        return await self._writer.write(
            lambda c: identity_rows.revoke_node(c, fqdn, at, reason, audit)
        )

    async def approve_node(self, fqdn: str, *, at: float, audit: NewAudit) -> Committed | None:
        return await self._writer.write(lambda c: identity_rows.approve_node(c, fqdn, at, audit))

    async def label_node(
        self, fqdn: str, labels: Mapping[str, str], *, at: float, audit: NewAudit
    ) -> Committed | None:
        return await self._writer.write(
            lambda c: identity_rows.label_node(c, fqdn, labels, at, audit)
        )

    async def waiting_nodes(self) -> frozenset[str]:
        node = t.nodes.c
        wanted = select(node.fqdn).where(node.waiting.is_(True), node.state != "removed")
        return await self._read(lambda c: frozenset(c.execute(wanted).scalars()))

    async def add_grant(self, grant: EnrolmentGrant, *, audit: NewAudit) -> None:
        await self._insert(t.grants, grant, audit)

    async def find_grant(self, secret_sha256: str) -> EnrolmentGrant | None:
        row = await self._first(select(t.grants).where(t.grants.c.secret_sha256 == secret_sha256))
        return None if row is None else read(EnrolmentGrant, row)

    async def grants(self) -> tuple[EnrolmentGrant, ...]:
        return await self._rows(
            select(t.grants).order_by(t.grants.c.created.desc()), EnrolmentGrant
        )

    async def revoke_grant(self, grant_id: str, *, at: float, audit: NewAudit) -> bool:
        return await self._mark(t.grants, "id", grant_id, {"revoked": at}, audit)

    async def enrol(
        self, grant_id: str, certificate: Certificate, *, at: float, audit: NewAudit
    ) -> tuple[Node, tuple[Certificate, ...]]:
        return await self._writer.write(
            lambda c: identity_rows.enrol(c, grant_id, certificate, at, audit)
        )

    async def add_certificate(self, certificate: Certificate, *, audit: NewAudit) -> None:
        await self._insert(t.certificates, certificate, audit)

    async def certificates(self, *, fqdn: str | None = None) -> tuple[Certificate, ...]:
        wanted = select(t.certificates).order_by(t.certificates.c.not_before.desc())
        if fqdn is not None:
            wanted = wanted.where(t.certificates.c.fqdn == fqdn)
        return await self._rows(wanted, Certificate)

    async def revoked_serials(self, *, now: float) -> Mapping[str, str]:
        wanted = select(t.certificates.c.serial, t.certificates.c.fqdn).where(
            t.certificates.c.revoked.is_not(None), t.certificates.c.not_after > now
        )
        return await self._read(lambda c: {row.serial: row.fqdn for row in c.execute(wanted)})

    # Users

    async def add_user(self, user: User, *, audit: NewAudit) -> bool:
        def add(connection: Connection) -> bool:
            added = insert_new(connection, t.users, user_row(user))
            append_audit(connection, (audit if added else replace(audit, outcome="taken"),))
            return added

        return await self._writer.write(add)

    async def users(self) -> tuple[User, ...]:
        wanted = select(t.users).order_by(t.users.c.name)
        return await self._read(lambda c: tuple(map(read_user, c.execute(wanted).mappings())))

    async def bind_user(self, name: str, mandates: tuple[Mandate, ...], *, audit: NewAudit) -> bool:
        def bind(connection: Connection) -> bool:
            mine = update(t.users).where(t.users.c.name == name)
            known = (
                connection.execute(mine.values(mandates=mandates_column(mandates))).rowcount == 1
            )
            append_audit(connection, (audit if known else replace(audit, outcome="unknown"),))
            return known

        return await self._writer.write(bind)

    async def disable_user(self, name: str, *, at: float, audit: NewAudit) -> bool:
        return await self._mark(t.users, "name", name, {"disabled": at}, audit)

    async def delete_user(self, name: str, *, audit: NewAudit) -> bool:
        def remove(connection: Connection) -> bool:
            connection.execute(delete(t.api_tokens).where(t.api_tokens.c.user == name))
            gone = connection.execute(delete(t.users).where(t.users.c.name == name)).rowcount == 1
            append_audit(connection, (audit if gone else replace(audit, outcome="unknown"),))
            return gone

        return await self._writer.write(remove)

    async def add_token(self, token: ApiToken, *, audit: NewAudit) -> bool:
        def add(connection: Connection) -> bool:
            owner = select(t.users.c.name).where(t.users.c.name == token.user)
            known = connection.execute(owner).first() is not None
            if known:
                connection.execute(t.api_tokens.insert(), row_of(token))
            append_audit(connection, (audit if known else replace(audit, outcome="unknown"),))
            return known

        return await self._writer.write(add)

    async def tokens(self) -> tuple[ApiToken, ...]:
        return await self._rows(
            select(t.api_tokens).order_by(t.api_tokens.c.created.desc()), ApiToken
        )

    async def revoke_token(self, token_id: str, *, at: float, audit: NewAudit) -> bool:
        return await self._mark(t.api_tokens, "id", token_id, {"revoked": at}, audit)

    async def find_token(self, secret_sha256: str, *, now: float) -> tuple[ApiToken, User] | None:
        token = t.api_tokens.c
        wanted = select(t.api_tokens).where(
            token.secret_sha256 == secret_sha256,
            token.revoked.is_(None),
            token.expires.is_(None) | (token.expires > now),
        )

        def find(connection: Connection) -> tuple[ApiToken, User] | None:
            row = connection.execute(wanted).mappings().first()
            if row is None:
                return None
            owner = select(t.users).where(
                t.users.c.name == row["user"], t.users.c.disabled.is_(None)
            )
            user = connection.execute(owner).mappings().first()
            return None if user is None else (read(ApiToken, row), read_user(user))

        return await self._read(find)

    async def touch_tokens(self, used: Mapping[str, float]) -> None:
        def touch(connection: Connection) -> None:
            for token_id, at in used.items():
                mine = t.api_tokens.c.id == token_id
                connection.execute(update(t.api_tokens).where(mine).values(last_used=at))

        await self._writer.write(touch)

    # How it is done

    async def _read(self, work: Callable[[Connection], T]) -> T:
        if self._connections.in_memory:
            return await self._writer.write(work)

        def in_thread() -> T:
            try:
                with self._connections.reading.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                raise explain_failure(error) from error

        return await anyio.to_thread.run_sync(in_thread, limiter=self._readers)

    async def _rows(self, wanted: Any, kind: type[T]) -> tuple[T, ...]:
        return await self._read(
            lambda c: tuple(read(kind, row) for row in c.execute(wanted).mappings())
        )

    async def _first(self, wanted: Any) -> Any:
        return await self._read(lambda c: c.execute(wanted).mappings().first())

    async def _insert(self, table: Table, flat: object, audit: NewAudit) -> None:
        def insert(connection: Connection) -> None:
            connection.execute(table.insert(), row_of(flat))
            append_audit(connection, (audit,))

        await self._writer.write(insert)

    async def _mark(
        self, table: Table, key: str, name: str, new: Mapping[str, object], audit: NewAudit
    ) -> bool:
        """Set columns of one row where they are unset; audit it; tell whether the row is there."""

        def mark(connection: Connection) -> bool:
            mine = table.c[key] == name
            known = connection.execute(select(table.c[key]).where(mine)).first() is not None
            unset = [table.c[column].is_(None) for column in new]
            connection.execute(update(table).where(mine, *unset).values(new))
            append_audit(connection, (audit if known else replace(audit, outcome="unknown"),))
            return known

        return await self._writer.write(mark)


def _load(connection: Connection) -> Loaded:
    counted = {row.name: row.value for row in connection.execute(select(t.counters))}
    alive = select(t.sessions).where(t.sessions.c.state != "ended").order_by(t.sessions.c.started)
    taken = select(t.envelopes.c.node, t.envelopes.c.id).order_by(t.envelopes.c.number)
    envelopes: dict[str, tuple[str, ...]] = {}
    for node, envelope in connection.execute(taken):
        envelopes[node] = (*envelopes.get(node, ()), envelope)
    jobs, targets = job_rows.open_jobs(connection)
    return Loaded(
        epoch=counted["epoch"],
        last_event=counted["events"],
        nodes=identity_rows.nodes_listed(connection, removed=False),
        sessions=tuple(read(SessionRecord, row) for row in connection.execute(alive).mappings()),
        jobs=jobs,
        targets=targets,
        envelopes=envelopes,
    )


def _prune(connection: Connection, before: float) -> int:
    finished = (t.jobs.c.open_targets == 0) & (t.jobs.c.created < before)
    old_jobs = select(t.jobs.c.id).where(finished)
    old_plans = select(t.plans.c.id).where(t.plans.c.ended < before)
    still_named = select(t.certificates.c.grant_id).where(t.certificates.c.grant_id.is_not(None))
    doomed = (
        (t.sessions, t.sessions.c.ended < before),
        (t.events, t.events.c.at < before),
        (t.targets, t.targets.c.job_id.in_(old_jobs)),
        (t.jobs, finished),
        (t.orphans, t.orphans.c.outcome_at < before),
        (t.alerts, t.alerts.c.cleared < before),
        (t.plan_steps, t.plan_steps.c.plan_id.in_(old_plans)),
        (t.plans, t.plans.c.ended < before),
        (t.certificates, t.certificates.c.not_after < before),
        (t.grants, (t.grants.c.expires < before) & t.grants.c.id.not_in(still_named)),
    )
    return sum(connection.execute(delete(table).where(which)).rowcount for table, which in doomed)
