"""Entry point ``host.journal``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pydantic import BaseModel

from emf_agent.plugin import DaemonFactory, hookimpl
from emf_plugins_host.journal.daemon import Journal
from emf_plugins_host.journal.intake import JournalSettings

__all__ = ["emf_daemons", "emf_settings"]


@hookimpl
def emf_settings() -> type[BaseModel]:
    """Offer the journal's table in the configuration."""
    return JournalSettings


@hookimpl
def emf_daemons(settings: JournalSettings) -> Sequence[DaemonFactory]:
    """Offer daemon ``journal``."""
    return [partial(Journal, settings)]
