"""The hook specifications: what a plugin module may implement. Hooks register, never dispatch.

Each hook is called once, at start-up, and returns things; the work is in what it returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pluggy
from pydantic import BaseModel

from emf_agent.plugin.action import Action
from emf_agent.plugin.daemon import DaemonFactory
from emf_agent.wire import OutcomeKind

__all__ = [
    "ENTRY_POINT_GROUP",
    "PROJECT",
    "ActionFinished",
    "ActionNotice",
    "HookSpecs",
    "NodeFacts",
    "hookimpl",
]

PROJECT = "emf_agent"
ENTRY_POINT_GROUP = "emf_agent.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class NodeFacts:
    """What a plugin may look at to say whether it has a place on this node."""

    fqdn: str
    kernel: str
    """``uname -r``."""
    machine: str
    """``uname -m``."""
    os_id: str
    """``ID`` of os-release, for example ``rhel``."""
    os_like: tuple[str, ...]
    """``ID_LIKE`` of os-release."""


@dataclass(frozen=True)
class ActionNotice:
    """An action begins; for observers. Arguments are redacted."""

    action_id: str
    name: str
    plugin: str
    requester: str | None


@dataclass(frozen=True)
class ActionFinished:
    """An action ended; for observers."""

    notice: ActionNotice
    outcome: OutcomeKind
    seconds: float


class HookSpecs:
    """Every hook; implement any of them in the module that the entry point names."""

    @hookspec
    def emf_settings(self) -> type[BaseModel]:  # type: ignore[empty-body]
        """Return the model of the plugin's own table, ``[plugin."NAME"]`` in the configuration.

        Every field needs a default: a node that configures nothing must work.
        """

    @hookspec
    def emf_applicable(self, node: NodeFacts) -> str | None:
        """Return why the plugin has no place on this node, or None where it has."""

    @hookspec
    def emf_actions(self, settings: Any) -> Sequence[Action[..., Any]]:  # type: ignore[empty-body]
        """Return the plugin's actions; ``settings`` is an instance of ``emf_settings``' model."""

    @hookspec
    def emf_daemons(self, settings: Any) -> Sequence[DaemonFactory]:  # type: ignore[empty-body]
        """Return the plugin's daemon classes, or callables that make an instance."""

    @hookspec
    def emf_metrics(self, settings: Any) -> Sequence[Callable[[], Any]]:  # type: ignore[empty-body]
        """Return services that run beside the sessions for the life of the agent.

        Each is an async callable without arguments, started in the agent's task group and
        cancelled at its end: a listener that serves metrics, for example. One that fails is
        started again with growing pauses; it never takes the agent with it.
        """

    @hookspec
    def emf_action_started(self, notice: ActionNotice) -> None:
        """Observe that an action begins."""

    @hookspec
    def emf_action_finished(self, finished: ActionFinished) -> None:
        """Observe that an action ended."""
