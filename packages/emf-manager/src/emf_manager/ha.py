"""HA clusters: which nodes are servers of the same one, so that a rollout keeps them apart. Pure.

A node is in the cluster that its label ``ha`` names; without the label, in one with everybody
whom the daemon ``corosync`` of any of them names as a member.
"""

from __future__ import annotations

from collections.abc import Mapping

from emf_manager.facts import Facts
from emf_manager.nodesets import full_names

__all__ = ["ha_clusters"]


def ha_clusters(facts: Mapping[str, Facts]) -> dict[str, str]:
    """Return the cluster of each node that has one; nodes of the same one have the same text."""
    names = full_names(facts)
    labelled = {node: f"ha={its['label.ha']}" for node, its in facts.items() if its.get("label.ha")}
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for node, its in facts.items():
        told = its.get("ha.member")
        for member in told if isinstance(told, tuple) and node not in labelled else ():
            partner = names.get(str(member).lower())
            if partner is not None and partner not in labelled:
                first, second = sorted((root(node), root(partner)))
                parent[second] = first
    return {**{node: root(node) for node in tuple(parent)}, **labelled}
