"""schemathesis against the real API over a real manager: no fault, answers as the document says.

Runs in an environment of its own (``hatch run api:fuzz``): schemathesis brings much that the other
tests need not have.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from hypothesis import HealthCheck, Phase, given, seed, settings

from emf_manager.alert_book import open_alerts
from emf_manager.alerts.values import Condition, Key
from emf_manager.api import models as m
from emf_manager.api.account_book import AccountBook
from emf_manager.api.answers import AnswerBook
from emf_manager.api.application import build_api, build_routes
from emf_manager.api.openapi import describe
from emf_manager.api.pace import Pace, Rate
from emf_manager.api.plan_check import STEP_OPTIONS
from emf_manager.api.service import Service
from emf_manager.authorization import Principal, find_route
from emf_manager.fleet_metrics import FleetMetrics
from emf_manager.history.book import open_history
from emf_manager.plan_book import PlanBook
from emf_manager.safe import Safe
from tests.manager.api.test_whole_manager import REPORT
from tests.manager.engine_bench import Agent, Bench, manager

schemathesis: Any = pytest.importorskip("schemathesis", reason="hatch run api:fuzz has it")

NODE = "oss01.example.com"
EXAMPLES = 8
"""For each operation."""
WITHIN_S = 30.0
RACE_S = 5.0
"""The manager's clock goes a hundred times as fast, so that a ping of a minute takes a moment."""


@dataclass
class Served:
    """A manager on loopback, with a node, a user, a token, an alert."""

    ready: threading.Event = field(default_factory=threading.Event)
    base_url: str = ""
    token: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    stop: Callable[[], None] = lambda: None
    failure: BaseException | None = None

    def run(self, folder: Path) -> None:
        """Serve until stopped; for a thread."""
        try:
            anyio.run(self._serve, folder)
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self.ready.set()

    async def _serve(self, folder: Path) -> None:
        async with AsyncExitStack() as parts:
            bench = await parts.enter_async_context(manager(folder / "manager.db"))
            service = await a_whole_manager(bench, parts)
            secret = await a_token(service)
            self.document = describe(build_routes(service))
            answers = AnswerBook(bench.store.answers, Safe(), now=bench.clock.wall)
            app = build_api(service, answers=answers, pace=Pace(Rate(1e6, 10**6), Rate(1e6, 10**6)))
            config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off", ws="none")
            server = uvicorn.Server(config)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(race, bench)
                tasks.start_soon(self._tell, server, secret)
                await server.serve()
                tasks.cancel_scope.cancel()

    async def _tell(self, server: uvicorn.Server, secret: str) -> None:
        while not server.started:
            await anyio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        self.base_url, self.token = f"http://127.0.0.1:{port}", secret

        def stop() -> None:
            server.should_exit = True

        self.stop = stop
        self.ready.set()


async def a_whole_manager(bench: Bench, parts: AsyncExitStack) -> Service:
    await bench.enrol(NODE)
    agent = Agent(bench, fqdn=NODE)
    await agent.say("agent", await agent.open("agent"), REPORT)
    alarm = Condition(Key("node.stopped", NODE), "warning", "start it")
    await bench.store.alerts.write((alarm,), (), at=bench.clock.wall(), seen=None)
    alerts = await parts.enter_async_context(
        open_alerts(bench.store.alerts, bench.store, bench.engine, clock=bench.clock)
    )
    history = await parts.enter_async_context(
        open_history(bench.store.history, bench.engine.seats, clock=bench.clock)
    )
    accounts = AccountBook(bench.store, lambda: "ab" * 32, now=bench.clock.wall)
    metrics = FleetMetrics(bench.engine, bench.store, alerts, history)
    plans = PlanBook(
        bench.store.plans, bench.store, bench.engine, options=STEP_OPTIONS, safe=Safe()
    )
    return Service(bench.engine, accounts, alerts, history, metrics, plans, bench.clock.wall)


async def a_token(service: Service) -> str:
    by = Principal("root", "admin", "t0")
    for name, role in (("root", "admin"), ("maria", "operator")):
        await service.accounts.create_user(by, m.UserRequest(name=name, role=role))
    token = await service.accounts.create_token(by, m.TokenRequest(user="root"))
    assert token is not None
    return token.secret


async def race(bench: Bench) -> None:
    while True:
        await anyio.sleep(RACE_S / 100)
        bench.clock.advance(RACE_S)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served, None, None]:
    served = Served()
    thread = threading.Thread(target=served.run, args=(tmp_path_factory.mktemp("fuzz"),))
    thread.start()
    try:
        assert served.ready.wait(WITHIN_S)
        assert served.failure is None
        yield served
    finally:
        served.stop()
        thread.join(WITHIN_S)


CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


@pytest.mark.slow(reason="asks every operation of a served manager many times")
def test_whatever_is_asked_is_answered_as_the_document_says(served: Served) -> None:
    checks = schemathesis.checks
    checks.load_all_checks()
    judged = [getattr(checks, name, None) or checks.CHECKS.get_one(name) for name in CHECKS]
    headers = {"Authorization": f"Bearer {served.token}"}
    asked: set[int] = set()
    for found in schemathesis.openapi.from_dict(served.document).get_all_operations():
        operation = found.ok()
        route = find_route(operation.method.upper(), operation.path)
        if route is None or route.answer == "stream":
            continue

        @seed(1)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            answer = case.call(base_url=served.base_url, headers=headers, timeout=WITHIN_S)
            asked.add(answer.status_code)
            case.validate_response(answer, checks=judged)

        ask()
    assert {200, 201, 404, 422} <= asked
