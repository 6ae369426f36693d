"""The facts of every node: kept on the desks as values come, read from the store at the start."""

from __future__ import annotations

import logging
from dataclasses import replace

from emf_manager.facts import SOURCES, Facts, facts_of_node, facts_of_value
from emf_manager.seats import Seats
from emf_manager.store.interface import Store, StoreError

__all__ = ["AT_START", "FactBook"]

logger = logging.getLogger(__name__)

AT_START = ("agent", "corosync", "host")
"""Daemons whose values a starting manager reads at once: they are small."""


class FactBook:
    """What is known of nodes, flat and by name."""

    def __init__(self, store: Store, seats: Seats) -> None:
        self._store = store
        self._seats = seats

    async def facts(self) -> dict[str, Facts]:
        """Return the facts of every enrolled node, by name."""
        known = {desk.node.fqdn: desk for desk in self._seats.desks()}
        found: dict[str, Facts] = {}
        for node in await self._store.nodes():
            desk = known.get(node.fqdn)
            if desk is None:
                found[node.fqdn] = facts_of_node(node, ())
                continue
            own = replace(node, state=desk.node.state, agent_version=desk.node.agent_version)
            found[node.fqdn] = facts_of_node(own, desk.facts.values())
        return found

    async def recall(self) -> None:
        """Read what is large, node by node, so that a fleet's values are never in memory at once.

        What comes in meanwhile is newer, and wins.
        """
        for fqdn in [desk.node.fqdn for desk in self._seats.desks()]:
            try:
                for daemon in sorted(SOURCES.keys() - set(AT_START)):
                    for value in await self._store.values(node=fqdn, daemon=daemon):
                        said = facts_of_value(daemon, value.body)
                        await self._seats.remember(fqdn, daemon, said)
            except StoreError as error:
                logger.error("facts are known when they are sent again node=%s: %s", fqdn, error)
