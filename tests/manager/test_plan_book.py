"""Plans run to their end: over a real store, with a fleet in memory, killed wherever it hurts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import anyio
import pytest

from emf_manager.bus import Bus
from emf_manager.plan_book import PlanBook
from emf_manager.plan_driver import LOOK_EVERY_S, PAUSE_S
from emf_manager.safe import Safe
from emf_manager.store.interface import StoreFullError
from emf_manager.views import ConflictError, NotFoundError
from tests.manager.plan_bench import Bench, plan_bench, steps_of

pytestmark = pytest.mark.anyio

DOCUMENT = """\
version: 1
name: upgrade
vars: {package: lustre}
jobs:
  look:
    nodes: oss1
    steps:
      - {id: seen, action: version, args: "${{ vars.package }}", outputs: {major: "result.major"}}
  change:
    needs: look
    nodes: oss1,oss2
    steps:
      - id: install
        action: install
        args: {name: "${{ vars.package }}", was: "${{ jobs.look.steps.seen.outputs.major }}"}
        batch: 1
      - {action: restart, args: ["${{ steps.install.nodes[\\"oss2\\"].result }}"]}
  other: {nodes: mds1, steps: [{action: log}]}
"""

SHORT = """\
version: 1
jobs:
  look: {nodes: oss1, steps: [{id: seen, action: version}]}
  change:
    needs: look
    nodes: oss1
    steps: [{action: install, args: "${{ jobs.look.steps.seen.result }}"}]
"""


@pytest.fixture
def anyio_backend() -> str:
    """The store has a thread, so the loop keeps real time; the manager's clock is a fake."""
    return "asyncio"


@pytest.fixture
async def bench() -> AsyncGenerator[Bench, None]:
    async with plan_bench() as made:
        made.fleet.values = {"version": {"major": 2}, "install": "done"}
        yield made


@pytest.fixture
async def book(bench: Bench) -> AsyncGenerator[PlanBook, None]:
    async with bench.running() as running:
        yield running


async def test_a_plan_runs_to_its_end_with_outputs_in_place(bench: Bench, book: PlanBook) -> None:
    plan = await bench.start(DOCUMENT)
    done = await bench.until(plan.id, "succeeded")

    assert (done.counts.steps, done.counts.succeeded) == (4, 4)
    orders = {order.action: order for _, order in bench.fleet.orders}
    assert orders["install"].args == {"name": "lustre", "was": 2}
    assert orders["install"].options == {"batch": 1}
    assert orders["restart"].args == ["done"]
    assert orders["restart"].nodes == "oss1,oss2"
    kinds = await bench.kinds()
    assert (kinds[0], kinds[-1]) == ("plan.created", "plan.done")
    assert kinds.count("plan.step") == 8, "each step once it has its job, and once it has ended"


async def test_jobs_that_need_nothing_run_beside_each_other(bench: Bench, book: PlanBook) -> None:
    bench.fleet.script = {"version": None}
    plan = await bench.start(DOCUMENT)
    await bench.until_jobs(2)

    assert sorted(bench.fleet.actions()) == ["log", "version"]
    bench.fleet.end(bench.fleet.orders[0][0], "ok")
    await bench.until(plan.id, "succeeded")


async def test_a_failed_step_ends_its_job_and_is_told_with_its_reason(
    bench: Bench, book: PlanBook
) -> None:
    bench.fleet.script = {"install": "failed"}
    plan = await bench.start(DOCUMENT)
    done = await bench.until(plan.id, "failed")

    change = done.jobs[1]
    assert (change.state, change.reason) == ("failed", "failed on oss[1-2]: it broke")
    assert change.steps[1].reason == "step install did not succeed"
    assert steps_of(done)["other.step1"] == "succeeded"


async def test_a_resumed_plan_runs_what_did_not_succeed_and_keeps_the_outputs(
    bench: Bench, book: PlanBook
) -> None:
    bench.fleet.script = {"install": "failed"}
    plan = await bench.start(DOCUMENT)
    failed = await bench.until(plan.id, "failed")
    bench.fleet.script = {}
    again = await book.resume(plan.id, requester="ann")
    assert (again.state, again.attempt) == ("running", 2)
    done = await bench.until(plan.id, "succeeded")

    assert sorted(bench.fleet.actions()) == ["install", "install", "log", "restart", "version"]
    assert bench.fleet.orders[-2][1].args == {"name": "lustre", "was": 2}
    assert bench.fleet.jobs[bench.fleet.orders[-1][0]].requester == "ann"
    first, second = failed.jobs[1].steps[0], done.jobs[1].steps[0]
    assert first.job_id != second.job_id
    assert (first.attempt, second.attempt) == (1, 2)
    with pytest.raises(ConflictError, match="succeeded"):
        await book.resume(plan.id, requester="ann")


