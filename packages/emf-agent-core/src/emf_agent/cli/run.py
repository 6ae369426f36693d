"""``emf-agent run``: the agent as a service, from settings to the last signal."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import click

from emf_agent.action_trail import ActionTrail
from emf_agent.actions import ActionLimits
from emf_agent.agent import Agent, Parts, Tuning
from emf_agent.backoff import Backoff
from emf_agent.cli.loading import load_registry
from emf_agent.cli.options import node_options, place_options
from emf_agent.command import Surroundings, choose_containment
from emf_agent.detached import DetachedActions, choose_units, own_program
from emf_agent.discovery import running_mode
from emf_agent.enrolment import identity_files
from emf_agent.errors import ConfigurationError, EmfError
from emf_agent.host_facts import read_host_facts
from emf_agent.journal import FreeSpaceFloor, open_journal
from emf_agent.journal import Limits as JournalLimits
from emf_agent.logs import configure_logging
from emf_agent.outbox import Limits
from emf_agent.policy import permit
from emf_agent.renewal import Renewal
from emf_agent.service_manager import notify
from emf_agent.session_state import Rules
from emf_agent.settings import Settings, load_settings
from emf_agent.stall_watch import StallWatch
from emf_agent.tls import certificate_facts, client_context
from emf_agent.transport import open_transport
from emf_agent.update_schedule import Quarantine

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

__all__ = ["command"]

logger = logging.getLogger("emf_agent")

END_WITHIN_S = 4.8
"""After a signal the process is gone within five seconds, whatever a plugin's thread does."""


@click.command("run")
@node_options
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["auto", "text", "json", "journal"]))
def command(
    config: Path | None, state_dir: Path | None, log_level: str | None, log_format: str | None
) -> None:
    """Run the agent until SIGTERM, SIGINT or SIGHUP."""
    places = place_options(config, state_dir)
    settings = load_settings(config, state_dir, {"log.level": log_level, "log.format": log_format})
    configure_logging(settings.log.level, settings.log.format)
    try:
        anyio.run(serve, settings, (*own_program(), "action", "perform", *places))
    except ExceptionGroup as group:
        reason = first_of_ours(group)
        if reason is None:
            logger.critical("the agent dies of an error of its own", exc_info=group)
            raise SystemExit(1) from None
        raise reason from group


async def serve(settings: Settings, performer: Sequence[str]) -> None:
    """Build the parts and run them; ``performer`` is the command of a long action's unit."""
    url = settings.manager.url
    identity = identity_files(settings)
    identity.settle()
    missing = identity.missing()
    if url is None or missing:
        lacking = [f"{path} is missing" for path in missing] or ["manager.url is not set"]
        raise ConfigurationError(
            [f"this node is not enrolled: {'; '.join(lacking)}; run `emf-agent enroll`"]
        )
    facts = read_host_facts(settings.node.fqdn or certificate_facts(identity.certificate).name)
    registry = load_registry(settings, facts.fqdn)
    containment = choose_containment()
    units = await choose_units()
    context = client_context(identity.authority, identity.certificate, identity.key)
    async with (
        open_journal(
            settings.paths.state / "journal", wall_clock=time.time, limits=journal_limits(settings)
        ) as journal,
        open_transport(url, context) as transport,
        anyio.create_task_group() as tasks,
    ):
        journal.witness = ActionTrail(settings.paths.state / "audit" / "actions.jsonl")
        stop = anyio.Event()
        await tasks.start(heed_signals, stop)
        agent = Agent(
            Parts(
                facts=facts,
                registry=registry,
                journal=journal,
                transport=transport,
                state_directory=settings.paths.state / "plugins",
                mode=running_mode(),
                containment=containment.name,
                detached=units
                if isinstance(units, str)
                else DetachedActions(units, settings.paths.state / "actions", performer),
                tuning=tuning(settings),
                permit=permit(settings.policy, registry),
                renewal=Renewal(identity, transport, facts.fqdn, wall_clock=time.time),
                stall_watch=StallWatch(on_beat=lambda: notify("WATCHDOG=1")),
                on_ready=lambda: notify("READY=1"),
            )
        )
        logger.info("agent of %s starts, manager is %s", facts.fqdn, url)
        with Surroundings(containment=containment).entered():
            await agent.run(stop)
        tasks.cancel_scope.cancel()
    logger.info("agent of %s has ended", facts.fqdn)


async def heed_signals(
    stop: anyio.Event, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Set ``stop`` at the first SIGTERM, SIGINT or SIGHUP, and make sure of the end."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            logger.info("%s: the agent ends", signal.Signals(number).name)
            notify("STOPPING=1")
            # A worker thread that hangs would keep the interpreter; nothing else may.
            last_resort = threading.Timer(END_WITHIN_S, os._exit, args=(1,))
            last_resort.daemon = True
            last_resort.start()
            stop.set()


def first_of_ours(group: BaseExceptionGroup[BaseException]) -> EmfError | None:
    """Return an error of ours out of a group, however deep, if nothing else is in it."""
    ours, others = group.split(EmfError)
    if ours is None or others is not None:
        return None
    found: BaseException = ours
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, EmfError) else None


def tuning(settings: Settings) -> Tuning:
    """Return what the configuration changes of how the agent runs."""
    actions, outbox = settings.actions, settings.outbox
    return Tuning(
        session_rules=Rules(
            answer_within_s=settings.sessions.answer_within_s,
            between_sessions_s=settings.sessions.between_sessions_s,
        ),
        backoff=Backoff(
            first_s=settings.backoff.first_s,
            cap_s=settings.backoff.cap_s,
            floor_s=settings.backoff.floor_s,
        ),
        quarantine=Quarantine(
            after=settings.quarantine.after,
            first_s=settings.quarantine.first_s,
            cap_s=settings.quarantine.cap_s,
        ),
        limits=Limits(
            events=outbox.events,
            event_bytes=outbox.event_bytes,
            envelope_bytes=outbox.envelope_bytes,
            message_bytes=outbox.message_bytes,
        ),
        actions=ActionLimits(
            concurrent=actions.concurrent,
            waiting=actions.waiting,
            default_timeout_s=actions.default_timeout_s,
            result_bytes=actions.result_bytes,
        ),
    )


def journal_limits(settings: Settings) -> JournalLimits:
    """Return the journal's bounds as configured."""
    journal = settings.journal
    return JournalLimits(
        size_bytes=journal.size_bytes,
        events_bytes=journal.events_bytes,
        floor=FreeSpaceFloor(journal.floor_bytes, journal.floor_fraction),
    )
