"""The manager as one object: what the gateway and the API call."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager

from emf_manager.bus import Subscription
from emf_manager.views import (
    CatalogueEntry,
    DataView,
    EventView,
    JobOrder,
    JobView,
    NodeView,
    PingView,
    SessionView,
)

__all__ = ["Engine"]


class Engine:
    """Everything the manager knows and does; one per process."""

    async def nodes(self) -> tuple[NodeView, ...]:
        """Return every enrolled node, by name."""
        raise NotImplementedError

    async def node(self, fqdn: str) -> NodeView:
        """Return one node; NotFoundError where it is not enrolled."""
        raise NotImplementedError

    async def sessions(
        self, *, node: str | None = None, daemon: str | None = None
    ) -> tuple[SessionView, ...]:
        """Return the sessions there are now, by node and daemon."""
        raise NotImplementedError

    async def latest(self, node: str, daemon: str) -> DataView:
        """Return the last value; NotFoundError where there is no node, or no value yet."""
        raise NotImplementedError

    async def latest_all(self, node: str) -> tuple[DataView, ...]:
        """Return the last value of each daemon of a node."""
        raise NotImplementedError

    async def catalogue(self) -> tuple[CatalogueEntry, ...]:
        """Return every action some node has, by name."""
        raise NotImplementedError

    async def create_job(self, order: JobOrder) -> JobView:
        """Store a job and offer it: once this returns it survives a restart.

        Raises:
            NotFoundError: a node is not enrolled. UnknownActionError, ArgumentsError: it does not
            fit the catalogue. ConflictError: the idempotency key. RefusedError: too many nodes or
            open jobs. UsageError: nothing targeted, or a number out of range.

        """
        raise NotImplementedError

    async def job(self, job_id: str) -> JobView:
        """Return a job with its targets; NotFoundError."""
        raise NotImplementedError

    async def jobs(
        self, *, limit: int = 100, before: str | None = None, requester: str | None = None
    ) -> tuple[JobView, ...]:
        """Return jobs without targets, newest first, those with an id below ``before``."""
        raise NotImplementedError

    async def cancel_job(
        self, job_id: str, *, requester: str, nodes: Collection[str] | None = None
    ) -> JobView:
        """Ask for the end of a job, or of it on some nodes; what is final stays. NotFoundError."""
        raise NotImplementedError

    async def ping(self, nodes: Sequence[str], *, timeout_s: float = 5.0) -> tuple[PingView, ...]:
        """Ask each node to come back at once, and say how long that took; NotFoundError."""
        raise NotImplementedError

    async def events(self, *, after: int, limit: int = 1000) -> tuple[EventView, ...]:
        """Return stored events above a number, in order."""
        raise NotImplementedError

    def subscribe(self, *, after: int) -> AbstractContextManager[Subscription[EventView]]:
        """Hand out events from now on; read ``events`` up to the first one's number after this."""
        raise NotImplementedError
