"""The page in memory: a fake manager behind it, real logins in a store, browsers that are httpx."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI

from emf_manager.api.application import build_routes
from emf_manager.api.guard import Guard
from emf_manager.authorization import ROLES
from emf_manager.logins.book import LoginBook
from emf_manager.logins.rules import COOKIE
from emf_manager.records import ApiToken, NewAudit, User, hash_secret
from emf_manager.store.sql import SqlStore, open_store
from emf_manager.web.application import build_web
from tests.manager.api.fake_plans import FakePlans
from tests.manager.api.fakes import (
    NOW,
    FakeAccounts,
    FakeAlerts,
    FakeEngine,
    FakeHistory,
    a_service,
)
from tests.manager.api.in_memory import InMemory

HOST = "manager.example.com"
NOTE = NewAudit(NOW, "test", "test")
FROM_PAGE = {"Origin": f"https://{HOST}", "Sec-Fetch-Site": "same-origin"}
CSRF = re.compile(r'name="csrf" (?:content|value)="([^"]+)"')


@dataclass
class Times:
    """Both clocks, turned by the test."""

    wall: float = NOW
    monotonic: float = 1000.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


class Browser(httpx.AsyncClient):
    """A browser at the page: keeps cookies, follows nothing by itself."""

    async def sign_in(self, role: str = "admin") -> httpx.Response:
        answer = await self.send_form("/ui/login", token=f"{role}-token")
        assert answer.status_code == 303, answer.text
        return answer

    async def csrf(self, path: str = "/ui/account") -> str:
        page = await self.get(path)
        found = CSRF.search(page.text)
        assert found is not None, page.text
        return html.unescape(found.group(1))

    async def send_form(self, path: str, **fields: str) -> httpx.Response:
        """Post a form as a page of ours does."""
        return await self.post(path, data=fields, headers=FROM_PAGE)

    async def press(self, path: str, **fields: str) -> httpx.Response:
        """Post a form with this login's token."""
        return await self.send_form(path, **fields, csrf=await self.csrf())

    @property
    def secret(self) -> str | None:
        return self.cookies.get(COOKIE)


@dataclass
class Site:
    """The manager with its page, and browsers at it."""

    engine: FakeEngine
    accounts: FakeAccounts
    alerts: FakeAlerts
    history: FakeHistory
    plans: FakePlans
    store: SqlStore
    book: LoginBook
    times: Times
    transport: InMemory
    browsers: list[Browser] = field(default_factory=list)

    def browser(self, **headers: str) -> Browser:
        made = Browser(transport=self.transport, base_url=f"https://{HOST}", headers=headers)
        self.browsers.append(made)
        return made


@pytest.fixture(scope="session")
def api_routes() -> FastAPI:
    """The bare routes, made once: each test puts its own manager behind them."""
    return build_routes(a_service())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the store works in threads


@pytest.fixture
async def site(api_routes: FastAPI) -> AsyncIterator[Site]:
    engine, accounts, times = FakeEngine(), FakeAccounts(), Times()
    alerts, history, plans = FakeAlerts(), FakeHistory(), FakePlans()
    async with open_store("sqlite://") as store:
        for role in ROLES:
            await store.add_user(User(role, role, NOW), audit=NOTE)
            token = ApiToken(f"id-of-{role}", hash_secret(f"{role}-token"), role, NOW)
            await store.add_token(token, audit=NOTE)
        book = LoginBook(store, accounts, now=lambda: times.wall, monotonic=lambda: times.monotonic)
        service = a_service(engine, accounts, alerts, history, plans, now=lambda: times.wall)
        api_routes.state.service = service
        api = Guard(
            api_routes,
            authenticate=accounts.authenticate,
            audit=accounts.audit,
            visit=book.visit,
        )
        transport = InMemory(build_web(service, api, book))
        async with transport:
            yield Site(engine, accounts, alerts, history, plans, store, book, times, transport)
