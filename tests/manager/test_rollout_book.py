"""Rollouts in the manager as one object: over a real store, with agents that answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from emf_manager.records import Outcome
from emf_manager.rollout_book import RolloutBook
from emf_manager.rollouts import Rollout, RolloutError, Share
from emf_manager.store.groups import Group
from emf_manager.store.interface import Changes, Remark
from emf_manager.views import ConflictError, JobOrder, JobView
from tests.manager.engine_bench import WITHIN_S, Agent, Bench, manager

pytestmark = pytest.mark.anyio

RUNNER = "action_runner"
NODES = ("n1.local", "n2.local", "n3.local", "n4.local")
ONE_BY_ONE = Rollout(batch=Share(1))


@pytest.fixture
def anyio_backend() -> str:
    """The store has a thread, so the loop keeps real time; the manager's clock is a fake."""
    return "asyncio"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench, None]:
    async with manager(tmp_path / "manager.db") as running:
        await running.enrol(*NODES)
        yield running


def order(rollout: Rollout = ONE_BY_ONE, **rest: Any) -> JobOrder:
    return JobOrder(
        **{"action": "a", "nodes": NODES, "requester": "maria", **rest}, rollout=rollout
    )


class Runner:
    """An agent whose action runner is open."""

    def __init__(self, bench: Bench, fqdn: str) -> None:
        self.agent = Agent(bench, fqdn=fqdn)
        self.session = ""

    async def take(self) -> str:
        """Return the action id that the manager hands out."""
        while True:
            for message in await self.agent.poll():
                if message["type"] == "DATA":
                    return str(message["body"]["id"])

    async def end(self, action_id: str, outcome: str = "ok") -> None:
        answer = {"id": action_id, "result": {"Ok": 3}, "outcome": outcome}
        if outcome != "ok":
            answer["result"] = {"Err": "no"}
        await self.agent.say(RUNNER, self.session, {"Ok": answer})

    async def do(self, outcome: str = "ok") -> None:
        await self.end(await self.take(), outcome)


@pytest.fixture
async def runners(bench: Bench) -> list[Runner]:
    """Return one for each node, each with a session."""
    opened = [Runner(bench, node) for node in NODES]
    for runner in opened:
        runner.session = await runner.agent.open(RUNNER)
    return opened


async def states(bench: Bench, job: JobView) -> list[str]:
    found = await bench.engine.job(job.id)
    counted = asdict(found.counts)
    assert counted.pop("targeted") == sum(counted.values()) == len(found.targets)
    return [target.outcome or target.state for target in found.targets]


async def settled(bench: Bench, job: JobView, *wanted: str) -> None:
    """Return once the job's nodes stand like this; the book has a task of its own."""
    with anyio.fail_after(WITHIN_S):
        while await states(bench, job) != list(wanted):
            await anyio.sleep(0.01)


async def kinds(bench: Bench) -> Counter[str]:
    return Counter(event.kind for event in await bench.engine.events(after=0))


async def test_nodes_go_batch_by_batch(bench: Bench, runners: list[Runner]) -> None:
    job = await bench.engine.create_job(order(Rollout(batch=Share(50, percent=True))))
    assert await states(bench, job) == ["queued", "queued", "held", "held"]
    assert job.rollout == Rollout(batch=Share(50, percent=True))

    first, second, third, fourth = runners
    await first.do()
    await second.do("failed")
    await settled(bench, job, "ok", "failed", "queued", "queued")
    await third.do()
    await fourth.do()

    await settled(bench, job, "ok", "failed", "ok", "ok")
    told = await kinds(bench)
    assert (told["job.released"], told["job.done"]) == (1, 1)


async def test_a_killed_manager_goes_on_where_it_was(bench: Bench, runners: list[Runner]) -> None:
    job = await bench.engine.create_job(order())
    await runners[0].do()
    await settled(bench, job, "ok", "queued", "held", "held")

    await bench.restart()

    assert await states(bench, job) == ["ok", "queued", "held", "held"]
    await runners[1].do()
    await settled(bench, job, "ok", "ok", "queued", "held")


