"""Entry point ``lustre.stratagem``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, hookimpl
from emf_plugins_lustre.stratagem.actions import stratagem_actions
from emf_plugins_lustre.stratagem.settings import StratagemSettings

__all__ = ["emf_actions", "emf_settings"]


@hookimpl
def emf_settings() -> type[StratagemSettings]:
    """Return the model of ``[plugin."lustre.stratagem"]``."""
    return StratagemSettings


@hookimpl
def emf_actions(settings: StratagemSettings) -> Sequence[Action[..., Any]]:
    """Return the scans and the actions on the files they found."""
    return stratagem_actions(settings)
