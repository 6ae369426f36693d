"""Entry point ``host.network``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence

from emf_agent.plugin import DaemonFactory, hookimpl
from emf_plugins_host.network.daemon import Network

__all__ = ["emf_daemons"]


@hookimpl
def emf_daemons() -> Sequence[DaemonFactory]:
    """Offer daemon ``network``."""
    return [Network]
