"""Entry point ``lustre.postoffice``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from emf_agent.plugin import Action, DaemonFactory, hookimpl
from emf_plugins_lustre.postoffice.actions import PostOfficeActions
from emf_plugins_lustre.postoffice.daemon import PostOffice
from emf_plugins_lustre.postoffice.settings import PostOfficeSettings

__all__ = ["emf_actions", "emf_daemons", "emf_settings"]


@hookimpl
def emf_settings() -> type[PostOfficeSettings]:
    """Return the model of ``[plugin."lustre.postoffice"]``."""
    return PostOfficeSettings


@hookimpl
def emf_actions(settings: PostOfficeSettings) -> Sequence[Action[..., Any]]:
    """Return the actions on routes."""
    return PostOfficeActions(settings).actions()


@hookimpl
def emf_daemons(settings: PostOfficeSettings) -> Sequence[DaemonFactory]:
    """Return the daemon ``postoffice``."""
    return [partial(PostOffice, settings)]
