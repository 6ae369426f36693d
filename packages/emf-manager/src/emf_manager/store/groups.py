"""What the store does for groups of nodes, as its own narrow Protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Group", "GroupStore"]


@dataclass(frozen=True)
class Group:
    """Nodes under one name, as an operator defined it."""

    name: str
    nodes: str
    """A node set; it may name other groups."""
    changed: float = 0.0
    changed_by: str = ""


class GroupStore(Protocol):
    """Each method is one transaction; raises as ``Store``."""

    async def listed(self) -> tuple[Group, ...]:
        """Return every group, by name."""
        ...

    async def put(self, group: Group) -> bool:
        """Make a group, or make it another; tell whether it is new."""
        ...

    async def remove(self, name: str) -> bool:
        """Forget a group; False where there is none."""
        ...
