"""Which nodes are servers of one HA cluster."""

from __future__ import annotations

import pytest

from emf_manager.facts import Facts
from emf_manager.ha import ha_clusters


def sets(facts: dict[str, Facts]) -> set[frozenset[str]]:
    by_cluster: dict[str, set[str]] = {}
    for node, cluster in ha_clusters(facts).items():
        by_cluster.setdefault(cluster, set()).add(node)
    return set(map(frozenset, by_cluster.values()))


def test_a_group_wins_over_everything_else() -> None:
    facts: dict[str, Facts] = {
        "a.x": {"ha.member": ("a", "b", "c")},
        "b.x": {"label.ha": "other"},
        "c.x": {},
    }

    assert ha_clusters(facts, {"ha-one": ("a.x", "b.x")}) == {
        "a.x": "@ha-one",
        "b.x": "@ha-one",
    }


@pytest.mark.parametrize(
    ("facts", "clusters"),
    [
        pytest.param({"a.x": {}, "b.x": {}}, set(), id="nobody is in one"),
        pytest.param(
            {"a.x": {"ha.member": ("a", "b")}, "b.x": {}, "c.x": {}},
            {frozenset({"a.x", "b.x"})},
            id="one of them names both, by short name",
        ),
        pytest.param(
            {
                "a.x": {"ha.member": ("a.x", "b.x")},
                "b.x": {"ha.member": ("b.x", "c.x")},
                "c.x": {},
            },
            {frozenset({"a.x", "b.x", "c.x"})},
            id="what they name overlaps",
        ),
        pytest.param(
            {"a.x": {"label.ha": "one"}, "b.x": {"label.ha": "one"}, "c.x": {"label.ha": "two"}},
            {frozenset({"a.x", "b.x"}), frozenset({"c.x"})},
            id="labels",
        ),
        pytest.param(
            {
                "a.x": {"label.ha": "one", "ha.member": ("a", "b", "c", "d")},
                "b.x": {"label.ha": "one"},
                "c.x": {"label.ha": "two"},
                "d.x": {"label.ha": "two"},
            },
            {frozenset({"a.x", "b.x"}), frozenset({"c.x", "d.x"})},
            id="a label wins over what the cluster stack says",
        ),
        pytest.param(
            {"a.x": {"ha.member": ("a.x", "stranger", 3, True)}},
            {frozenset({"a.x"})},
            id="members that are not enrolled",
        ),
    ],
)
def test_nodes_are_in_clusters(facts: dict[str, Facts], clusters: set[frozenset[str]]) -> None:
    assert sets(facts) == clusters
