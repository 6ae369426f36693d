"""Entry point ``host.units``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, hookimpl
from emf_plugins_host.units import actions, log

__all__ = ["emf_actions"]


@hookimpl
def emf_actions() -> Sequence[Action[..., Any]]:
    """Offer the actions on systemd units."""
    return [
        actions.start_unit,
        actions.stop_unit,
        actions.restart_unit,
        actions.enable_unit,
        actions.disable_unit,
        actions.get_unit_run_state,
        actions.list_units,
        log.unit_log,
    ]
