"""The network of one simulated node: the real transport behind a cable that can be pulled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import anyio

from emf_agent.agent import Door
from emf_agent.errors import EmfError, ManagerUnreachableError
from emf_agent.transport import Polled, PollQuery, Posted
from emf_agent.wire import Envelope

__all__ = ["Network"]

T = TypeVar("T")
Condition = Literal["whole", "cut", "hanging"]


class Network:
    """What a node's agents speak through, one after the other; its condition outlives each.

    ``cut``: what hangs breaks, what is sent fails at once. ``hang``: nothing comes or goes, and
    nothing says so, until it is healed or a request's own patience is over.
    """

    def __init__(self) -> None:
        self.condition: Condition = "whole"
        self._changed = anyio.Event()

    def cut(self) -> None:
        """Break every connection, and let none be made."""
        self._become("cut")

    def hang(self) -> None:
        """Let nothing through, in silence."""
        self._become("hanging")

    def heal(self) -> None:
        """Let everything through again."""
        self._become("whole")

    def behind(self, door: Door, url: str) -> Door:
        """Return a transport that goes through this network."""
        return Cable(self, door, url)

    async def carry(self, request: Callable[[], Awaitable[T]], url: str, timeout_s: float) -> T:
        """Carry one request and its answer; raises ManagerUnreachableError."""
        with anyio.move_on_after(timeout_s):
            await self._until_passable(url)
            answer = await self._unless_cut(request, url)
            await self._until_passable(url)
            return answer
        raise ManagerUnreachableError(url, "no answer in time")

    def _become(self, condition: Condition) -> None:
        self.condition = condition
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def _until_passable(self, url: str) -> None:
        while self.condition == "hanging":
            await self._changed.wait()
        if self.condition == "cut":
            raise ManagerUnreachableError(url, "the network is cut")

    async def _unless_cut(self, request: Callable[[], Awaitable[T]], url: str) -> T:
        """Wait for a request, and drop it with its connection in the moment of a cut."""
        answers: list[T] = []
        failures: list[EmfError] = []

        async def ask() -> None:
            try:
                answers.append(await request())
            except EmfError as error:
                failures.append(error)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            while self.condition != "cut":
                await self._changed.wait()
            tasks.cancel_scope.cancel()
        if answers:
            return answers[0]
        if failures:
            raise failures[0]
        raise ManagerUnreachableError(url, "the network was cut")


class Cable:
    """A transport behind a network."""

    def __init__(self, network: Network, door: Door, url: str) -> None:
        self._network = network
        self._door = door
        self._url = url

    async def post(self, envelope: Envelope, *, compress: bool, timeout_s: float) -> Posted:
        """Deliver an envelope, if the network lets it."""
        return await self._network.carry(
            lambda: self._door.post(envelope, compress=compress, timeout_s=timeout_s),
            self._url,
            timeout_s,
        )

    async def poll(self, query: PollQuery, *, timeout_s: float) -> Polled:
        """Hang on a poll, if the network lets it."""
        return await self._network.carry(
            lambda: self._door.poll(query, timeout_s=timeout_s), self._url, timeout_s
        )
