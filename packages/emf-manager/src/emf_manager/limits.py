"""Paces and bounds of the manager, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from emf_manager.agents.rules import LEASE_S
from emf_manager.nodesets import MAX_NODES

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Paces and bounds of the manager."""

    poll_s: float = 25.0
    """How long a GET hangs before it is answered empty."""
    ancestor_poll_s: float = 30.0
    lease_s: float = LEASE_S
    expires_in_s: float = 300.0
    """How long a node has to take an action, where the order does not say."""
    nodes: int = MAX_NODES
    """Nodes one job may have."""
    open_targets: int = 1000
    """Actions that may wait or run on one node."""
    keep_s: float = 30 * 86400.0
    """How long finished jobs, ended sessions and events are kept."""
    prune_every_s: float = 3600.0