async def test_what_was_over_before_a_kill_is_followed_after_it(
    bench: Bench, runners: list[Runner]
) -> None:
    job = await bench.engine.create_job(order())
    runner = runners[0]
    action_id = await runner.take()
    await bench.store.record(ended(job.targets[0], action_id))

    await bench.restart()

    await settled(bench, job, "ok", "queued", "held", "held")


def ended(target: Any, action_id: str) -> Changes:
    return Changes(outcomes=(Remark(Outcome(action_id, target.node, "ok", 1.0)),))


async def test_too_many_failures_stop_it_and_all_adds_up(
    bench: Bench, runners: list[Runner]
) -> None:
    job = await bench.engine.create_job(order(replace(ONE_BY_ONE, fail_limit=Share(1))))

    await runners[0].do("failed")

    await settled(bench, job, "failed", "cancelled", "cancelled", "cancelled")
    found = await bench.engine.job(job.id)
    assert found.state == "done"
    assert [target.reason for target in found.targets[1:]] == ["fail-limit"] * 3
    told = await kinds(bench)
    assert (told["job.stopped"], told["job.done"]) == (1, 1)


async def test_held_nodes_expire_at_the_deadline_and_nothing_starts_after_it(bench: Bench) -> None:
    job = await bench.engine.create_job(order(deadline_s=100.0))
    assert job.deadline == bench.clock.wall() + 100

    bench.clock.advance(101)

    await settled(bench, job, "expired", "expired", "expired", "expired")
    found = await bench.engine.job(job.id)
    assert found.targets[1].reason == "deadline"


async def test_a_deadline_bounds_what_is_handed_out(bench: Bench, runners: list[Runner]) -> None:
    await bench.engine.create_job(order(deadline_s=20.0, expires_in_s=300.0))

    (start,) = await runners[0].agent.poll()

    assert start["body"]["expires_in"] <= 20.0


async def test_a_later_batch_has_as_long_as_the_first(bench: Bench, runners: list[Runner]) -> None:
    job = await bench.engine.create_job(order(expires_in_s=50.0))
    bench.clock.advance(40)
    await runners[0].do()
    await settled(bench, job, "ok", "queued", "held", "held")

    bench.clock.advance(40)
    assert (await states(bench, job))[1] == "queued"
    bench.clock.advance(11)

    await settled(bench, job, "ok", "expired", "queued", "held")


async def test_cancelling_releases_nothing_more_whoever_asks_and_however_often(
    bench: Bench,
    runners: list[Runner],
) -> None:
    job = await bench.engine.create_job(order())
    runner = runners[0]
    action_id = await runner.take()

    async def cancel(user: str) -> None:
        await bench.engine.cancel_job(job.id, requester=user)

    async with anyio.create_task_group() as tasks:
        for user in ("ann", "bob"):
            tasks.start_soon(cancel, user)

    await settled(bench, job, "offered", "cancelled", "cancelled", "cancelled")
    first = (await bench.engine.job(job.id)).targets[0]
    assert (first.cancel, first.cancelled_by) in {("asked", "ann"), ("asked", "bob")}
    await runner.end(action_id, "cancelled")
    await settled(bench, job, "cancelled", "cancelled", "cancelled", "cancelled")
    assert (await kinds(bench))["job.released"] == 0


