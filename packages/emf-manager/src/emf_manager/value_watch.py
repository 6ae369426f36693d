"""Who follows one daemon's value: a wake-up for each follower, and never a queue.

A follower that is woken reads the newest value; what came in between while it was busy is not told.
So a slow follower costs nobody anything, and no value is kept for it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio

from emf_agent.errors import RefusedError
from emf_manager.desk import Desk
from emf_manager.store.interface import Changes

__all__ = ["Follower", "ValueWatch"]

MAX_FOLLOWERS = 1024


class Follower:
    """One reader's side."""

    def __init__(self) -> None:
        self._news = anyio.Event()
        self.closed = False
        """The manager shuts down."""

    def wake(self) -> None:
        """Have it look: the value or its session has changed."""
        self._news.set()

    async def changed(self) -> None:
        """Wait until there was a change since the last call."""
        await self._news.wait()
        self._news = anyio.Event()


class ValueWatch:
    """All followers, by node and daemon."""

    def __init__(self, *, limit: int = MAX_FOLLOWERS) -> None:
        self._followers: dict[tuple[str, str], set[Follower]] = {}
        self._limit = limit
        self._count = 0
        self._closed = False

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def follow(self, node: str, daemon: str) -> Generator[Follower, None, None]:
        """Wake a follower whenever there is news of a daemon on a node, from now on.

        Raises:
            RefusedError: there are too many followers.

        """
        if self._count >= self._limit:
            raise RefusedError(f"{self._limit} values are being followed; end one")
        follower = Follower()
        follower.closed = self._closed
        mine = self._followers.setdefault((node, daemon), set())
        mine.add(follower)
        self._count += 1
        try:
            yield follower
        finally:
            self._count -= 1
            mine.discard(follower)
            if not mine and self._followers.get((node, daemon)) is mine:
                del self._followers[node, daemon]

    def heard(self, desk: Desk, changes: Changes) -> None:
        """Wake whom a node's news concern."""
        if self._followers:
            of_values = {value.daemon for value in changes.values}
            for daemon in of_values | {session.daemon for session in changes.sessions}:
                self.wake(desk.node.fqdn, daemon)

    def wake(self, node: str, daemon: str) -> None:
        """Wake whoever follows this value."""
        for follower in self._followers.get((node, daemon), ()):
            follower.wake()

    def close(self) -> None:
        """Tell every follower that the manager shuts down."""
        self._closed = True
        for followers in self._followers.values():
            for follower in followers:
                follower.closed = True
                follower.wake()
