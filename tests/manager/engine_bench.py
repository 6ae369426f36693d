"""A manager in memory: real store, real engine, real gateway; time stands until it is moved."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from emf_agent.wire import MESSAGE_PATH
from emf_manager.callers import Caller
from emf_manager.engine import Engine, open_engine
from emf_manager.gateway import gateway_routes
from emf_manager.limits import Limits
from emf_manager.records import Certificate, EnrolmentGrant, NewAudit
from emf_manager.safe import Safe
from emf_manager.store.interface import Changes, Committed, Store, StoreFullError
from emf_manager.store.rollouts import RolloutStore
from emf_manager.store.sql import SqlStore, open_store

FQDN = "oss1.local"
BOOT = "2020-12-22T08:00:01.000000+00:00Z"
WITHIN_S = 30.0
"""Bound of every real wait: an event is expected, this is only where a test gives up."""


class FakeClock:
    """Time that moves when told to, and lets whoever is due run before it returns."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.epoch = 1_800_000_000.0
        self._changed = anyio.Event()

    def now(self) -> float:
        return self.monotonic

    def wall(self) -> float:
        return self.epoch + self.monotonic

    async def wait(self, event: anyio.Event, until: float | None) -> bool:
        while not event.is_set() and (until is None or self.monotonic < until):
            await first_of(event, self._changed)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        self.monotonic += seconds
        self._changed.set()
        self._changed = anyio.Event()


async def first_of(*events: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:

        async def one(event: anyio.Event) -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        for event in events:
            tasks.start_soon(one, event)


@dataclass(frozen=True)
class Card:
    """A peer as a verified certificate says."""

    fqdn: str
    serial: str


class FakePeers:
    """Takes the peer from the test's own scope extension; keeps what is revoked."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()

    def peer_of(self, scope: Scope) -> Caller | None:
        found: Caller | None = scope.get("test.peer")
        return found

    def refusal(self, caller: Caller) -> str | None:
        return "revoked; enrol it again" if caller.serial in self.revoked else None


class Agent:
    """A scripted agent process: requests as it would send them, nothing behind them."""

    def __init__(
        self, bench: Bench, *, fqdn: str = FQDN, start: str = "start-1", protocol: int = 2
    ) -> None:
        self.bench = bench
        self.card = Card(fqdn, f"SERIAL-{fqdn}")
        self.start = start
        self.protocol = protocol
        self.acknowledged: int | None = None
        self.epoch: int | None = None
        self.sequence: dict[str, int] = {}

    def client(self) -> httpx.AsyncClient:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self.bench.app({**scope, "test.peer": self.card}, receive, send)

        headers = {"EMF-Protocol": str(self.protocol)} if self.protocol > 1 else {}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="https://manager", headers=headers
        )

    async def post(self, *messages: dict[str, Any], **rest: Any) -> httpx.Response:
        envelope = {
            "messages": messages,
            "server_boot_time": BOOT,
            "client_start_time": self.start,
            **rest,
        }
        return await self.post_bytes(json.dumps(envelope).encode())

    async def post_bytes(self, body: bytes, **headers: str) -> httpx.Response:
        sent = {"content-type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client() as client:
            return await client.post(MESSAGE_PATH, content=body, headers=sent)

    async def get(self) -> httpx.Response:
        query = {"server_boot_time": BOOT, "client_start_time": self.start}
        if self.acknowledged is not None:
            query |= {"ack": str(self.acknowledged), "epoch": str(self.epoch)}
        async with self.client() as client:
            return await client.get(MESSAGE_PATH, params=query, timeout=None)

    async def poll(self) -> list[dict[str, Any]]:
        """Hang, take what comes, and remember to acknowledge it."""
        with anyio.fail_after(WITHIN_S):
            answer = await self.get()
        assert answer.status_code == 200, answer.text
        body = answer.json()
        self.epoch = body.get("epoch")
        messages: list[dict[str, Any]] = body["messages"]
        for message in messages:
            self.acknowledged = message.get("seq", self.acknowledged)
        return messages

    async def open(self, daemon: str, **rest: Any) -> str:
        """Ask for a session and take the answer."""
        request = {"type": "SESSION_CREATE_REQUEST", "fqdn": self.card.fqdn, "plugin": daemon}
        answer = await self.post(request | rest)
        assert answer.status_code == 202, answer.text
        while True:
            for message in await self.poll():
                if message["type"] == "SESSION_CREATE_RESPONSE" and message["plugin"] == daemon:
                    session: str = message["session_id"]
                    self.sequence[session] = 0
                    return session

    def data(self, daemon: str, session: str, body: Any) -> dict[str, Any]:
        self.sequence[session] += 1
        return {
            "type": "DATA",
            "fqdn": self.card.fqdn,
            "plugin": daemon,
            "session_id": session,
            "session_seq": self.sequence[session],
            "body": body,
        }

    async def say(self, daemon: str, session: str, body: Any) -> httpx.Response:
        return await self.post(self.data(daemon, session, body))


class FillableStore:
    """The bench's store, whose disk can be full, when no write is made, or hang at one's."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def record(self, changes: Changes) -> Committed:
        if self._bench.full:
            raise StoreFullError("the test's disk")
        if self._bench.hangs_at and self._bench.hangs_at in repr(changes):
            await self._bench.go_on.wait()
        return await self._bench.store.record(changes)

    @property
    def rollouts(self) -> RolloutStore:
        if self._bench.rollouts_fail:
            raise StoreFullError("the test's disk")
        return self._bench.store.rollouts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bench.store, name)


