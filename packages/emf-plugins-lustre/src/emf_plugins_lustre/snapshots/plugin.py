"""Entry point ``lustre.snapshots``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, DaemonFactory, hookimpl
from emf_plugins_lustre.snapshots.actions import snapshot_actions
from emf_plugins_lustre.snapshots.daemon import Snapshots

__all__ = ["emf_actions", "emf_daemons"]


@hookimpl
def emf_actions() -> Sequence[Action[..., Any]]:
    """Return the actions on snapshots."""
    return snapshot_actions()


@hookimpl
def emf_daemons() -> Sequence[DaemonFactory]:
    """Return the daemon ``snapshot``."""
    return [Snapshots]
