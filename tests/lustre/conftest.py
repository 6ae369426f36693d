"""The Lustre room's fixtures: a simulated node."""

from __future__ import annotations

from emf_plugins_lustre.testing.fixtures import simulated_node, simulated_nodes, simulated_role

__all__ = ["simulated_node", "simulated_nodes", "simulated_role"]
