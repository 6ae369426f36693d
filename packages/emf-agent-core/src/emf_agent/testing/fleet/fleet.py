"""Many nodes as one: enrols them, starts them one after the other, and ends them together."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from functools import partial

import anyio
import anyio.to_thread

from emf_agent.enrolment import address_of
from emf_agent.testing.fleet.node import FleetNode, NodePlan
from emf_agent.tls import authority_context, fetch_authority
from emf_agent.wire import EnrolmentToken

__all__ = ["Fleet"]

logger = logging.getLogger(__name__)

JOURNAL_THREADS = 4
ENROL_AT_ONCE = 4
NODES_PER_S = 20.0
"""How fast nodes are started: a fleet that powers up in one instant is a test of its own."""


class Fleet:
    """The nodes by name."""

    def __init__(self, plans: Sequence[NodePlan], manager_url: str) -> None:
        """Make the nodes, not yet enrolled; two of one name are an error of the caller."""
        self.manager_url = manager_url
        # A limiter of one thread each: what shares it is in order, and all of them are few.
        threads = [anyio.CapacityLimiter(1) for _ in range(JOURNAL_THREADS)]
        self.nodes: Mapping[str, FleetNode] = {
            plan.fqdn: FleetNode(
                plan, manager_url, journal_threads=threads[number % JOURNAL_THREADS]
            )
            for number, plan in enumerate(plans)
        }
        if len(self.nodes) != len(plans):
            raise ValueError("two nodes of a fleet have one name")

    def node(self, fqdn: str) -> FleetNode:
        """Return one node."""
        return self.nodes[fqdn]

    def matching(self, pattern: str) -> list[FleetNode]:
        """Return the nodes whose name, or its first label, matches a shell pattern."""
        return [
            node
            for name, node in self.nodes.items()
            if fnmatchcase(name, pattern) or fnmatchcase(name.partition(".")[0], pattern)
        ]

    async def enrol(self, token: EnrolmentToken, pattern: str = "*") -> None:
        """Give each matching node that has none a certificate, with one token of enough uses.

        Raises:
            ManagerUnreachableError, ManagerRefusedError, ProtocolError: as `emf-agent enroll`.

        """
        host, port = address_of(self.manager_url)
        authority = await anyio.to_thread.run_sync(
            partial(fetch_authority, host, port, token.authority_sha256)
        )
        context = authority_context(authority)
        waiting = [node for node in self.matching(pattern) if not node.enrolled]

        async def enrol_some(nodes: Sequence[FleetNode], context: ssl.SSLContext) -> None:
            for node in nodes:
                await node.enrol(token.secret, context)

        async with anyio.create_task_group() as tasks:
            for first in range(ENROL_AT_ONCE):
                tasks.start_soon(enrol_some, waiting[first::ENROL_AT_ONCE], context)

    @asynccontextmanager
    async def running(
        self,
        *,
        nodes_per_s: float = NODES_PER_S,
    ) -> AsyncGenerator[None]:
        """Run every node until the block ends; then each says goodbye.

        A node whose agent dies of an error of its own is logged, and the others go on.
        """
        ending = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def start_all() -> None:
                for node in self.nodes.values():
                    if ending.is_set():
                        return
                    tasks.start_soon(run_one, node)
                    with anyio.move_on_after(1 / nodes_per_s):
                        await ending.wait()

            tasks.start_soon(start_all)
            try:
                yield
            finally:
                ending.set()
                for node in self.nodes.values():
                    node.stop()


async def run_one(node: FleetNode) -> None:
    """Run a node; what it dies of is its own."""
    try:
        await node.run()
    except Exception:
        logger.exception("the agent of %s has died", node.plan.fqdn)
