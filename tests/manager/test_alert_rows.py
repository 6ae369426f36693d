"""Alerts in every store: numbered, filtered, acknowledged once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from emf_manager.alerts.conditions import Life, Vitals
from emf_manager.alerts.values import Acknowledgement, Alert, Condition, Key
from emf_manager.records import Certificate, EnrolmentGrant, LatestValue, NewAudit, Node
from emf_manager.store.alert_rows import AlertFilter, Report
from emf_manager.store.interface import Changes
from emf_manager.store.sql import SqlStore, open_store

pytestmark = pytest.mark.anyio

NODE = "oss1.example.com"
NOTE = NewAudit(1.0, "test", "test")
SILENT = Condition(Key("node.silent", NODE), "critical", "go and see")
LATE = Condition(Key("daemon.late", NODE, "host"), "warning", "it is late")
FULL = Condition(Key("store.filling"), "critical", "make room")
CONFLICT = Condition(Key("job.conflict", NODE, "a.0"), "warning", "look at it")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the store works in threads


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[SqlStore, None]:
    async with open_store(database_url) as store:
        await store.record(Changes(nodes=(Node(NODE, enrolled=1.0),)))
        yield store


async def raised(store: SqlStore, *conditions: Condition, at: float = 10.0) -> tuple[Alert, ...]:
    return (await store.alerts.write(conditions, (), at=at, seen=None)).raised


async def numbers(store: SqlStore, **which: Any) -> list[int]:
    found = await store.alerts.listed(AlertFilter(**which), before=None, limit=10)
    return [alert.id for alert in found]


async def test_an_alert_is_numbered_and_told_and_read_back(store: SqlStore) -> None:
    written = await store.alerts.write((SILENT, FULL), (), at=10.0, seen=7)

    first, second = written.raised
    assert (first.id, first.key, first.raised, first.state) == (1, SILENT.key, 10.0, "open")
    assert await store.alerts.find(1) == first
    assert await store.alerts.find(2) == second
    assert await store.alerts.find(3) is None
    assert await store.alerts.current() == (first, second)
    assert await store.alerts.seen() == 7
    assert [(e.kind, e.node) for e in written.events] == [
        ("alert.raised", NODE),
        ("alert.raised", None),
    ]


async def test_one_that_is_cleared_stays_to_be_read(store: SqlStore) -> None:
    await raised(store, SILENT, LATE)

    written = await store.alerts.write((), (1, 99), at=20.0, seen=None)
    again = await store.alerts.write((), (1,), at=30.0, seen=None)

    assert [event.kind for event in written.events] == ["alert.cleared"]
    assert again.events == ()
    assert [alert.id for alert in await store.alerts.current()] == [2]
    ended = await store.alerts.find(1)
    assert ended is not None
    assert (ended.cleared, ended.state) == (20.0, "cleared")


async def test_the_first_to_acknowledge_is_kept(store: SqlStore) -> None:
    await raised(store, SILENT)
    told: list[Any] = []

    async def acknowledge(who: str) -> None:
        done = Acknowledgement(who, 20.0, f"{who} does it")
        told.append(await store.alerts.acknowledge(1, done, audit=NOTE))

    async with anyio.create_task_group() as tasks:
        for who in ("maria", "ann", "bo"):
            tasks.start_soon(acknowledge, who)

    assert len({alert.acknowledged for alert, _ in told}) == 1
    assert sorted(len(events) for _, events in told) == [0, 0, 1]
    assert len(await store.audit_trail()) == 1


async def test_acknowledging_what_happened_ends_it(store: SqlStore) -> None:
    await raised(store, CONFLICT)

    told = await store.alerts.acknowledge(1, Acknowledgement("maria", 20.0), audit=NOTE)

    assert told is not None
    alert, events = told
    assert (alert.state, alert.cleared) == ("cleared", 20.0)
    assert [event.kind for event in events] == ["alert.acknowledged", "alert.cleared"]


async def test_one_that_is_not_there_or_over_is_not_acknowledged(store: SqlStore) -> None:
    await raised(store, SILENT)
    await store.alerts.write((), (1,), at=20.0, seen=None)

    over = await store.alerts.acknowledge(1, Acknowledgement("maria", 30.0), audit=NOTE)

    assert over is not None
    assert (over[0].acknowledged, over[1]) == (None, ())
    assert await store.alerts.acknowledge(9, Acknowledgement("m", 30.0), audit=NOTE) is None


async def test_alerts_are_listed_as_asked_for(store: SqlStore) -> None:
    await raised(store, SILENT, LATE, FULL, CONFLICT)
    await store.alerts.acknowledge(2, Acknowledgement("maria", 20.0), audit=NOTE)
    await store.alerts.write((), (3,), at=30.0, seen=None)

    assert await numbers(store) == [4, 3, 2, 1]
    assert await numbers(store, state="open") == [4, 1]
    assert await numbers(store, state="acknowledged") == [2]
    assert await numbers(store, state="cleared") == [3]
    assert await numbers(store, state="current") == [4, 2, 1]
    assert await numbers(store, kind="daemon.late") == [2]
    assert await numbers(store, severity="critical") == [3, 1]
    assert await numbers(store, nodes={NODE}) == [4, 2, 1]
    assert await numbers(store, nodes={"mds1"}) == []


async def test_a_page_begins_below_a_number_and_ends_at_the_limit(store: SqlStore) -> None:
    await raised(store, *(SILENT for _ in range(1200)))

    page = await store.alerts.listed(AlertFilter(nodes={NODE}), before=1100, limit=600)

    assert [alert.id for alert in page] == list(range(1099, 499, -1))


async def test_hostile_words_are_kept_as_far_as_a_database_can(store: SqlStore) -> None:
    odd = Condition(Key("plugin.failed", NODE, "a\x00b\ud800"), "warning", "\x00'; DROP TABLE --")

    (alert,) = await raised(store, odd)

    assert await numbers(store) == [alert.id]


async def test_old_cleared_alerts_are_dropped_and_current_ones_stay(store: SqlStore) -> None:
    await raised(store, SILENT, LATE)
    await store.alerts.write((), (1,), at=20.0, seen=None)

    await store.prune(before=21.0)

    assert await numbers(store) == [2]


async def test_the_life_of_a_node_is_its_certificate_that_ends_last(store: SqlStore) -> None:
    grant = EnrolmentGrant("g", "x", "*", None, 1, 1, 1.0, 9e9, "test")
    await store.add_grant(grant, audit=NOTE)
    await store.enrol("g", Certificate("S1", NODE, 5.0, 100.0, "k", "pem"), at=5.0, audit=NOTE)
    await store.add_certificate(Certificate("S2", NODE, 60.0, 160.0, "k", "pem"), audit=NOTE)
    assert await store.alerts.lives() == {NODE: Life(60.0, 160.0)}

    await store.revoke_node(NODE, at=70.0, reason="lost", audit=NOTE)

    assert await store.alerts.lives() == {}


async def test_reports_are_read_as_far_as_they_can_be(store: SqlStore) -> None:
    await store.record(
        Changes(
            values=(
                LatestValue(NODE, "agent", "s1", 1, {"clock_offset_s": 3.5}, 10.0),
                LatestValue(NODE, "host", "s2", 1, {"clock_offset_s": 9.0}, 10.0),
            )
        )
    )

    assert await store.alerts.reports() == {NODE: Report(Vitals(clock_offset_s=3.5), 10.0)}
