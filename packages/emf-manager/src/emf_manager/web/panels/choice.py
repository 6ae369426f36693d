"""Which panels a daemon has: its own where its value fits them, else those of any daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from emf_manager.web.panels.agent import agent
from emf_manager.web.panels.blocks import Block
from emf_manager.web.panels.clock import clock, ntp
from emf_manager.web.panels.cluster import cluster
from emf_manager.web.panels.devices import devices
from emf_manager.web.panels.file_systems import pools, snapshots
from emf_manager.web.panels.generic import generic
from emf_manager.web.panels.host import host
from emf_manager.web.panels.journal import journal
from emf_manager.web.panels.lustre import stats
from emf_manager.web.panels.network import network

__all__ = ["panels_of"]

Panels = Callable[[Any], tuple[Block, ...]]

BY_DAEMON: Mapping[str, Panels] = {
    "agent": agent,
    "clock": clock,
    "corosync": cluster,
    "device": devices,
    "host": host,
    "journal": journal,
    "network": network,
    "ntp": ntp,
    "ostpool": pools,
    "snapshot": snapshots,
    "stats": stats,
}


def panels_of(daemon: str, value: Any, series: Mapping[str, str]) -> tuple[Block, ...]:
    """Return the panels of a daemon's value, whatever it is.

    A third party may name its daemon as one of ours, and a newer agent may send another shape: a
    value that does not fit is shown as any daemon's is.
    """
    known = BY_DAEMON.get(daemon)
    if known is not None:
        try:
            return known(value)
        except (ValidationError, OverflowError):
            pass
    return generic(value, series)
