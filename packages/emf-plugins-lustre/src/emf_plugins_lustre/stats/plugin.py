"""The entry point ``lustre.stats``: the daemon, the opt-in listener, the settings. Wiring only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from emf_agent.plugin import DaemonFactory, hookimpl
from emf_plugins_lustre.stats.daemon import Stats
from emf_plugins_lustre.stats.listener import Listener
from emf_plugins_lustre.stats.settings import StatsSettings

__all__ = ["emf_daemons", "emf_metrics", "emf_settings"]


@hookimpl
def emf_settings() -> type[StatsSettings]:
    """Return the model of ``[plugin."lustre.stats"]``."""
    return StatsSettings


@hookimpl
def emf_daemons(settings: StatsSettings) -> Sequence[DaemonFactory]:
    """Return the daemon ``stats``."""
    return [partial(Stats, settings)]


@hookimpl
def emf_metrics(settings: StatsSettings) -> Sequence[Callable[[], Awaitable[None]]]:
    """Return the Prometheus listener, where one is configured."""
    return [Listener(settings)] if settings.listen is not None else []
