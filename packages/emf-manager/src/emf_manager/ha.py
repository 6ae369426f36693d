"""HA clusters: which nodes are servers of the same one, so that a rollout keeps them apart. Pure.

A node is in the cluster of the group ``ha-…`` that an operator put it in, or that its label ``ha``
names; without those, in one with everybody whom the daemon ``corosync`` of any of them names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emf_manager.facts import Facts
from emf_manager.nodesets import full_names

__all__ = ["HA_GROUP", "ha_clusters"]

HA_GROUP = "ha-"
"""How the name of a group begins whose nodes are one cluster."""


def ha_clusters(
    facts: Mapping[str, Facts], groups: Mapping[str, Sequence[str]] | None = None
) -> dict[str, str]:
    """Return the cluster of each node that has one; nodes of the same one have the same text.

    ``groups`` are those of clusters, with their nodes; they win over anything else.
    """
    names = full_names(facts)
    labelled = {node: f"ha={its['label.ha']}" for node, its in facts.items() if its.get("label.ha")}
    for name, nodes in (groups or {}).items():
        labelled.update(dict.fromkeys(nodes, f"@{name}"))
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
