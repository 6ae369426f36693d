"""Alerts in the database: their numbers, their states, and how far the events were looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, select, update

from emf_manager.alerts.conditions import Life, Vitals, read_vitals
from emf_manager.alerts.values import HAPPENED, Acknowledgement, Alert, Condition, Key
from emf_manager.records import Event, NewAudit, NewEvent
from emf_manager.store import schema as t
from emf_manager.store.trails import append_audit, append_events, take_numbers

__all__ = ["AlertFilter", "AlertRows", "AlertStore", "AlertsWritten", "Report"]

STRETCH = 500
SEEN = "alerts_seen"
"""The counter that says how far the events were looked at."""


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts are meant; None means any."""

    state: Literal["open", "acknowledged", "cleared", "current"] | None = None
    """``current`` is whatever is not cleared."""
    nodes: Collection[str] | None = None
    kind: str | None = None
    severity: str | None = None


@dataclass(frozen=True)
class Report:
    """What an agent said of itself last, and when that came."""

    vitals: Vitals
    received: float


@dataclass(frozen=True)
class AlertsWritten:
    """What a write came to."""

    raised: tuple[Alert, ...] = ()
    events: tuple[Event, ...] = ()


class AlertStore(Protocol):
    """What the book of alerts asks of the store; every write returns after the commit.

    Every method raises ``StoreError`` when the database fails.
    """

    async def current(self) -> tuple[Alert, ...]:
        """Return every alert that is not cleared, oldest first."""
        ...

    async def seen(self) -> int:
        """Return the number of the last event that was looked at."""
        ...

    async def write(
        self, raised: Sequence[Condition], cleared: Collection[int], *, at: float, seen: int | None
    ) -> AlertsWritten:
        """Write new alerts and the end of others, with their events; ``seen`` is kept with them."""
        ...

    async def acknowledge(
        self, alert: int, done: Acknowledgement, *, audit: NewAudit
    ) -> tuple[Alert, tuple[Event, ...]] | None:
        """Acknowledge an alert, once: whoever comes later changes nothing. None: no such alert."""
        ...

    async def find(self, alert: int) -> Alert | None:
        """Return one alert; None where there is none."""
        ...

    async def listed(
        self, which: AlertFilter, *, before: int | None, limit: int
    ) -> tuple[Alert, ...]:
        """Return alerts, the newest first, those with a number below ``before``."""
        ...

    async def lives(self) -> Mapping[str, Life]:
        """Return, by node, the life of its certificate that ends last and is not revoked."""
        ...

    async def reports(self) -> Mapping[str, Report]:
        """Return, by node, what its agent said of itself last."""
        ...


class AlertRows:
    """An ``AlertStore`` over the connections of a SQL store."""

    def __init__(self, read: Callable[..., Awaitable[Any]], write: Callable[..., Any]) -> None:
        self._read = read
        self._write = write

    async def current(self) -> tuple[Alert, ...]:
        wanted = select(t.alerts).where(t.alerts.c.cleared.is_(None)).order_by(t.alerts.c.id)
        found: tuple[Alert, ...] = await self._read(lambda c: alerts_of(c, wanted))
        return found

    async def seen(self) -> int:
        wanted = select(t.counters.c.value).where(t.counters.c.name == SEEN)
        number: int = await self._read(lambda c: c.execute(wanted).scalar_one())
        return number

    async def write(
        self, raised: Sequence[Condition], cleared: Collection[int], *, at: float, seen: int | None
    ) -> AlertsWritten:
        written: AlertsWritten = await self._write(lambda c: write(c, raised, cleared, at, seen))
        return written

    async def acknowledge(
        self, alert: int, done: Acknowledgement, *, audit: NewAudit
    ) -> tuple[Alert, tuple[Event, ...]] | None:
        told: tuple[Alert, tuple[Event, ...]] | None = await self._write(
            lambda c: acknowledge(c, alert, done, audit)
        )
        return told

    async def find(self, alert: int) -> Alert | None:
        found: Alert | None = await self._read(lambda c: find(c, alert))
        return found

    async def listed(
        self, which: AlertFilter, *, before: int | None, limit: int
    ) -> tuple[Alert, ...]:
        found: tuple[Alert, ...] = await self._read(lambda c: listed(c, which, before, limit))
        return found

    async def lives(self) -> Mapping[str, Life]:
        certificate = t.certificates.c
        wanted = (
            select(certificate.fqdn, certificate.not_before, certificate.not_after)
            .where(certificate.revoked.is_(None))
            .order_by(certificate.not_after)
        )
        found: Mapping[str, Life] = await self._read(
            lambda c: {row[0]: Life(row[1], row[2]) for row in c.execute(wanted)}
        )
        return found

    async def reports(self) -> Mapping[str, Report]:
        found: Mapping[str, Report] = await self._read(reports)
        return found


