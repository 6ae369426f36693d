"""Blocks of the history in the store: kept, read by span, pruned, and gone with their node."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from emf_manager.records import Certificate, EnrolmentGrant, NewAudit, Node
from emf_manager.store import history_rows
from emf_manager.store.history import HistoryRow
from emf_manager.store.interface import Changes, Store
from emf_manager.store.sql import open_store

pytestmark = pytest.mark.anyio

NODE = "oss1.example.com"
NOTE = NewAudit(1.0, "test", "test")
ROW = HistoryRow(NODE, "host", 60, 0.0, 1800.0, b"\x00\xff block")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the store works in threads


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[Store, None]:
    async with open_store(database_url) as store:
        await store.record(Changes(nodes=(Node(NODE, enrolled=1.0),)))
        yield store


async def kept(store: Store, step: int = 60) -> tuple[HistoryRow, ...]:
    return await store.history.read(NODE, "host", step, after=-math.inf, before=math.inf)


async def test_blocks_are_read_by_the_span_they_reach_into(store: Store) -> None:
    rows = [replace(ROW, start=n * 1800.0, until=(n + 1) * 1800.0) for n in range(4)]
    await store.history.add(rows)
    await store.history.add([replace(ROW, daemon="stats"), replace(ROW, step=0)])

    found = await store.history.read(NODE, "host", 60, after=1800.0, before=5400.0)

    assert found == tuple(rows[1:3])
    assert await store.history.reach(NODE, "host", 60) == 7200.0
    assert await store.history.reach(NODE, "host", 600) is None
    assert set(await store.history.daemons(step=60)) == {(NODE, "host"), (NODE, "stats")}
    assert await store.history.daemons(node="other", step=60) == ()


async def test_a_block_of_the_same_start_replaces_the_other(store: Store) -> None:
    await store.history.add([ROW])
    await store.history.add([replace(ROW, body=b"new")])

    assert [row.body for row in await kept(store)] == [b"new"]


async def test_what_is_older_than_it_is_kept_goes(store: Store) -> None:
    await store.history.add([ROW, replace(ROW, start=1800.0, until=3600.0), replace(ROW, step=0)])

    assert await store.history.prune(60, before=3000.0) == 1
    assert [row.start for row in await kept(store)] == [1800.0]
    assert len(await kept(store, 0)) == 1


async def test_however_much_is_too_old_goes_some_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_rows, "AT_ONCE", 2)
    await store.history.add([replace(ROW, start=float(n), until=n + 1.0) for n in range(7)])

    assert await store.history.prune(60, before=5.5) == 5
    assert [row.start for row in await kept(store)] == [5.0, 6.0]
    assert await store.history.prune(60, before=5.5) == 0
    assert await store.history.prune(60, before=100.0) == 2


async def test_a_removed_node_s_history_goes_and_does_not_come_back(store: Store) -> None:
    await store.history.add([ROW])
    await store.remove_node(NODE, at=2.0, reason="scrapped", audit=NOTE)
    assert await kept(store) == ()

    await store.history.add([ROW, replace(ROW, node="stranger")])
    assert await kept(store) == ()


async def test_a_node_that_enrols_again_starts_without_the_earlier_one_s_history(
    store: Store,
) -> None:
    await store.history.add([ROW])
    grant = EnrolmentGrant("g", "hash", "*", None, 1, 1, 1.0, 99.0, "test")
    await store.add_grant(grant, audit=NOTE)
    await store.enrol("g", Certificate("s", NODE, 1.0, 99.0, "key", "pem"), at=2.0, audit=NOTE)

    assert await kept(store) == ()


async def test_nothing_to_add_is_no_fault(store: Store) -> None:
    await store.history.add([])

    assert await kept(store) == ()
