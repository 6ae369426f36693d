"""Entry point ``lustre.client``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, hookimpl
from emf_plugins_lustre.client.actions import ClientActions
from emf_plugins_lustre.client.settings import ClientSettings

__all__ = ["emf_actions", "emf_settings"]


@hookimpl
def emf_settings() -> type[ClientSettings]:
    """Return the model of ``[plugin."lustre.client"]``."""
    return ClientSettings


@hookimpl
def emf_actions(settings: ClientSettings) -> Sequence[Action[..., Any]]:
    """Return the actions on client mounts."""
    return ClientActions(settings).actions()
