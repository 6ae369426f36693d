"""Entry point ``lustre.hotpools``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, hookimpl
from emf_plugins_lustre.hotpools.actions import HotPoolActions
from emf_plugins_lustre.hotpools.settings import HotPoolSettings

__all__ = ["emf_actions", "emf_settings"]


@hookimpl
def emf_settings() -> type[HotPoolSettings]:
    """Return the model of ``[plugin."lustre.hotpools"]``."""
    return HotPoolSettings


@hookimpl
def emf_actions(settings: HotPoolSettings) -> Sequence[Action[..., Any]]:
    """Return the actions on hot pools."""
    return HotPoolActions(settings).actions()
