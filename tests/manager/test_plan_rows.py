"""Plans in every store: kept whole, listed, counted, forgotten when they are old."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from emf_manager.plan_records import PlanRecord, StepRecord
from emf_manager.records import Job, NewAudit, NewEvent
from emf_manager.store.interface import KeyReusedError
from emf_manager.store.sql import SqlStore, open_store

pytestmark = pytest.mark.anyio

NOTE = NewAudit(1.0, "user:maria", "plan.create", "p1")
TOLD = NewEvent(1.0, "plan.created", None, {"plan": "p1"})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the store works in threads


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[SqlStore, None]:
    async with open_store(database_url) as store:
        yield store


def plan(plan_id: str = "p1", key: str | None = None, digest: str = "d1") -> PlanRecord:
    return PlanRecord(
        plan_id,
        "a plan",
        "maria",
        "maria",
        10.0,
        10.0,
        "sealed",
        digest,
        ["x"],
        idempotency_key=key,
    )


def steps(plan_id: str = "p1") -> tuple[StepRecord, ...]:
    return tuple(StepRecord(plan_id, place, "a", f"s{place}") for place in range(3))


async def make(store: SqlStore, record: PlanRecord) -> None:
    await store.plans.create(record, steps(record.id), events=[TOLD], audit=NOTE)


async def test_a_plan_is_read_as_it_was_written(store: SqlStore) -> None:
    made = await store.plans.create(plan(), steps(), events=[TOLD], audit=NOTE)

    assert (made.created, [event.kind for event in made.events]) == (True, ["plan.created"])
    assert await store.plans.find("p1") == (plan(), steps())
    assert await store.plans.running() == ((plan(), steps()),)
    assert await store.plans.find("p2") is None
    assert [line.entry.what for line in await store.audit_trail()] == ["plan.create"]


async def test_what_is_saved_is_there_at_once_with_its_events(store: SqlStore) -> None:
    await make(store, plan())
    ended = replace(plan(), state="failed", ended=20.0, reason="it broke", halt="timed_out")
    second = replace(steps()[1], state="failed", job_id="j1", reason="it \x00broke", ended=20.0)
    told = await store.plans.save(ended, [second], events=[NewEvent(20.0, "plan.done")])

    assert [event.sequence for event in told] == [2]
    found = await store.plans.find("p1")
    assert found is not None
    assert found[0] == ended
    assert found[1][1] == replace(second, reason="it \ufffdbroke")
    assert await store.plans.running() == ()
    assert await store.plans.tallies(["p1"]) == {"p1": {"pending": 2, "failed": 1}}


async def test_a_key_names_one_plan_of_its_user(store: SqlStore) -> None:
    await make(store, plan(key="k1"))
    again = await store.plans.create(plan("p2", "k1"), steps("p2"), events=[TOLD], audit=NOTE)

    assert (again.created, again.plan.id) == (False, "p1")
    with pytest.raises(KeyReusedError, match="names plan p1"):
        await store.plans.create(plan("p3", "k1", "other"), steps("p3"), events=[TOLD], audit=NOTE)
    joes = replace(plan("p4", "k1"), requester="joe")
    assert (await store.plans.create(joes, steps("p4"), events=[TOLD], audit=NOTE)).created
    assert len(await store.events()) == 2


async def test_plans_are_listed_newest_first_and_filtered(store: SqlStore) -> None:
    for number in range(4):
        await make(store, plan(f"p{number}"))
    done = replace(plan("p0"), state="succeeded", ended=20.0)
    await store.plans.save(done, [], events=[])

    assert [p.id for p in await store.plans.listed(limit=2)] == ["p3", "p2"]
    assert [p.id for p in await store.plans.listed(limit=2, before="p2")] == ["p1", "p0"]
    assert [p.id for p in await store.plans.listed(limit=9, state="succeeded")] == ["p0"]
    assert await store.plans.listed(limit=9, requester="joe") == ()


async def test_a_job_is_found_by_its_users_key(store: SqlStore) -> None:
    job = Job("j1", "a", None, "maria", 1.0, 2.0, idempotency_key="plan:p1:1:0")
    await store.create_job(job, ())

    assert await store.plans.job_of("maria", "plan:p1:1:0") == "j1"
    assert await store.plans.job_of("joe", "plan:p1:1:0") is None


async def test_old_plans_are_forgotten_and_running_ones_never(store: SqlStore) -> None:
    await make(store, plan("old"))
    await make(store, plan("running"))
    await store.plans.save(replace(plan("old"), state="failed", ended=20.0), [], events=[])

    await store.prune(before=100.0)

    assert await store.plans.find("old") is None
    assert await store.plans.find("running") == (plan("running"), steps("running"))