async def test_a_cancelled_plan_stops_what_runs_and_starts_nothing(
    bench: Bench, book: PlanBook
) -> None:
    bench.fleet.script = {"version": None, "log": None}
    plan = await bench.start(DOCUMENT)
    await bench.until_jobs(2)
    async with anyio.create_task_group() as tasks:
        for who in ("ann", "joe"):
            tasks.start_soon(partial(book.cancel, plan.id, requester=who))
    done = await bench.until(plan.id, "cancelled")

    assert done.reason in {"ann cancelled it", "joe cancelled it"}
    assert set(steps_of(done).values()) == {"cancelled"}
    assert sorted(bench.fleet.cancelled) == ["job1", "job2"]
    assert (await book.cancel(plan.id, requester="ann")).state == "cancelled"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        pytest.param('args: "${{ steps.a.result.zz }}"', "has no member 'zz'", id="member"),
        pytest.param('args: "${{ steps.a.nodes.oss9.result }}"', "did not run on", id="node"),
        pytest.param('args: "x${{ steps.a.result }}"', "cannot stand inside a text", id="text"),
        pytest.param('nodes: "${{ steps.a.result }}"', "expected a node set", id="nodes"),
        pytest.param('when: "${{ steps.a.result }}"', "neither true nor false", id="when"),
    ],
)
async def test_an_output_that_is_not_there_fails_the_step_and_says_which(
    bench: Bench, book: PlanBook, document: str, why: str
) -> None:
    text = "version: 1\njobs: {j: {nodes: oss1, steps: [{id: a, action: version}, {action: b, "
    plan = await bench.start(f"{text}{document}}}]}}}}")
    done = await bench.until(plan.id, "failed")

    assert why in str(done.jobs[0].steps[1].reason)


async def test_values_from_nodes_are_never_read_as_paths(bench: Bench, book: PlanBook) -> None:
    bench.fleet.values = {"version": "${{ vars.secret }}"}
    text = """\
    version: 1
    vars: {secret: hush}
    jobs:
      j:
        nodes: oss1
        steps: [{id: a, action: version}, {action: b, args: "${{ steps.a.result }}"}]
    """
    plan = await bench.start(text)
    await bench.until(plan.id, "succeeded")

    assert bench.fleet.orders[1][1].args == "${{ vars.secret }}"


@pytest.mark.parametrize(("value", "ran"), [(True, "succeeded"), (False, "skipped")])
async def test_a_step_runs_only_if_its_condition_is_true(
    bench: Bench, book: PlanBook, value: bool, ran: str
) -> None:
    bench.fleet.values = {"version": value}
    text = """\
    version: 1
    jobs:
      j:
        nodes: oss1
        steps: [{id: a, action: version}, {action: b, when: "${{ steps.a.result }}"}]
    """
    plan = await bench.start(text)
    done = await bench.until(plan.id, "succeeded")

    assert steps_of(done)["j.step2"] == ran


async def test_what_a_user_may_not_do_any_more_fails_the_step(bench: Bench, book: PlanBook) -> None:
    bench.fleet.refused = {"install": "no mandate of maria allows to order install"}
    plan = await bench.start(DOCUMENT)
    done = await bench.until(plan.id, "failed")

    assert done.jobs[1].reason == "no mandate of maria allows to order install"


async def test_a_timeout_of_the_plan_passes_while_it_waits(bench: Bench, book: PlanBook) -> None:
    bench.fleet.script = {"version": None}
    plan = await bench.start(DOCUMENT.replace("name: upgrade", "timeout: 5m"))
    await bench.until_jobs(2)
    bench.clock.advance(299.0)
    assert (await book.read(plan.id)).state == "running"
    bench.clock.advance(1.0)
    done = await bench.until(plan.id, "timed_out")

    assert done.reason == "the plan's timeout passed (300 s)"
    assert bench.fleet.cancelled == [done.jobs[0].steps[0].job_id]


async def test_the_same_key_is_the_same_plan(bench: Bench, book: PlanBook) -> None:
    from emf_manager.plan_book import PlanOrder

    plan = book.read_document(DOCUMENT, {})
    order = PlanOrder(plan, DOCUMENT, "maria", "key-0001")
    first, second = await book.create(order), await book.create(order)
    assert first.id == second.id
    other = book.read_document(DOCUMENT, {"package": "zfs"})
    with pytest.raises(ConflictError, match="already names plan"):
        await book.create(PlanOrder(other, DOCUMENT, "maria", "key-0001"))
    await bench.until(first.id, "succeeded")


async def test_plans_are_listed_newest_first_with_counts(bench: Bench, book: PlanBook) -> None:
    for _ in range(3):
        bench.clock.advance(1.0)
        plan = await bench.start(DOCUMENT)
        await bench.until(plan.id, "succeeded")

    found = await book.newest(limit=2)
    assert [view.counts.succeeded for view in found] == [4, 4]
    assert found[0].id > found[1].id
    (rest,) = await book.newest(before=found[1].id)
    assert rest.id < found[1].id
    assert await book.newest(requester="nobody") == ()
    assert await book.newest(state="failed") == ()
    with pytest.raises(NotFoundError):
        await book.read("nothing")


