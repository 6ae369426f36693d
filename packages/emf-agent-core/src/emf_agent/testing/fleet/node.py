"""One simulated node: its folder, its certificate, and one agent after the other."""

from __future__ import annotations

import logging
import ssl
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread

from emf_agent.agent import Agent, Parts, Tuning
from emf_agent.command import Surroundings
from emf_agent.errors import JournalError
from emf_agent.host_facts import HostFacts, read_host_facts
from emf_agent.identity_files import IdentityFiles, new_key_request
from emf_agent.journal import FreeSpaceFloor, Journal, Limits
from emf_agent.journal.journal import translated_open
from emf_agent.journal.store import Store
from emf_agent.registry import Registry
from emf_agent.renewal import Renewal
from emf_agent.settings import Paths
from emf_agent.testing.fleet.light import standing_on
from emf_agent.testing.fleet.network import Network
from emf_agent.tls import client_context
from emf_agent.transport import enrol, open_transport
from emf_agent.wire import EnrolRequest

__all__ = ["FleetNode", "NodePlan"]

logger = logging.getLogger(__name__)

JOURNAL_LIMITS = Limits(floor=FreeSpaceFloor(0, 0.0))
"""A simulated node's disk is this machine's, and holds hundreds of others."""


@dataclass(frozen=True)
class NodePlan:
    """Which node: its name, its folder, what it offers, and where it finds programs."""

    fqdn: str
    folder: Path
    registry: Registry
    surroundings: Surroundings = field(default_factory=Surroundings)
    tuning: Tuning = field(default_factory=Tuning)


class FleetNode:
    """A node that lives, dies of a kill, and comes back to its journal."""

    def __init__(
        self, plan: NodePlan, manager_url: str, *, journal_threads: anyio.CapacityLimiter
    ) -> None:
        self.plan = plan
        self.network = Network()
        self.lives = 0
        """How often an agent was started on it."""
        self._manager_url = manager_url
        self._threads = journal_threads
        self._boot = read_host_facts(plan.fqdn)
        self._boot_id = str(uuid.uuid4())
        paths = Paths.under(plan.folder)
        self._state = paths.state
        tls = paths.tls
        self._identity = IdentityFiles(tls / "agent.key", tls / "agent.crt", tls / "ca.crt")
        self._life: anyio.CancelScope | None = None
        self._dead = False
        self._down_s: float | None = None
        self._stop = anyio.Event()

    @property
    def enrolled(self) -> bool:
        """Tell whether it has a certificate, perhaps of an earlier run."""
        return not self._identity.missing()

    async def enrol(self, secret: str, context: ssl.SSLContext) -> None:
        """Exchange a token's secret for a certificate."""
        pair = await anyio.to_thread.run_sync(new_key_request, self.plan.fqdn)
        answer = await enrol(
            self._manager_url,
            context,
            EnrolRequest(
                token=secret,
                fqdn=self.plan.fqdn,
                csr=pair.csr,
                agent_version=version("emf-agent-core"),
            ),
        )
        await anyio.to_thread.run_sync(self._identity.keep, pair, answer)

    def kill(self, *, down_s: float = 0.0) -> None:
        """End the agent as SIGKILL would: nothing more is written or said; back after a while."""
        self._dead = True
        self._down_s = down_s
        if self._life is not None:
            self._life.cancel()

    def stop(self) -> None:
        """End the agent in order: it says goodbye."""
        self._stop.set()

    async def run(self) -> None:
        """Live, and live again after each kill, until ``stop``."""
        while not self._stop.is_set():
            self._dead, self._down_s = False, None
            self.lives += 1
            with anyio.CancelScope() as self._life:
                await self._live()
            await self._stay_down()

    async def _stay_down(self) -> None:
        """Wait until a killed agent is to be started again."""
        if self._down_s is not None:
            with anyio.move_on_after(self._down_s):
                await self._stop.wait()

    async def _live(self) -> None:
        async with AsyncExitStack() as rooms:
            journal = await rooms.enter_async_context(self._journal())
            context = client_context(
                self._identity.authority, self._identity.certificate, self._identity.key
            )
            transport = await rooms.enter_async_context(open_transport(self._manager_url, context))
            agent = Agent(
                Parts(
                    facts=self._facts(),
                    registry=self.plan.registry,
                    journal=journal,
                    transport=self.network.behind(transport, self._manager_url),
                    state_directory=self._state / "plugins",
                    containment=self.plan.surroundings.containment.name,
                    detached="a simulated node has no units",
                    tuning=self.plan.tuning,
                    renewal=Renewal(
                        self._identity, transport, self.plan.fqdn, wall_clock=time.time
                    ),
                    random=Random(f"{self.plan.fqdn}/{self.lives}"),  # noqa: S311 - pauses only
                )
            )
            standing_on.set(self.plan.fqdn)
            rooms.enter_context(self.plan.surroundings.entered())
            await agent.run(self._stop)

    def _facts(self) -> HostFacts:
        """Return who this node is: of this boot, and of this very agent."""
        now = read_host_facts(self.plan.fqdn)
        return HostFacts(
            fqdn=self.plan.fqdn,
            boot_time=self._boot.boot_time,
            start_time=now.start_time,
            boot_id=self._boot_id,
        )

    @asynccontextmanager
    async def _journal(self) -> AsyncGenerator[Journal]:
        """Open the real journal, on threads that all nodes share, and deaf once it was killed."""
        store = await anyio.to_thread.run_sync(self._open_store, limiter=self._threads)
        journal = SharedThreadsJournal(store, self._threads)
        try:
            yield journal
        finally:
            await journal.close()

    def _open_store(self) -> Store:
        return translated_open(
            self._state / "journal",
            wall_clock=time.time,
            limits=JOURNAL_LIMITS,
            fault=self._refuse_the_dead,
        )

    def _refuse_the_dead(self, point: str) -> None:
        """Write nothing that a killed process could not have written."""
        if self._dead:
            raise JournalError(f"{self.plan.fqdn} was killed before {point}")


class SharedThreadsJournal(Journal):
    """The journal, whose calls go one at a time through a thread shared with other nodes."""

    def __init__(self, store: Store, threads: anyio.CapacityLimiter) -> None:
        super().__init__(store, None)
        self._one_at_a_time = threads
