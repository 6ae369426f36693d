"""The two daemons of the core: ``action_runner`` carries actions, ``agent`` describes the agent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pydantic import JsonValue

from emf_agent.actions import ActionRunner
from emf_agent.driver import DriverContext
from emf_agent.errors import ProtocolError
from emf_agent.plugin import Daemon
from emf_agent.registry import RegisteredDaemon, register_daemon
from emf_agent.renewal import Renewing
from emf_agent.wire import (
    ActionReport,
    ActionResult,
    ActionStart,
    AgentReport,
    CancelState,
    Ok,
    encode_report,
    parse_action_body,
)

__all__ = ["CORE", "agent_daemon", "runner_daemon"]

CORE = "core"
"""The name under which the core's own daemons are registered."""
RESULTS_AT_ONCE = 100


class RunnerSession(Daemon):
    """Carries orders in and reports out; the actions themselves outlive it."""

    name = "action_runner"
    interval_s = 3600.0

    def __init__(self, runner: ActionRunner, speaks_2: Callable[[], bool]) -> None:
        self._runner = runner
        self._speaks_2 = speaks_2
        self._sent: set[str] = set()

    async def start_session(self) -> None:
        """Listen to reports, and send again what no manager has acknowledged."""
        self._runner.reports.listener = self._tell
        await self.update_session()

    async def update_session(self) -> None:
        """Send the next results that wait in the journal; woken when some were acknowledged."""
        for result in await self._runner.unacknowledged(RESULTS_AT_ONCE):
            if result.id not in self._sent:
                self._tell(result)

    async def receive(self, body: JsonValue) -> None:
        """Take an order; one that cannot be read is answered under its id, if it has one."""
        try:
            order = parse_action_body(body)
        except ProtocolError as error:
            named = body.get("id") if isinstance(body, dict) else None
            if not isinstance(named, str) or not named:
                raise
            await self._runner.refuse_unreadable(named, str(error))
            return
        if isinstance(order, ActionStart):
            await self._runner.take(order)
        else:
            await self._runner.cancel(order.id)

    async def stop_session(self) -> None:
        """Stop listening; results wait in the journal for the next session."""
        if self._runner.reports.listener == self._tell:
            self._runner.reports.listener = None

    def _tell(self, report: ActionReport) -> None:
        assert isinstance(self.context, DriverContext)
        assert self.context.channel is not None
        if not self._speaks_2():
            plain = in_the_ancestors_words(report)
            if plain is None:
                return
            report = plain
        if isinstance(report, ActionResult):
            self._sent.add(report.id)
            stored = partial(self._stored, report.id)
            self.context.channel.append(encode_report(report), stored, keep=True)
        else:
            self.context.channel.append(encode_report(report), keep=False)

    def _stored(self, action_id: str) -> None:
        self._sent.discard(action_id)
        self._runner.acknowledged(action_id)
        self.context.wake()


def in_the_ancestors_words(report: ActionReport) -> ActionResult | None:
    """Return what an ancestor manager is told, or None where it knows no such report.

    It expects ``Ok(null)`` for the cancel of an id it asks about in vain (its section 5.1).
    """
    match report:
        case ActionResult(id=action_id, result=result):
            return ActionResult(id=action_id, result=result)
        case CancelState(id=action_id, state="unknown_id"):
            return ActionResult(id=action_id, result=Ok(value=None))
        case _:
            return None


class AgentSession(Daemon):
    """Describes the agent: plugins with reasons, the catalogue, health (architecture section 7)."""

    name = "agent"

    def __init__(self, describe: Callable[[], AgentReport], renewal: Renewing | None) -> None:
        self._describe = describe
        self._renewal = renewal

    async def start_session(self) -> AgentReport:
        """Return the description, and tell of each renewal as soon as it is made."""
        if self._renewal is not None:
            self._renewal.on_renewed = self.context.wake
        return self._describe()

    async def update_session(self) -> AgentReport:
        """Return the description as it is now; an equal one is not sent again."""
        return self._describe()


def runner_daemon(runner: ActionRunner, speaks_2: Callable[[], bool]) -> RegisteredDaemon:
    """Return the registration of ``action_runner``."""
    return register_daemon(CORE, partial(RunnerSession, runner, speaks_2))


def agent_daemon(
    describe: Callable[[], AgentReport], renewal: Renewing | None = None
) -> RegisteredDaemon:
    """Return the registration of ``agent``."""
    return register_daemon(CORE, partial(AgentSession, describe, renewal))