async def test_an_end_that_nobody_told_of_is_seen_before_long(bench: Bench, book: PlanBook) -> None:
    bench.fleet.script = {"log": None}
    plan = await bench.start(DOCUMENT)
    await bench.until_jobs(4)
    job_id = next(job for job, order in bench.fleet.orders if order.action == "log")
    publish, bench.fleet.bus.publish = bench.fleet.bus.publish, lambda event: None  # type: ignore[method-assign]
    bench.fleet.end(job_id, "ok")
    bench.fleet.bus.publish = publish  # type: ignore[method-assign]
    with anyio.move_on_after(0.05):
        await bench.until(plan.id, "succeeded")
    bench.clock.advance(LOOK_EVERY_S)

    await bench.until(plan.id, "succeeded")


async def test_a_full_disk_holds_a_plan_up_and_nothing_is_done_twice(
    bench: Bench, book: PlanBook
) -> None:
    bench.fleet.script = {"version": None, "log": None}
    plan = await bench.start(DOCUMENT)
    await bench.until_jobs(2)
    bench.store.full = StoreFullError("the test's disk")
    for job_id, _ in list(bench.fleet.orders):
        bench.fleet.end(job_id, "ok")
    with anyio.move_on_after(0.05):
        await bench.until(plan.id, "succeeded")
    bench.store.full = None
    for _ in range(3):
        bench.clock.advance(PAUSE_S)
        await anyio.sleep(0.01)

    await bench.until(plan.id, "succeeded")
    assert len(bench.fleet.actions()) == 4


async def one_life(bench: Bench, plan_id: str | None, kill_at: int | None) -> str:
    """Run until the plan has ended, or the process is killed at a point."""
    bench.store.kill_at = kill_at
    async with bench.running():
        if plan_id is None:
            plan_id = (await bench.start(SHORT)).id
        while kill_at is None or bench.store.points < kill_at:
            if (await bench.book.read(plan_id)).state != "running":
                break
            await anyio.sleep(0.003)
    return plan_id


@pytest.mark.slow("a manager is killed at each of some twenty points")
async def test_a_manager_killed_at_any_point_neither_loses_nor_doubles_a_step() -> None:
    point = 0
    killed = True
    while killed:
        point += 1
        async with plan_bench() as bench:
            with anyio.fail_after(30):
                plan_id = await one_life(bench, None, point)
                killed = bench.store.points >= point
                await one_life(bench, plan_id, None)
                done = await bench.until(plan_id, "succeeded")
            assert sorted(bench.fleet.actions()) == ["install", "version"]
            assert done.counts.succeeded == 2
            events = [e for e in await bench.sql.events() if e.kind == "plan.done"]
            assert len(events) == 1
    assert point > 10


async def test_a_plan_cancelled_just_before_a_kill_stays_cancelled(bench: Bench) -> None:
    bench.fleet.script = {"version": None, "log": None}
    async with bench.running() as book:
        plan = await bench.start(DOCUMENT)
        await bench.until_jobs(2)
        bench.store.point = lambda: None  # type: ignore[method-assign]
        await book.cancel(plan.id, requester="ann")
    async with bench.running():
        done = await bench.until(plan.id, "cancelled")

    assert done.reason == "ann cancelled it"
    assert len(bench.fleet.actions()) == 2


async def test_a_manager_whose_event_streams_are_all_taken_runs_plans(bench: Bench) -> None:
    bench.fleet.script = {"version": None}
    bench.fleet.bus = Bus(limit=0)
    async with bench.running():
        plan = await bench.start(DOCUMENT)
        await bench.until_jobs(2)
        await anyio.wait_all_tasks_blocked()
        bench.fleet.bus = Bus()
        bench.clock.advance(PAUSE_S)
        await anyio.wait_all_tasks_blocked()
        bench.fleet.end(bench.fleet.orders[0][0], "ok")
        await bench.until(plan.id, "succeeded")


async def test_a_plan_that_nobody_drives_is_cancelled_all_the_same(bench: Bench) -> None:
    bench.fleet.script = {"version": None, "log": None}
    async with bench.running():
        plan = await bench.start(DOCUMENT)
        await bench.until_jobs(2)
    async with bench.running() as book:  # whose task has not begun
        await book.cancel(plan.id, requester="ann")
        done = await bench.until(plan.id, "cancelled")

    assert done.reason == "ann cancelled it"
    assert sorted(bench.fleet.cancelled) == ["job1", "job2"]


async def test_a_plan_whose_document_cannot_be_read_any_more_ends(bench: Bench) -> None:
    bench.fleet.script = {"version": None, "log": None}
    async with bench.running():
        plan = await bench.start(DOCUMENT)
        await bench.until_jobs(2)
    bench.safe = Safe()
    async with bench.running():
        with anyio.fail_after(30):
            while True:
                found: Any = await bench.sql.plans.find(plan.id)
                if found[0].state != "running":
                    break
                await anyio.sleep(0.001)

    assert (found[0].state, found[1][0].state) == ("failed", "cancelled")
    assert "cannot read" in found[0].reason
