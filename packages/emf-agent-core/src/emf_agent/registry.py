"""What the loaded plugins offer, as one frozen value: actions, daemons, services, observers."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import TypeAdapter

from emf_agent.plugin import Action, ActionFinished, ActionNotice, Daemon, DaemonFactory
from emf_agent.plugin.daemon import answer_adapter, payload_adapter
from emf_agent.wire import ActionDescription, DaemonDescription, PluginReport

__all__ = [
    "RegisteredAction",
    "RegisteredDaemon",
    "RegisteredService",
    "Registry",
    "register_daemon",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegisteredAction:
    """An action, and the plugin that owns its name."""

    plugin: str
    action: Action[..., Any]


@dataclass(frozen=True)
class RegisteredDaemon:
    """A daemon, the plugin that owns its name, and its pace as configured."""

    plugin: str
    name: str
    summary: str
    factory: DaemonFactory
    interval_s: float
    deadline_s: float
    start_deadline_s: float
    delivery: Literal["latest", "every"]
    payload: TypeAdapter[Any]
    """Writes and describes what the daemon sends."""
    answer: TypeAdapter[Any]
    """Writes what it answers to a message."""

    def schema(self) -> dict[str, Any]:
        """Return the payload as JSON Schema."""
        return self.payload.json_schema(mode="serialization")


@dataclass(frozen=True)
class RegisteredService:
    """A plugin's service that runs beside the sessions."""

    plugin: str
    call: Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Registry:
    """Everything that may run here, and what was refused."""

    plugins: tuple[PluginReport, ...] = ()
    actions: Mapping[str, RegisteredAction] = field(default_factory=dict)
    daemons: Mapping[str, RegisteredDaemon] = field(default_factory=dict)
    services: tuple[RegisteredService, ...] = ()
    started_observers: tuple[Callable[[ActionNotice], None], ...] = ()
    finished_observers: tuple[Callable[[ActionFinished], None], ...] = ()

    @cached_property
    def _catalogue(self) -> tuple[tuple[ActionDescription, ...], tuple[DaemonDescription, ...]]:
        actions = tuple(
            ActionDescription(
                name=name,
                plugin=one.plugin,
                summary=one.action.summary,
                description=one.action.description,
                args_schema=one.action.args_schema(),
                result_schema=one.action.result_schema(),
                timeout_s=one.action.timeout_s,
                dry_run=one.action.dry_run,
                idempotent=one.action.idempotent,
                read_only=one.action.read_only,
                detached=one.action.detached,
            )
            for name, one in sorted(self.actions.items())
        )
        daemons = tuple(
            DaemonDescription(
                name=name,
                plugin=one.plugin,
                summary=one.summary,
                payload_schema=one.schema(),
                interval_s=one.interval_s,
                deadline_s=one.deadline_s,
                start_deadline_s=one.start_deadline_s,
                delivery=one.delivery,
            )
            for name, one in sorted(self.daemons.items())
        )
        return actions, daemons

    def catalogue(self) -> tuple[tuple[ActionDescription, ...], tuple[DaemonDescription, ...]]:
        """Return every action and daemon with its schemas, by name."""
        return self._catalogue

    @cached_property
    def digest(self) -> str:
        """Return a fingerprint of the catalogue, equal for equal catalogues."""
        actions, daemons = self.catalogue()
        told = [one.model_dump(mode="json") for one in (*actions, *daemons)]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]

    def observe_started(self, notice: ActionNotice) -> None:
        """Tell observers that an action begins; what they raise is theirs."""
        for observer in self.started_observers:
            try:
                observer(notice)
            except Exception:
                logger.exception("an observer of started actions failed")

    def observe_finished(self, finished: ActionFinished) -> None:
        """Tell observers that an action ended; what they raise is theirs."""
        for observer in self.finished_observers:
            try:
                observer(finished)
            except Exception:
                logger.exception("an observer of finished actions failed")


def register_daemon(plugin: str, factory: DaemonFactory, **pace: float) -> RegisteredDaemon:
    """Return a daemon's registration; ``pace`` overrides its interval and deadlines.

    One instance is made to be looked at: a daemon's construction does nothing.
    """
    looked_at: Daemon = factory()
    kind = type(looked_at)
    return RegisteredDaemon(
        plugin=plugin,
        name=looked_at.name,
        summary=(kind.__doc__ or "").strip().partition("\n")[0],
        factory=factory,
        interval_s=pace.get("interval_s", looked_at.interval_s),
        deadline_s=pace.get("deadline_s", looked_at.deadline_s),
        start_deadline_s=pace.get("start_deadline_s", looked_at.start_deadline_s),
        delivery=looked_at.delivery,
        payload=payload_adapter(kind),
        answer=answer_adapter(kind),
    )
