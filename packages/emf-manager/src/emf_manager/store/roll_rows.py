"""The roll of nodes: of each only what a look at the whole fleet needs, and that quickly."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sqlalchemy import Connection, select

from emf_manager.records import NodeState
from emf_manager.store import schema as t

__all__ = ["RollRow", "RollStore", "read_roll"]


class RollRow(NamedTuple):
    """One node on the roll."""

    fqdn: str
    role: str | None
    state: NodeState
    waiting: bool
    last_contact: float | None


class RollStore(Protocol):
    """The store as the roll sees it."""

    async def roll(self) -> tuple[RollRow, ...]:
        """Return every enrolled node, by name."""
        ...


def read_roll(connection: Connection) -> tuple[RollRow, ...]:
    """Return every enrolled node, by name."""
    node = t.nodes.c
    wanted = (
        select(node.fqdn, node.role, node.state, node.waiting, node.last_contact)
        .where(node.state != "removed")
        .order_by(node.fqdn)
    )
    return tuple(RollRow(*row) for row in connection.execute(wanted))
