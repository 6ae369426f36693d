"""What waits to be sent: ordered for each session, bounded, and honest about what it dropped.

Sans-IO: the sender takes an envelope, posts it, and says how that went. An envelope that was not
acknowledged is offered again unchanged, under the same id, so that a repeat does no harm.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from emf_agent.errors import EmfError
from emf_agent.wire import (
    AgentMessage,
    Dropped,
    Envelope,
    Hello,
    NodeData,
    SessionCreateRequest,
    SessionEnd,
)

__all__ = [
    "NOTHING",
    "Channel",
    "Limits",
    "Outbox",
    "Outgoing",
    "TooLargeError",
    "same_json",
]


class TooLargeError(EmfError):
    """A value is larger than one message may be (W-M11); it is not sent."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a value of {size} bytes is over the limit of {limit} for one message")


class Nothing:
    """Stands for "no value yet", which null is not."""


NOTHING = Nothing()


@dataclass(frozen=True)
class Limits:
    """The bounds; at the bound state keeps the newest, events drop the oldest with a marker."""

    events: int = 1000
    """Events that wait in one session."""
    event_bytes: int = 4 * 1024 * 1024
    """Bytes of events that wait in one session."""
    envelope_bytes: int = 1024 * 1024
    """An envelope is closed when it has reached this size; one larger message goes alone."""
    message_bytes: int = 7 * 1024 * 1024
    """A larger message is refused here, since the manager's limit is 8 MiB an envelope."""


@dataclass
class Item:
    """One value that waits."""

    body: JsonValue
    size: int
    on_stored: Callable[[], None] | None
    keep: bool
    """A result: never dropped for want of room."""


@dataclass
class Channel:
    """The outgoing side of one session: its counter, what waits, what the manager holds."""

    fqdn: str
    daemon: str
    session_id: str
    delivery: Literal["latest", "every"]
    limits: Limits
    wake: Callable[[], None] = lambda: None
    """Called when something begins to wait."""
    counter: int = 0
    waiting: deque[Item] = field(default_factory=deque)
    waiting_bytes: int = 0
    dropped: int = 0
    """Events dropped since the last one that was sent."""
    dropped_in_all: int = 0
    held: JsonValue | Nothing = NOTHING
    """The last value that was sent or is on its way; what an equal value need not repeat."""

    def offer(self, body: JsonValue, on_stored: Callable[[], None] | None = None) -> bool:
        """Take a value of the daemon; False where it is a repeat and is not sent.

        Raises:
            TooLargeError: it does not fit one message.

        """
        if self.delivery == "every":
            self.append(body, on_stored, keep=False)
            return True
        item = self._item(body, on_stored, keep=False)
        others = [one for one in self.waiting if one.keep]
        if isinstance(self.held, Nothing) or not same_json(self.held, body):
            others.append(item)
        self._replace(others)
        self.wake()
        return bool(others) and others[-1] is item

    def append(
        self, body: JsonValue, on_stored: Callable[[], None] | None = None, *, keep: bool
    ) -> None:
        """Queue a value behind the others; ``keep`` exempts it from dropping.

        Raises:
            TooLargeError: it does not fit one message.

        """
        item = self._item(body, on_stored, keep=keep)
        self.waiting.append(item)
        self.waiting_bytes += item.size
        self._drop_oldest()
        self.wake()

    def take(self) -> tuple[NodeData, Item]:
        """Return the next message, numbered now, so that numbers go out without a gap."""
        item = self.waiting.popleft()
        self.waiting_bytes -= item.size
        marker = None
        if self.dropped:
            marker = Dropped(
                first=self.counter + 1, last=self.counter + self.dropped, reason="no room"
            )
            self.counter += self.dropped
            self.dropped = 0
        self.counter += 1
        if self.delivery == "latest" and not item.keep:
            self.held = item.body
        message = NodeData(
            fqdn=self.fqdn,
            plugin=self.daemon,
            session_id=self.session_id,
            session_seq=self.counter,
            body=item.body,
            dropped=marker,
        )
        return message, item

    def _item(self, body: JsonValue, on_stored: Callable[[], None] | None, *, keep: bool) -> Item:
        size = len(json.dumps(body, ensure_ascii=False).encode())
        if size > self.limits.message_bytes:
            raise TooLargeError(size, self.limits.message_bytes)
        return Item(body, size, on_stored, keep)

    def _replace(self, items: list[Item]) -> None:
        self.waiting = deque(items)
        self.waiting_bytes = sum(item.size for item in items)

    def _drop_oldest(self) -> None:
        while (
            len(self.waiting) > self.limits.events or self.waiting_bytes > self.limits.event_bytes
        ):
            oldest = next((item for item in self.waiting if not item.keep), None)
            if oldest is None or oldest is self.waiting[-1]:
                return
            self.waiting.remove(oldest)
            self.waiting_bytes -= oldest.size
            self.dropped += 1
            self.dropped_in_all += 1


@dataclass(frozen=True)
class Outgoing:
    """An envelope on its way, and what to call once the manager has stored it."""

    envelope: Envelope
    on_stored: Mapping[int, Callable[[], None]]
    """By the message's place in the envelope."""


