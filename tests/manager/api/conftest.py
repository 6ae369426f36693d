"""The API in memory over a fake manager."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI

from emf_manager.api.application import build_routes
from emf_manager.api.freshness import Fresh
from emf_manager.api.guard import Guard
from tests.manager.api.fake_plans import FakePlans
from tests.manager.api.fakes import FakeAccounts, FakeAlerts, FakeEngine, FakeHistory, a_service
from tests.manager.api.in_memory import InMemory


@dataclass
class Desk:
    """A manager, and clients to talk to it."""

    engine: FakeEngine
    accounts: FakeAccounts
    alerts: FakeAlerts
    history: FakeHistory
    plans: FakePlans
    http: httpx.AsyncClient
    transport: InMemory
    routes: FastAPI
    guard: Guard

    async def call(
        self, method: str, path: str, role: str = "admin", **more: object
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {role}-token", **more.pop("headers", {})}  # type: ignore[dict-item]
        return await self.http.request(method, path, headers=headers, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def routes() -> FastAPI:
    """The bare routes, made once: each test puts its own manager behind them."""
    return build_routes(a_service())


@pytest.fixture
async def desk(routes: FastAPI) -> AsyncIterator[Desk]:
    engine, accounts, alerts = FakeEngine(), FakeAccounts(), FakeAlerts()
    history, plans = FakeHistory(), FakePlans()
    routes.state.service = a_service(engine, accounts, alerts, history, plans)
    app = Guard(routes, authenticate=accounts.authenticate, audit=accounts.audit)
    transport = InMemory(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://manager.example.com/api/v1"
    ) as http:
        yield Desk(engine, accounts, alerts, history, plans, http, transport, routes, app)


@pytest.fixture
def whole(desk: Desk) -> Desk:
    """The API with all that stands around its routes."""
    desk.guard = Guard(
        Fresh(desk.routes), authenticate=desk.accounts.authenticate, audit=desk.accounts.audit
    )
    desk.transport.app = desk.guard
    return desk
