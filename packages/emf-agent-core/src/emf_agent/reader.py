"""The long poll: receives what the manager says, routes it, and never ends for a bad answer.

Sessions and running actions survive any break of the connection (W-A1, W-A2, P10). A message is
acknowledged by the next poll, after it was handled.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

import anyio
from typing_extensions import assert_never

from emf_agent.backoff import Backoff
from emf_agent.driver import Driver
from emf_agent.errors import ManagerRefusedError, ManagerUnreachableError, ProtocolError
from emf_agent.outbox import Outbox
from emf_agent.sender import Link
from emf_agent.sessions import Deliver, NotHere, SessionBook, Step
from emf_agent.transport import Polled, PollQuery
from emf_agent.wire import ManagerMessage

__all__ = ["Poll", "Reader"]

logger = logging.getLogger(__name__)

ANCESTOR_POLL_S = 30.0
ANSWER_GRACE_S = 30.0
"""A poll that is not answered this long after the manager's patience is given up."""


class Poll(Protocol):
    """The half of the transport that hangs."""

    async def poll(self, query: PollQuery, *, timeout_s: float) -> Polled:
        """Hang until there is something."""


@dataclass
class Counters:
    """What the reader met; part of the agent's health."""

    unreadable: int = 0
    not_here: int = 0


class Reader:
    """Reads from one manager for ever."""

    def __init__(
        self,
        transport: Poll,
        book: SessionBook,
        drivers: Mapping[str, Driver],
        outbox: Outbox,
        link: Link,
        *,
        boot_time: str,
        start_time: str,
        backoff: Backoff,
        random: Random,
    ) -> None:
        self._transport = transport
        self._book = book
        self._drivers = drivers
        self._outbox = outbox
        self._link = link
        self._boot_time = boot_time
        self._start_time = start_time
        self._backoff = backoff
        self._random = random
        self._handled: int | None = None
        self._handled_epoch: int | None = None
        self.counters = Counters()

    async def run(self) -> None:
        """Poll, handle, poll again."""
        failures = 0
        while True:
            patience_s = (self._link.poll_s or ANCESTOR_POLL_S) + ANSWER_GRACE_S
            try:
                polled = await self._transport.poll(self._query(), timeout_s=patience_s)
            except (ManagerUnreachableError, ManagerRefusedError, ProtocolError) as error:
                if isinstance(error, ProtocolError):
                    self.counters.unreadable += 1
                self._link.lost()
                wait_s = self._backoff.wait_s(failures, self._random)
                logger.warning("poll failed, again in %.1f s: %s", wait_s, error)
                failures += 1
                await anyio.sleep(wait_s)
                continue
            failures = 0
            await self._take(polled)

    def _query(self) -> PollQuery:
        return PollQuery(
            self._boot_time,
            self._start_time,
            epoch=self._handled_epoch,
            acknowledged=self._handled,
        )

    async def _take(self, polled: Polled) -> None:
        received = polled.received
        if not self._link.heard(polled.protocol, received.epoch):
            # A manager that was replaced: its messages are not for us; do not spin on it either.
            await anyio.sleep(self._backoff.cap_s)
            return
        if received.authorities:
            self._link.on_announced(received.authorities)
        if received.epoch != self._handled_epoch:
            self._handled_epoch, self._handled = received.epoch, None
        for bad in received.unreadable:
            self.counters.unreadable += 1
            logger.warning("message %d of an answer is unreadable: %s", bad.index, bad.reason)
        for message in received.messages:
            if message.seq is not None and message.seq <= (self._handled or 0):
                continue
            try:
                await self._handle(message)
            except Exception:  # one message must not end the loop (W-A1)
                self.counters.unreadable += 1
                logger.exception("message of type %s could not be handled", message.type)
            if message.seq is not None:
                self._handled = message.seq

    async def _handle(self, message: ManagerMessage) -> None:
        for routed in self._book.route(message):
            match routed:
                case Step(daemon, event):
                    self._drivers[daemon].handle(event)
                case Deliver(daemon, session_id, body):
                    if not await self._drivers[daemon].deliver(session_id, body):
                        self.counters.not_here += 1
                        logger.warning("message for daemon=%s dropped: no room", daemon)
                case NotHere(daemon, session_id, reason):
                    self.counters.not_here += 1
                    logger.warning("message for daemon=%s refused: %s", daemon, reason)
                    self._outbox.close(daemon, session_id, reason)
                case _:
                    assert_never(routed)
