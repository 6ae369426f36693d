"""Wake-ups inside the manager: hints that something is new, to readers that may be too slow.

A notification is only a hint. Whoever listens keeps the number of the last event it has seen and
reads the rest from the store, so a lost hint costs time and never data. Every subscriber has a
bounded queue; one that does not keep up is cut off and told where to resume.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from emf_agent.errors import EmfError, RefusedError

__all__ = ["Bus", "Numbered", "Subscription", "TooSlowError"]

QUEUE = 1024
"""Events one subscriber may lag behind; at 1 KiB each about 1 MiB per open event stream."""
MAX_SUBSCRIBERS = 1024


class Numbered(Protocol):
    """What goes over the bus: it carries its place in the stored sequence."""

    @property
    def sequence(self) -> int:
        """Place in the stored sequence; grows by one."""
        ...


T = TypeVar("T", bound=Numbered)


class TooSlowError(EmfError):
    """A subscriber was cut off because it did not keep up."""

    def __init__(self, resume_after: int) -> None:
        super().__init__(
            f"this reader was too slow and was cut off; resume after event {resume_after}"
        )
        self.resume_after = resume_after


@dataclass(eq=False)
class Subscriber(Generic[T]):
    send: MemoryObjectSendStream[T]
    wanted: Callable[[T], bool]


class Subscription(Generic[T]):
    """One reader's side: iterate over it.

    Raises, while iterating:
        TooSlowError: the queue ran over; ``resume_after`` is the last event that was handed out.

    The iteration ends without an error when the bus closes.
    """

    def __init__(self, receive: MemoryObjectReceiveStream[T], bus: Bus[T], after: int) -> None:
        self._receive = receive
        self._bus = bus
        self.last = after

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            event = await self._receive.receive()
        except anyio.EndOfStream:
            if self._bus.closed:
                raise StopAsyncIteration from None
            raise TooSlowError(self.last) from None
        self.last = event.sequence
        return event


class Bus(Generic[T]):
    """All subscribers; publishing never waits."""

    def __init__(self, *, queue: int = QUEUE, limit: int = MAX_SUBSCRIBERS) -> None:
        self._subscribers: set[Subscriber[T]] = set()
        self._queue = queue
        self._limit = limit
        self.closed = False
        self.cut_off = 0
        """How many subscribers were too slow so far."""

    def __len__(self) -> int:
        return len(self._subscribers)

    @contextmanager
    def subscribe(
        self, *, after: int, wanted: Callable[[T], bool] = lambda _: True
    ) -> Generator[Subscription[T], None, None]:
        """Hand out what is published from now on; ``after`` is the last event already seen.

        Raises:
            RefusedError: there are too many subscribers.

        """
        if len(self._subscribers) >= self._limit:
            raise RefusedError(f"{self._limit} event streams are open; close one")
        send, receive = anyio.create_memory_object_stream[T](self._queue)
        subscriber = Subscriber(send, wanted)
        if self.closed:
            send.close()
        else:
            self._subscribers.add(subscriber)
        try:
            yield Subscription(receive, self, after)
        finally:
            self._subscribers.discard(subscriber)
            send.close()
            receive.close()

    def publish(self, event: T) -> None:
        """Tell everyone; whoever's queue is full is cut off."""
        for subscriber in tuple(self._subscribers):
            if not subscriber.wanted(event):
                continue
            try:
                subscriber.send.send_nowait(event)
            except anyio.WouldBlock:
                self.cut_off += 1
                self._drop(subscriber)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._drop(subscriber)

    def close(self) -> None:
        """End every subscription: the manager shuts down."""
        self.closed = True
        for subscriber in tuple(self._subscribers):
            self._drop(subscriber)

    def _drop(self, subscriber: Subscriber[T]) -> None:
        self._subscribers.discard(subscriber)
        subscriber.send.close()