async def test_a_batch_that_is_released_while_somebody_cancels_is_cancelled_too(
    bench: Bench, runners: list[Runner], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await bench.engine.create_job(order())
    end_held = RolloutBook.cancel

    async def cancel_late(book: RolloutBook, *asked: Any) -> None:
        await runners[0].do()
        await settled(bench, job, "ok", "queued", "held", "held")
        await end_held(book, *asked)

    monkeypatch.setattr(RolloutBook, "cancel", cancel_late)
    await bench.engine.cancel_job(job.id, requester="ann")

    assert await states(bench, job) == ["ok", "cancelled", "cancelled", "cancelled"]


async def test_some_nodes_can_be_cancelled_while_they_are_held(
    bench: Bench, runners: list[Runner]
) -> None:
    job = await bench.engine.create_job(order())

    await bench.engine.cancel_job(job.id, requester="ann", nodes=[NODES[1]])
    await runners[0].do()

    await settled(bench, job, "ok", "cancelled", "queued", "held")


async def test_a_node_that_is_removed_does_not_hold_up_the_others(bench: Bench) -> None:
    job = await bench.engine.create_job(order())
    await bench.engine.remove_node(NODES[1], requester="ann", reason="gone")
    await bench.engine.remove_node(NODES[0], requester="ann", reason="gone")

    await settled(bench, job, "cancelled", "cancelled", "queued", "held")


async def test_a_node_that_is_enrolled_again_does_not_hold_up_the_others(
    bench: Bench, runners: list[Runner]
) -> None:
    job = await bench.engine.create_job(order())
    runner = runners[0]
    await runner.take()

    await bench.enrol(NODES[0])
    await bench.engine.seats.dismiss(NODES[0])

    await settled(bench, job, "unknown", "queued", "held", "held")


async def test_partners_of_one_cluster_are_never_out_together(bench: Bench) -> None:
    for one, other in ((NODES[0], NODES[1]), (NODES[2], NODES[3])):
        agent = Agent(bench, fqdn=one)
        session = await agent.open("corosync")
        members = [{"name": node, "id": node, "type": "Member"} for node in (one, other)]
        await agent.say("corosync", session, [one, {"nodes": members}])

    job = await bench.engine.create_job(order(Rollout(spread="ha")))

    assert await states(bench, job) == ["queued", "held", "queued", "held"]
    assert await bench.engine.plan_job(order(Rollout(spread="ha"))) == (
        (NODES[0], NODES[2]),
        (NODES[1], NODES[3]),
    )


async def test_operators_say_who_is_in_a_cluster(bench: Bench) -> None:
    await bench.engine.put_group(Group("ha-first", "n1,n2"))

    batches = await bench.engine.plan_job(order(Rollout(spread="ha")))

    assert batches == ((NODES[0], NODES[2], NODES[3]), (NODES[1],))


async def test_a_spread_over_nodes_of_no_known_cluster_is_refused(bench: Bench) -> None:
    with pytest.raises(RolloutError, match="spread: expected nodes whose HA cluster is known"):
        await bench.engine.create_job(order(Rollout(spread="ha")))


async def test_the_same_key_with_another_rollout_is_another_order(bench: Bench) -> None:
    first = await bench.engine.create_job(order(idempotency_key="a-key-of-mine"))
    again = await bench.engine.create_job(order(idempotency_key="a-key-of-mine"))
    assert again.id == first.id

    with pytest.raises(ConflictError):
        await bench.engine.create_job(order(Rollout(), idempotency_key="a-key-of-mine"))


async def test_a_full_disk_holds_a_rollout_up_and_no_longer(
    bench: Bench, runners: list[Runner]
) -> None:
    job = await bench.engine.create_job(order())
    runner = runners[0]
    action_id = await runner.take()
    bench.rollouts_fail = True
    await runner.end(action_id)
    await settled(bench, job, "ok", "held", "held", "held")

    bench.rollouts_fail = False
    bench.clock.advance(2)

    await settled(bench, job, "ok", "queued", "held", "held")


# Facts


async def test_facts_follow_what_nodes_say_and_survive_a_restart(bench: Bench) -> None:
    agent = Agent(bench, fqdn=NODES[0])
    session = await agent.open("host")
    await agent.say("host", session, {"os": {"id": "rhel", "version": "8.10"}})
    stats = await agent.open("stats")
    await agent.say("stats", stats, [{"Target": {"Stats": {"kind": "OST", "target": "fs-OST0"}}}])
    assert (await bench.engine.facts())[NODES[0]]["os.name"] == "rhel"

    await bench.restart()

    with anyio.fail_after(WITHIN_S):
        while "lustre.target" not in (await bench.engine.facts())[NODES[0]]:
            await anyio.sleep(0.01)
    facts = (await bench.engine.facts())[NODES[0]]
    assert (facts["os.name"], facts["lustre.target"]) == ("rhel", ("fs-OST0",))
    assert (await bench.engine.facts())[NODES[1]]["state"] == "never"
