"""Entry point ``lustre.pools``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, DaemonFactory, hookimpl
from emf_plugins_lustre.pools.actions import pool_actions
from emf_plugins_lustre.pools.daemon import OstPools

__all__ = ["emf_actions", "emf_daemons"]


@hookimpl
def emf_actions() -> Sequence[Action[..., Any]]:
    """Return the actions on OST pools."""
    return pool_actions()


@hookimpl
def emf_daemons() -> Sequence[DaemonFactory]:
    """Return the daemon ``ostpool``."""
    return [OstPools]
