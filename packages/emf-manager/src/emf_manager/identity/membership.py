"""Who belongs to the fleet at this moment: revoked certificates, and names that come and go.

Another process, an admin command, may remove a node in the same database; the event trail tells.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import anyio

from emf_manager.records import Node
from emf_manager.store.interface import Store, StoreError

__all__ = ["Fleet", "Membership"]

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""A revocation made by another process takes this long to be seen (requirement R13: 1 s)."""
KINDS = ("node.enrolled", "node.approved", "node.revoked", "node.removed")
COMES_OR_GOES = ("node.enrolled", "node.approved", "node.removed")


class Known(Protocol):
    """A node, as its verified certificate says."""

    @property
    def fqdn(self) -> str:
        """Its name."""
        ...

    @property
    def serial(self) -> str:
        """Upper-case hex."""
        ...


class Fleet(Protocol):
    """What must hear of names that come and go."""

    async def enrolled(self, node: Node) -> None:
        """Take a name in; what is known of an earlier node of the name is over."""
        ...

    async def removed(self, fqdn: str, reason: str) -> None:
        """Drop a name: end its sessions and its hanging request."""
        ...

    async def nudge(self, fqdn: str) -> None:
        """End a name's hanging request, so that who it is is looked at again."""
        ...


class Membership:
    """The gate that every request of a node passes."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        *,
        wall: Callable[[], float] = time.time,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._wall = wall
        self._look_every_s = look_every_s
        self._revoked: Mapping[str, str] = {}
        self._waiting: frozenset[str] = frozenset()
        self._seen = 0
        self._looking = anyio.Lock()

    async def start(self) -> None:
        """Read what is revoked; what happened before now, the fleet has read itself."""
        self._seen = (await self._store.event_bounds())[1]
        await self._read()

    def is_revoked(self, serial: str) -> bool:
        """Tell whether a certificate may no longer be used."""
        return serial in self._revoked

    def refusal(self, peer: Known) -> str | None:
        """Return why this node's request must be refused (403), or None."""
        if self.is_revoked(peer.serial):
            return f"the certificate of {peer.fqdn} is revoked; enrol the node again"
        if peer.fqdn in self._waiting:
            return f"{peer.fqdn} waits for approval: emf node approve {peer.fqdn}"
        return None

    async def look(self) -> None:
        """Take in what has happened since the last look, and tell the fleet."""
        async with self._looking:
            newest = (await self._store.event_bounds())[1]
            if newest <= self._seen:
                return
            news = await self._store.events(after=self._seen, limit=newest, kinds=KINDS)
            if news:
                await self._read()
            renamed = [e.node for e in news if e.kind in COMES_OR_GOES and e.node is not None]
            for name in dict.fromkeys(renamed):
                await self._tell(name)
            for event in news:
                if event.kind == "node.revoked" and event.node is not None:
                    await self._fleet.nudge(event.node)
            self._seen = newest

    async def watch(self) -> None:
        """Look again and again, for what other processes do."""
        while True:
            await anyio.sleep(self._look_every_s)
            try:
                await self.look()
            except StoreError:
                logger.exception("looking for removed nodes failed; trying again")

    async def _read(self) -> None:
        self._revoked = await self._store.revoked_serials(now=self._wall())
        self._waiting = await self._store.waiting_nodes()

    async def _tell(self, fqdn: str) -> None:
        """Tell the fleet how a name stands now, whatever happened in between."""
        node = await self._store.node(fqdn)
        if node is None:
            return
        if node.state == "removed":
            logger.warning("node removed fqdn=%s reason=%s", fqdn, node.reason)
            await self._fleet.removed(fqdn, node.reason or "removed")
        else:
            await self._fleet.enrolled(node)
