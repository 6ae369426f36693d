"""Entry point ``host.time``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, DaemonFactory, hookimpl
from emf_plugins_host.timekeeping import actions
from emf_plugins_host.timekeeping.daemons import Clock, Ntp

__all__ = ["emf_actions", "emf_daemons"]


@hookimpl
def emf_actions() -> Sequence[Action[..., Any]]:
    """Offer the actions on the time service."""
    return [actions.configure_ntp, actions.is_ntp_configured]


@hookimpl
def emf_daemons() -> Sequence[DaemonFactory]:
    """Offer daemons ``ntp`` and ``clock``."""
    return [Ntp, Clock]
