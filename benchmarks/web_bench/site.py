"""A serving manager whose store is filled with nodes that are simulated, over real TLS."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import anyio
import anyio.from_thread
import anyio.lowlevel

from emf_manager.api.account_book import new_api_token
from emf_manager.limits import Limits
from emf_manager.logins.book import new_login_code
from emf_manager.records import LatestValue, NewAudit, Node, SessionRecord, User
from emf_manager.server.data_dir import prepare_data_dir
from emf_manager.server.serve import Ready, serve
from emf_manager.settings import Listen, Settings
from emf_manager.store.interface import Changes
from emf_manager.store.sql import SqlStore, open_store

__all__ = ["Site", "nodes_of", "serving"]

NOTE = NewAudit(time.time(), "bench", "fill")
ROLES = (("client", 0.6), ("oss", 0.9), ("mds", 0.98), ("mgs", 1.0))
DAEMONS = ("action_runner", "agent", "devices", "facts", "network", "units")


@dataclass(frozen=True)
class Site:
    """Where it serves, and how one gets in."""

    url: str
    folder: Path
    link: str
    """Signs an admin in, once."""
    token: str
    """An admin's."""


@contextmanager
def serving(folder: Path, count: int) -> Generator[Site, None, None]:
    """Serve a fleet of so many nodes from a thread until the block ends."""
    told: Queue[tuple[Ready, anyio.Event, anyio.lowlevel.EventLoopToken] | BaseException]
    told = Queue()
    settings = Settings(folder / "manager", Listen("127.0.0.1", 0), ("127.0.0.1",))
    prepare_data_dir(settings.data_dir)
    code, token = anyio.run(prepare, settings, count)

    async def run() -> None:
        stop, here = anyio.Event(), anyio.lowlevel.current_token()
        await serve(
            settings,
            stop=stop,
            on_ready=lambda ready: told.put((ready, stop, here)),
            limits=Limits(lease_s=1e9),  # nobody calls in, and nobody is missed
        )

    def guarded() -> None:
        try:
            anyio.run(run)
        except BaseException as error:  # noqa: BLE001 - raised below, where it is waited for
            told.put(error)

    thread = threading.Thread(target=guarded, name="manager")
    thread.start()
    said = told.get(timeout=120)
    if isinstance(said, BaseException):
        raise said
    ready, stop, here = said
    try:
        yield Site(ready.url, settings.data_dir, f"{ready.url}/ui/login#{code}", token)
    finally:
        anyio.from_thread.run_sync(stop.set, token=here)
        thread.join(30)


async def prepare(settings: Settings, count: int) -> tuple[str, str]:
    """Fill the store; return a login code and an API token of an admin."""
    now = time.time()
    async with open_store(settings.store_url) as store:
        await fill(store, count)
        await store.add_user(User("ann", "admin", now), audit=NOTE)
        code, kept = new_login_code("ann", now=now, created_by="bench")
        await store.logins.add_code(kept, audit=NOTE)
        token, record = new_api_token("ann", now=now)
        await store.add_token(record, audit=NOTE)
    return code, token


def nodes_of(count: int, seed: int = 6) -> Iterator[Node]:
    """Make nodes as a large site has them: some silent, some never seen, a few to be approved."""
    chance = random.Random(seed)
    now = time.time()
    for number in range(count):
        at = number / count
        role = next(name for name, until in ROLES if at < until)
        state = chance.choices(("online", "silent", "new"), (0.985, 0.012, 0.003))[0]
        contact = {"online": now - chance.uniform(0, 9), "silent": now - chance.uniform(60, 9e4)}
        yield Node(
            f"{role}{number:05}.example.com",
            state=state,  # type: ignore[arg-type]
            role=role,
            enrolled=now - 1e6,
            waiting=state == "new" and chance.random() < 0.3,
            reason="no contact within its lease" if state == "silent" else None,
            agent_version="0.1.0",
            protocol=2,
            mode="enforce",
            boot_id=f"boot-{number}",
            last_contact=contact.get(state),
        )


async def fill(store: SqlStore, count: int) -> None:
    """Put nodes, their sessions and their last values into the store."""
    now = time.time()
    for chunk in chunks(list(nodes_of(count)), 500):
        sessions = tuple(
            SessionRecord(f"{node.fqdn}-{daemon}", node.fqdn, daemon, "i1", "active", 7, now - 900)
            for node in chunk
            if node.state == "online"
            for daemon in DAEMONS
        )
        values = tuple(
            LatestValue(one.node, one.daemon, one.session_id, 7, {"load": 0.1}, now)
            for one in sessions
            if one.daemon != "action_runner"
        )
        await store.record(Changes(nodes=tuple(chunk), sessions=sessions, values=values))


def chunks(items: list[Node], size: int) -> Iterator[list[Node]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
