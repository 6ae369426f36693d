"""Entry point ``host.facts``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from emf_agent.plugin import DaemonFactory, hookimpl
from emf_plugins_host.facts.daemon import Host, SensorReader
from emf_plugins_host.facts.file_systems import FileSystems

__all__ = ["emf_daemons"]


@hookimpl
def emf_daemons() -> Sequence[DaemonFactory]:
    """Offer daemon ``host``."""
    return [partial(Host, FileSystems(), SensorReader())]