class Bench:
    """The manager under test; ``restart`` is what a killed process does, on the same database."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self.clock = FakeClock()
        self.peers = FakePeers()
        self.safe = Safe()
        self.full = False
        self.rollouts_fail = False
        self.hangs_at = ""
        """A word; a write in which it occurs waits for ``go_on``."""
        self.go_on = anyio.Event()
        self.engine: Engine
        self.store: SqlStore
        self.app: Starlette
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        self.store = await self._stack.enter_async_context(open_store(f"sqlite:///{self.path}"))
        self.engine = await self._stack.enter_async_context(
            open_engine(
                cast(Store, FillableStore(self)),
                clock=self.clock,
                limits=self.limits,
                safe=self.safe,
            )
        )
        self.app = Starlette(routes=gateway_routes(self.engine, self.peers))

    async def stop(self) -> None:
        await self._stack.aclose()

    async def restart(self) -> None:
        await self.stop()
        self._stack = AsyncExitStack()
        await self.start()

    async def enrol(self, *names: str) -> None:
        wall = self.clock.wall()
        audit = NewAudit(wall, "admin:test", "enrol")
        grant = EnrolmentGrant(
            id=uuid.uuid4().hex,
            secret_sha256=uuid.uuid4().hex * 2,
            pattern="*",
            role=None,
            uses=len(names),
            uses_left=len(names),
            created=wall,
            expires=wall + 3600,
            created_by="admin:test",
        )
        await self.store.add_grant(grant, audit=audit)
        for name in names:
            certificate = Certificate(uuid.uuid4().hex, name, wall, wall + 86400, "k", "pem")
            await self.store.enrol(grant.id, certificate, at=wall, audit=audit)

    async def until_hanging(self, fqdn: str = FQDN, *, count: int = 1) -> None:
        """Return once a GET of the node hangs."""
        with anyio.fail_after(WITHIN_S):
            seat = await self.engine.seats.find(fqdn)
            while len(seat.hanging) < count:
                await anyio.sleep(0)

    async def until(self, condition: Any) -> None:
        """Return once a condition holds."""
        with anyio.fail_after(WITHIN_S):
            while not condition():
                await anyio.sleep(0)


@asynccontextmanager
async def manager(path: Path, **limits: Any) -> AsyncGenerator[Bench, None]:
    bench = Bench(path, Limits(**limits))
    await bench.start()
    try:
        await bench.enrol(FQDN)
        yield bench
    finally:
        await bench.stop()
