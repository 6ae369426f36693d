"""Entry point ``lustre.targets``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, hookimpl
from emf_plugins_lustre.targets.actions import TargetActions
from emf_plugins_lustre.targets.settings import TargetSettings

__all__ = ["emf_actions", "emf_settings"]


@hookimpl
def emf_settings() -> type[TargetSettings]:
    """Return the model of ``[plugin."lustre.targets"]``."""
    return TargetSettings


@hookimpl
def emf_actions(settings: TargetSettings) -> Sequence[Action[..., Any]]:
    """Return the actions on server targets."""
    return TargetActions(settings).actions()
