"""The fleet as groups of tiles: by role, the worst first. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from emf_manager.views import RollEntry

__all__ = ["RANK", "STANDINGS", "Group", "Standing", "Tile", "grouped", "tally", "tiles"]

Standing = Literal["silent", "alerting", "waiting", "never", "connected"]
STANDINGS: tuple[Standing, ...] = ("silent", "alerting", "waiting", "never", "connected")
"""How a node stands, the worst first."""
RANK: dict[str, int] = {name: rank for rank, name in enumerate(STANDINGS)}


class Tile(NamedTuple):
    """One node, as the map and the table show it."""

    fqdn: str
    role: str | None
    standing: Standing
    alerts: int
    """Open ones that nobody has acknowledged."""
    last_contact: float | None


class Group(NamedTuple):
    """The nodes of one role."""

    role: str | None
    nodes: tuple[Tile, ...]
    counts: Mapping[Standing, int]
    """Only what there is, the worst first."""

    @property
    def troubled(self) -> tuple[Tile, ...]:
        """Those that are not simply connected."""
        return tuple(node for node in self.nodes if node.standing != "connected")


def tiles(roll: Iterable[RollEntry], alerts: Mapping[str, int]) -> tuple[Tile, ...]:
    """Return nodes in the order that an admin wants to see them: the worst first, then by name."""
    made = [
        Tile(one.fqdn, one.role, standing(one, number), number, one.last_contact)
        for one in roll
        for number in (alerts.get(one.fqdn, 0),)
    ]
    return tuple(sorted(made, key=lambda tile: (RANK[tile.standing], tile.fqdn)))


def standing(node: RollEntry, alerts: int) -> Standing:
    """Return how a node stands; one that waits for approval has not been let speak."""
    if node.waiting:
        return "waiting"
    return "alerting" if alerts and node.state == "connected" else node.state


def tally(nodes: Iterable[Tile]) -> dict[Standing, int]:
    """Count nodes by how they stand, the worst first; only what there is."""
    counted = Counter(node.standing for node in nodes)
    return {name: counted[name] for name in STANDINGS if counted[name]}


def grouped(nodes: Iterable[Tile]) -> tuple[Group, ...]:
    """Return nodes by role, in their order: first the roles with most in trouble, then by name."""
    by_role: dict[str | None, list[Tile]] = {}
    for node in nodes:
        by_role.setdefault(node.role, []).append(node)
    groups = [Group(role, tuple(some), tally(some)) for role, some in by_role.items()]
    return tuple(sorted(groups, key=urgency))


def urgency(group: Group) -> tuple[list[int], bool, str]:
    troubles = [-group.counts.get(name, 0) for name in STANDINGS[:-1]]
    return troubles, group.role is None, group.role or ""
