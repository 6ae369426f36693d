"""The whole: builds the rooms, owns the task group, the shutdown and the goodbye."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Protocol
from uuid import uuid4

import anyio
from pydantic import JsonValue

from emf_agent import session_state
from emf_agent.actions import ActionLimits, ActionRunner
from emf_agent.backoff import Backoff
from emf_agent.command import surroundings
from emf_agent.detached import DetachedActions
from emf_agent.driver import Driver, DriverSettings
from emf_agent.host_facts import HostFacts
from emf_agent.journal import Journal
from emf_agent.outbox import Limits, Outbox
from emf_agent.own_daemons import agent_daemon, runner_daemon
from emf_agent.reader import Poll, Reader
from emf_agent.registry import RegisteredService, Registry
from emf_agent.renewal import Renewing
from emf_agent.sender import Link, Post, send
from emf_agent.sessions import SessionBook
from emf_agent.stall_watch import StallWatch
from emf_agent.update_schedule import Quarantine
from emf_agent.wire import (
    PROTOCOL,
    AgentReport,
    CertificateReport,
    Clocks,
    Health,
    Hello,
)

__all__ = ["Agent", "Door", "Parts", "Tuning"]

logger = logging.getLogger(__name__)

FINISH_ACTIONS_WITHIN_S = 2.0
FLUSH_WITHIN_S = 1.0
LIVED_WELL_S = 60.0


class Door(Post, Poll, Protocol):
    """Both halves of the transport."""


@dataclass(frozen=True)
class Tuning:
    """What the configuration may change of how the agent runs."""

    session_rules: session_state.Rules = field(default_factory=session_state.Rules)
    backoff: Backoff = field(default_factory=Backoff)
    quarantine: Quarantine = field(default_factory=Quarantine)
    limits: Limits = field(default_factory=Limits)
    actions: ActionLimits = field(default_factory=ActionLimits)


@dataclass(frozen=True)
class Parts:
    """What an agent is made of; tests hand in fakes and a virtual clock."""

    facts: HostFacts
    registry: Registry
    journal: Journal
    transport: Door
    state_directory: Path
    mode: str = "allowlist"
    containment: str = "session"
    detached: DetachedActions | str = "nothing was given to start units with"
    """Units for long actions, or why there are none: they then run in the agent itself."""
    tuning: Tuning = field(default_factory=Tuning)
    permit: Callable[[str, JsonValue], str | None] = lambda _name, _args: None
    renewal: Renewing | None = None
    random: Random = field(default_factory=Random)
    wall_clock: Callable[[], float] = time.time
    stall_watch: StallWatch | None = None
    on_ready: Callable[[], object] = lambda: None


class Agent:
    """One agent process, talking to one manager."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        tuning, facts = parts.tuning, parts.facts
        self._link = Link()
        self._outbox = Outbox(
            facts.fqdn, facts.boot_time, facts.start_time, new_id=lambda: str(uuid4())
        )
        self._runner = ActionRunner(
            parts.registry,
            parts.journal,
            tuning.actions,
            wall_clock=parts.wall_clock,
            permit=parts.permit,
            detached=parts.detached if isinstance(parts.detached, DetachedActions) else None,
        )
        own = [
            runner_daemon(self._runner, lambda: self._link.protocol == PROTOCOL),
            agent_daemon(self.describe, parts.renewal),
        ]
        daemons = {one.name: one for one in [*parts.registry.daemons.values(), *own]}
        self._book = SessionBook(daemons, now=0.0, settings=tuning.session_rules)
        settings = DriverSettings(
            fqdn=facts.fqdn,
            state_directory=parts.state_directory,
            backoff=tuning.backoff,
            quarantine=tuning.quarantine,
            limits=tuning.limits,
            random=parts.random,
        )
        core = {one.name for one in own}
        self._drivers = {
            name: Driver(daemon, self._book, self._outbox, settings, awaited=name in core)
            for name, daemon in daemons.items()
        }
        self._reader = Reader(
            parts.transport,
            self._book,
            self._drivers,
            self._outbox,
            self._link,
            boot_time=facts.boot_time,
            start_time=facts.start_time,
            backoff=tuning.backoff,
            random=parts.random,
        )
        self._link.on_lost_contact = self._greet
        self._link.on_renewed = self._renew
        if parts.renewal is not None:
            self._link.on_announced = parts.renewal.announced

    async def run(self, stop: anyio.Event) -> None:
        """Run until ``stop`` is set, then end within five seconds.

        A task of the core that dies ends the whole, with its reason (P11).
        """
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._runner.run)
            for driver in self._drivers.values():
                await tasks.start(driver.run)
            self._greet()
            tasks.start_soon(self._send)
            tasks.start_soon(self._reader.run)
            for service in self._parts.registry.services:
                tasks.start_soon(self._serve, service)
            if self._parts.renewal is not None:
                tasks.start_soon(self._parts.renewal.run, lambda: self._link.clock_offset_s)
            if self._parts.stall_watch is not None:
                tasks.start_soon(self._parts.stall_watch.run)
            self._parts.on_ready()
            await stop.wait()
            await self._say_goodbye()
            tasks.cancel_scope.cancel()

    def describe(self) -> AgentReport:
        """Return the payload of the daemon ``agent`` as of now."""
        parts, now = self._parts, anyio.current_time()
        actions, daemons = parts.registry.catalogue()
        watch = parts.stall_watch
        certificate = None
        if parts.renewal is not None:
            days = (parts.renewal.ends - parts.wall_clock()) / 86400
            certificate = CertificateReport(
                subject=parts.facts.fqdn,
                days_left=round(days, 1),
                authorities=parts.renewal.standing.trusts,
                issuer=parts.renewal.standing.issuer,
            )
        return AgentReport(
            version=version("emf-agent-core"),
            protocol=PROTOCOL,
            python=platform.python_version(),
            mode=parts.mode,
            plugins=parts.registry.plugins,
            actions=actions,
            daemons=daemons,
            catalogue_digest=parts.registry.digest,
            health=Health(
                daemons=tuple(driver.health(now) for driver in self._drivers.values()),
                running_actions=self._runner.running,
                outbox_messages=len(self._outbox),
                unreadable_messages=self._reader.counters.unreadable,
                longest_stall_s=watch.longest_s if watch else 0.0,
                stalled_by=watch.stalled_by if watch else None,
                containment=parts.containment,
                detached=in_words(parts.detached),
                actions_fault=self._runner.fault,
            ),
            clock_offset_s=self._link.clock_offset_s,
            certificate=certificate,
        )

    async def _send(self) -> None:
        tuning = self._parts.tuning
        await send(
            self._outbox,
            self._parts.transport,
            self._link,
            limits=tuning.limits,
            backoff=tuning.backoff,
            random=self._parts.random,
            wall_clock=self._parts.wall_clock,
        )

    async def _serve(self, service: RegisteredService) -> None:
        """Keep a plugin's service running; its failures are its own."""
        stall_owner = service.plugin  # noqa: F841 - read by the stall watch from another thread
        failures = 0
        while True:
            began = anyio.current_time()
            try:
                await service.call()
            except (Exception, SystemExit, KeyboardInterrupt):
                logger.exception("a service of plugin=%s failed", service.plugin)
            else:
                return
            failures = 0 if anyio.current_time() - began > LIVED_WELL_S else failures + 1
            await anyio.sleep(self._parts.tuning.backoff.wait_s(failures, self._parts.random))

    def _greet(self) -> None:
        identity = self._parts.journal.identity
        self._outbox.greet(
            Hello(
                agent_version=version("emf-agent-core"),
                protocol=PROTOCOL,
                journal_id=identity.journal_id,
                journal_sequence=identity.sequence,
                clocks=Clocks(wall=self._parts.wall_clock(), monotonic=anyio.current_time()),
                boot_id=self._parts.facts.boot_id,
                catalogue_digest=self._parts.registry.digest,
                mode=self._parts.mode,
                journal_fault=self._runner.fault,
            )
        )

    def _renew(self) -> None:
        """Ask a manager that may have forgotten us to go on with every session."""
        logger.info("the manager is a new one: resuming sessions")
        self._greet()
        for driver in self._drivers.values():
            driver.handle(session_state.LinkRenewed())

    async def _say_goodbye(self) -> None:
        """End actions and sessions, and tell the manager while it listens (W-A17)."""
        reason = "the agent stops"
        surroundings().haste.begin()
        with anyio.move_on_after(FINISH_ACTIONS_WITHIN_S):
            await self._runner.end(reason)
        await self._flush()
        for driver in self._drivers.values():
            driver.handle(session_state.Stop(reason))
        self._outbox.say_goodbye(reason)
        await self._flush()

    async def _flush(self) -> None:
        """Wait, for a moment, until the manager has what waits."""
        if not self._link.in_contact or not len(self._outbox):
            return
        stored = anyio.Event()
        self._outbox.on_empty = stored.set
        with anyio.move_on_after(FLUSH_WITHIN_S):
            await stored.wait()


def in_words(detached: DetachedActions | str) -> str:
    """Say where long actions run."""
    if isinstance(detached, DetachedActions):
        return "units"
    return f"in the agent itself, and end with it: {detached}"