def write(
    connection: Connection,
    raised: Sequence[Condition],
    cleared: Collection[int],
    at: float,
    seen: int | None,
) -> AlertsWritten:
    if seen is not None:
        mine = t.counters.c.name == SEEN
        connection.execute(update(t.counters).where(mine).values(value=seen))
    first = take_numbers(connection, "alerts", len(raised)) + 1 if raised else 0
    new = tuple(
        Alert(number, one.key, one.severity, one.text, at)
        for number, one in enumerate(raised, first)
    )
    if new:
        connection.execute(t.alerts.insert(), [alert_row(alert) for alert in new])
    over: list[Alert] = []
    for number in sorted(cleared):
        mine = (t.alerts.c.id == number) & t.alerts.c.cleared.is_(None)
        if connection.execute(update(t.alerts).where(mine).values(cleared=at)).rowcount == 1:
            ended = find(connection, number)
            assert ended is not None
            over.append(ended)
    told = [
        *(alert_event("alert.cleared", alert, at) for alert in over),
        *(alert_event("alert.raised", alert, at) for alert in new),
    ]
    return AlertsWritten(new, append_events(connection, told))


def acknowledge(
    connection: Connection, alert: int, done: Acknowledgement, audit: NewAudit
) -> tuple[Alert, tuple[Event, ...]] | None:
    before = find(connection, alert)
    if before is None:
        return None
    columns = t.alerts.c
    mine = (columns.id == alert) & columns.acknowledged.is_(None) & columns.cleared.is_(None)
    values: dict[str, Any] = {
        "acknowledged": done.at,
        "acknowledged_by": done.by,
        "note": done.note,
    }
    if before.key.kind in HAPPENED:
        values["cleared"] = done.at
    if connection.execute(update(t.alerts).where(mine).values(values)).rowcount != 1:
        return before, ()
    after = find(connection, alert)
    assert after is not None
    append_audit(connection, (audit,))
    told = [alert_event("alert.acknowledged", after, done.at)]
    if after.cleared is not None:
        told.append(alert_event("alert.cleared", after, done.at))
    return after, append_events(connection, told)


def find(connection: Connection, alert: int) -> Alert | None:
    row = connection.execute(select(t.alerts).where(t.alerts.c.id == alert)).mappings().first()
    return None if row is None else read_alert(row)


def listed(
    connection: Connection, which: AlertFilter, before: int | None, limit: int
) -> tuple[Alert, ...]:
    """Look through stretches: a node set may be too long for a statement."""
    column = t.alerts.c
    wanted = select(t.alerts).order_by(column.id.desc()).limit(STRETCH)
    wanted = wanted.where(*of_state(which.state))
    if which.kind is not None:
        wanted = wanted.where(column.kind == which.kind)
    if which.severity is not None:
        wanted = wanted.where(column.severity == which.severity)
    found: list[Alert] = []
    while len(found) < limit:
        stretch = alerts_of(
            connection, wanted if before is None else wanted.where(column.id < before)
        )
        if not stretch:
            break
        found += [a for a in stretch if which.nodes is None or a.key.node in which.nodes]
        before = stretch[-1].id
    return tuple(found[:limit])


def reports(connection: Connection) -> Mapping[str, Report]:
    """Read row by row: a report holds every schema of a node, and little of it is needed here."""
    value = t.values.c
    wanted = (
        select(value.node, value.body, value.received)
        .where(value.daemon == "agent")
        .execution_options(yield_per=20)
    )
    return {row[0]: Report(read_vitals(row[1]), row[2]) for row in connection.execute(wanted)}


def of_state(state: str | None) -> list[ColumnElement[bool]]:
    column = t.alerts.c
    match state:
        case "open":
            return [column.cleared.is_(None), column.acknowledged.is_(None)]
        case "acknowledged":
            return [column.cleared.is_(None), column.acknowledged.is_not(None)]
        case "cleared":
            return [column.cleared.is_not(None)]
        case "current":
            return [column.cleared.is_(None)]
    return []


def alerts_of(connection: Connection, wanted: Select[Any]) -> tuple[Alert, ...]:
    return tuple(map(read_alert, connection.execute(wanted).mappings()))


def read_alert(row: RowMapping) -> Alert:
    done = None
    if row["acknowledged"] is not None:
        done = Acknowledgement(row["acknowledged_by"], row["acknowledged"], row["note"] or "")
    return Alert(
        id=row["id"],
        key=Key(row["kind"], row["node"], row["subject"]),
        severity=row["severity"],
        text=row["text"],
        raised=row["raised"],
        cleared=row["cleared"],
        acknowledged=done,
    )


def alert_row(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "kind": alert.key.kind,
        "node": alert.key.node,
        "subject": alert.key.subject,
        "severity": alert.severity,
        "text": alert.text,
        "raised": alert.raised,
    }


def alert_event(kind: str, alert: Alert, at: float) -> NewEvent:
    """Return the event that an alert was raised, acknowledged or cleared."""
    done = alert.acknowledged
    return NewEvent(
        at,
        kind,
        alert.key.node,
        {
            "alert": alert.id,
            "kind": alert.key.kind,
            "subject": alert.key.subject,
            "severity": alert.severity,
            "text": alert.text,
            "state": alert.state,
            "by": None if done is None else done.by,
            "note": None if done is None else done.note,
        },
    )
