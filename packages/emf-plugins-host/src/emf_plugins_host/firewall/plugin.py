"""Entry point ``host.firewall``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, hookimpl
from emf_plugins_host.firewall import actions

__all__ = ["emf_actions"]


@hookimpl
def emf_actions() -> Sequence[Action[..., Any]]:
    """Offer the actions on the firewall."""
    return [actions.add_firewall_port, actions.remove_firewall_port]