class Outbox:
    """Everything that waits, over all sessions."""

    def __init__(
        self, fqdn: str, boot_time: str, start_time: str, new_id: Callable[[], str]
    ) -> None:
        self._fqdn = fqdn
        self._boot_time = boot_time
        self._start_time = start_time
        self._new_id = new_id
        self._channels: dict[str, Channel] = {}
        self._requests: dict[str, SessionCreateRequest] = {}
        self._ends: deque[SessionEnd] = deque(maxlen=256)
        self._hello: Hello | None = None
        self._goodbye: str | None = None
        self._in_flight: Outgoing | None = None
        self.wake: Callable[[], None] = lambda: None
        """Called when something begins to wait; the sender sets it."""
        self.on_empty: Callable[[], None] = lambda: None
        """Called when the last that waited is stored."""

    def __len__(self) -> int:
        """Return how many messages wait, those on their way included."""
        waiting = sum(len(channel.waiting) for channel in self._channels.values())
        flying = len(self._in_flight.envelope.messages) if self._in_flight else 0
        goodbye = self._goodbye is not None
        return waiting + flying + len(self._requests) + len(self._ends) + goodbye

    def open(
        self, daemon: str, session_id: str, delivery: Literal["latest", "every"], limits: Limits
    ) -> Channel:
        """Return the channel of a new session; what an older one still had is let go."""
        channel = Channel(self._fqdn, daemon, session_id, delivery, limits, wake=self._wake)
        self._channels[daemon] = channel
        return channel

    def _wake(self) -> None:
        self.wake()

    def close(self, daemon: str, session_id: str, reason: str | None) -> None:
        """Forget a session; with a reason the manager is told that it is over."""
        channel = self._channels.get(daemon)
        if channel is not None and channel.session_id == session_id:
            del self._channels[daemon]
        if reason is not None:
            self._ends.append(
                SessionEnd(fqdn=self._fqdn, plugin=daemon, session_id=session_id, reason=reason)
            )
            self.wake()

    def ask(self, daemon: str, resume: str | None) -> None:
        """Queue a request for a session; a newer one replaces an unsent one."""
        self._requests[daemon] = SessionCreateRequest(fqdn=self._fqdn, plugin=daemon, resume=resume)
        self.wake()

    def greet(self, hello: Hello) -> None:
        """Put a hello on the next envelope."""
        self._hello = hello
        self.wake()

    def say_goodbye(self, reason: str) -> None:
        """Put a goodbye on the last envelope."""
        self._goodbye = reason
        self.wake()

    def next(self, *, protocol: int | None, limits: Limits) -> Outgoing | None:
        """Return what to post now: the unacknowledged envelope again, or a new one.

        ``protocol`` is what the manager speaks, as far as known: towards an ancestor (1) nothing
        of protocol 2 is put on the wire.
        """
        if self._in_flight is not None:
            return self._in_flight
        messages: list[AgentMessage] = []
        stored: dict[int, Callable[[], None]] = {}
        extended = protocol != 1
        if extended:
            messages.extend(self._ends)
        self._ends.clear()
        messages.extend(
            request if extended else request.model_copy(update={"resume": None})
            for request in self._requests.values()
        )
        self._requests.clear()
        for message, item in self._data(limits.envelope_bytes):
            if item.on_stored is not None:
                stored[len(messages)] = item.on_stored
            messages.append(message if extended else message.model_copy(update={"dropped": None}))
        hello, goodbye = (self._hello, self._goodbye) if extended else (None, None)
        self._hello = self._goodbye = None
        if not messages and hello is None and goodbye is None:
            return None
        envelope = Envelope(
            messages=tuple(messages),
            server_boot_time=self._boot_time,
            client_start_time=self._start_time,
            id=self._new_id() if extended else None,
            hello=hello,
            goodbye=goodbye,
        )
        self._in_flight = Outgoing(envelope, stored)
        return self._in_flight

    def _data(self, budget: int) -> Iterator[tuple[NodeData, Item]]:
        """Take messages round robin over the sessions, so that no daemon starves another."""
        turn = deque(self._channels.values())
        while turn and budget > 0:
            channel = turn.popleft()
            if channel.waiting:
                message, item = channel.take()
                budget -= item.size
                yield message, item
                turn.append(channel)

    def stored(self, refused: Collection[int] = ()) -> None:
        """Take note that the manager has the envelope, but for the messages it refused."""
        if self._in_flight is not None:
            done, self._in_flight = self._in_flight, None
            for index, call in done.on_stored.items():
                if index not in refused:
                    call()
            if not len(self):
                self.on_empty()

    def refused(self) -> None:
        """Let go of an envelope that the manager will never take; its values are held no more."""
        if self._in_flight is not None:
            done, self._in_flight = self._in_flight, None
            for message in done.envelope.messages:
                channel = self._channels.get(message.plugin)
                if channel is not None:
                    channel.held = NOTHING


def same_json(one: JsonValue, other: JsonValue) -> bool:
    """Tell whether two JSON values are equal; ``1``, ``1.0`` and ``true`` are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return one == other
