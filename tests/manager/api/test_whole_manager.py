"""The API over the real engine and the real store, with a scripted agent on the other side."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from emf_manager.alert_book import open_alerts
from emf_manager.api import models as m
from emf_manager.api.account_book import AccountBook
from emf_manager.api.application import build_api
from emf_manager.api.plan_check import STEP_OPTIONS
from emf_manager.api.service import Service
from emf_manager.authorization import Principal
from emf_manager.client.connection import Connection
from emf_manager.client.door import Door
from emf_manager.client.follow import follow_job
from emf_manager.client.job_view import JobView
from emf_manager.exposition import exposed
from emf_manager.fleet_metrics import FleetMetrics
from emf_manager.history.book import HistoryBook
from emf_manager.plan_book import PlanBook
from emf_manager.safe import Safe
from tests.manager.api.in_memory import InMemory
from tests.manager.engine_bench import FQDN, WITHIN_S, Agent, Bench, manager

pytestmark = pytest.mark.anyio

REPORT = {
    "version": "0.1.0",
    "protocol": 2,
    "python": "3.11.7",
    "mode": "allowlist",
    "plugins": [
        {
            "name": "units",
            "distribution": "emf-plugins-host",
            "version": "0.1.0",
            "state": "loaded",
            "reason": None,
            "actions": ["start_unit"],
            "daemons": [],
        }
    ],
    "actions": [
        {
            "name": "start_unit",
            "plugin": "units",
            "summary": "Start a unit.",
            "description": "",
            "args_schema": {
                "type": "object",
                "properties": {"unit": {"type": "string"}},
                "required": ["unit"],
                "additionalProperties": False,
                "x-positional": ["unit"],
            },
            "result_schema": {"type": "null"},
            "timeout_s": 10.0,
            "dry_run": False,
            "idempotent": False,
            "detached": False,
        }
    ],
    "daemons": [],
    "catalogue_digest": "d1",
    "health": {
        "daemons": [],
        "running_actions": 0,
        "outbox_messages": 0,
        "unreadable_messages": 0,
        "longest_stall_s": 0.0,
        "stalled_by": None,
        "containment": "processes",
    },
}


@pytest.fixture
def anyio_backend() -> Any:
    """Real time: the store works in threads."""
    return "asyncio"


@dataclass
class Desk:
    bench: Bench
    agent: Agent
    session: str
    door: Door
    line: InMemory
    metrics: FleetMetrics


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with manager(tmp_path / "store.sqlite") as bench:
        book = AccountBook(bench.store, lambda: "ab" * 32, now=bench.clock.wall)
        admin = Principal("root", "admin", "t0")
        await book.create_user(admin, m.UserRequest(name="maria", role="operator"))
        token = await book.create_token(admin, m.TokenRequest(user="maria"))
        assert token is not None
        agent = Agent(bench)
        about = await agent.open("agent")
        await agent.say("agent", about, REPORT)
        session = await agent.open("action_runner")
        async with open_alerts(
            bench.store.alerts, bench.store, bench.engine, clock=bench.clock
        ) as alerts:
            history = HistoryBook(bench.store.history, bench.clock, life_of=lambda fqdn: None)
            metrics = FleetMetrics(bench.engine, bench.store, alerts, history)
            plans = PlanBook(
                bench.store.plans,
                bench.store,
                bench.engine,
                options=STEP_OPTIONS,
                safe=Safe(),
                clock=bench.clock,
            )
            service = Service(bench.engine, book, alerts, history, metrics, plans, bench.clock.wall)
            api = InMemory(build_api(service))
            async with Door(Connection("https://manager", token.secret, None), api) as door:
                yield Desk(bench, agent, session, door, api, metrics)


async def test_a_node_is_seen_with_its_sessions_plugins_and_catalogue(desk: Desk) -> None:
    node = await desk.door.get("nodes/oss1")
    action = await desk.door.get("actions/start_unit")
    data = await desk.door.get("data/oss1/agent")

    assert (node["fqdn"], node["state"]) == (FQDN, "connected")
    assert node["sessions"] == {"agent": "active", "action_runner": "active"}
    assert node["plugins"][0]["name"] == "units"
    assert (action["nodes"], action["node_count"]) == (FQDN, 1)
    assert (data["value"]["version"], data["stale"]) == ("0.1.0", False)


async def test_a_job_is_followed_from_its_start_to_its_outcome(desk: Desk) -> None:
    request: Any = {"nodes": "*", "action": "start_unit", "args": {"unit": "lnet.service"}}
    desk.line.losing = 1
    job = await desk.door.post("jobs", request)
    assert [one["id"] for one in (await desk.door.get("jobs"))["items"]] == [job["id"]]
    seen: list[JobView] = []

    async def work() -> None:
        (order,) = await desk.agent.poll()
        action_id = order["body"]["id"]
        assert order["body"]["args"] == {"unit": "lnet.service"}
        started = {"type": "ACTION_STARTED", "id": action_id}
        await desk.agent.say("action_runner", desk.session, started)
        result = {"Ok": {"id": action_id, "result": {"Ok": None}, "outcome": "ok"}}
        await desk.agent.say("action_runner", desk.session, result)

    with anyio.fail_after(WITHIN_S):
        async with (
            anyio.create_task_group() as tasks,
            aclosing(follow_job(desk.door, job["id"])) as views,
        ):
            async for view in views:
                if not seen:
                    tasks.start_soon(work)
                seen.append(view)

    last = seen[-1]
    assert last.done
    assert last.exit_code() == 0
    assert last.counts()["succeeded"] == 1
    assert {view.targets[FQDN].state for view in seen} >= {"queued", "started", "final"}


async def test_arguments_that_do_not_fit_are_named_before_anything_is_stored(desk: Desk) -> None:
    from emf_manager.client.door import ProblemAnswerError

    request: Any = {"nodes": "*", "action": "start_unit", "args": {"unit": 42}}
    with pytest.raises(ProblemAnswerError) as caught:
        await desk.door.post("jobs", request)

    assert (caught.value.status, caught.value.exit_code) == (422, 2)
    assert "unit" in str(caught.value)
    assert (await desk.door.get("jobs"))["items"] == []


async def test_a_cancelled_job_ends_as_cancelled(desk: Desk) -> None:
    request: Any = {"nodes": "*", "action": "start_unit", "args": {"unit": "x"}}
    job = await desk.door.post("jobs", request)

    answer = await desk.door.post(f"jobs/{job['id']}/cancel", None)

    assert answer["counts"]["cancelled"] == 1
    assert answer["state"] == "done"


async def test_a_ping_is_answered_by_a_living_node(desk: Desk) -> None:
    async def live() -> None:
        while True:
            await desk.agent.poll()

    with anyio.fail_after(WITHIN_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live)
            await desk.bench.until_hanging()
            answer = await desk.door.post("ping", {"nodes": "*"})
            tasks.cancel_scope.cancel()

    (result,) = answer["results"]
    assert (result["node"], result["alive"]) == (FQDN, True)


async def test_open_streams_end_when_the_engine_closes(desk: Desk) -> None:
    ended = anyio.Event()

    async def listen() -> None:
        async with desk.door.stream({}, None) as events:
            async for _ in events:
                pass
        ended.set()

    with anyio.fail_after(WITHIN_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await desk.bench.until(lambda: len(desk.bench.engine._bus))
            desk.bench.engine.close()
            await ended.wait()


async def test_the_fleet_s_metrics_count_what_happened(desk: Desk) -> None:
    request: Any = {"nodes": "*", "action": "start_unit", "args": {"unit": "x"}}
    job = await desk.door.post("jobs", request)
    (order,) = await desk.agent.poll()
    result = {"Ok": {"id": order["body"]["id"], "result": {"Ok": None}, "outcome": "ok"}}
    await desk.agent.say("action_runner", desk.session, result)

    families = await desk.metrics.families()
    text = exposed(families)

    page = (Path(__file__).parents[3] / "docs/data.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(emf_manager_\w+)[`{]", page))
    assert told == {family.name for family in families}
    assert job["id"] not in text
    for line in (
        'emf_manager_nodes{role="none",state="connected"} 1',
        'emf_manager_sessions{daemon="agent",state="active"} 1',
        'emf_manager_jobs{state="done"} 1',
        'emf_manager_jobs{state="running"} 0',
        'emf_manager_outcomes_total{outcome="ok"} 1',
        "emf_manager_value_streams 0",
        "emf_manager_alerts 0",
    ):
        assert f"{line}\n" in text, text
    for name in ("envelopes_received", "messages_received", "store_commits", "store_writes"):
        assert re.search(rf"^emf_manager_{name}_total [1-9]", text, re.MULTILINE)
