"""Posts what waits in the outbox, in batches, until the manager has it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import anyio

from emf_agent.backoff import Backoff
from emf_agent.errors import ManagerRefusedError, ManagerUnreachableError, ProtocolError
from emf_agent.outbox import Limits, Outbox
from emf_agent.transport import Posted
from emf_agent.wire import PROTOCOL, Envelope

__all__ = ["Link", "Post", "send"]

logger = logging.getLogger(__name__)

GATHER_S = 0.002
"""For what an action that does nothing says from its acceptance to its end."""
POST_WITHIN_S = 60.0
CLOCK_JITTER_S = 0.5
CLOCK_WARN_S = 60.0
NEVER_TAKEN = frozenset({400, 413, 415, 422})
"""Statuses that say the same envelope will never be taken."""


class Post(Protocol):
    """The half of the transport that posts."""

    async def post(self, envelope: Envelope, *, compress: bool, timeout_s: float) -> Posted:
        """Deliver an envelope."""


@dataclass
class Link:
    """What is known of the manager at the other end; shared by sender and reader."""

    protocol: int | None = None
    """None until it has answered once; 1 is the ancestor's."""
    epoch: int | None = None
    poll_s: float | None = None
    clock_offset_s: float | None = None
    """Manager's wall clock minus ours."""
    on_renewed: Callable[[], None] = lambda: None
    """Called when the manager may have forgotten our sessions."""
    on_announced: Callable[[tuple[str, ...]], None] = lambda _authorities: None
    """Called with the authorities that a manager wants trusted, whenever it says so."""
    on_lost_contact: Callable[[], None] = lambda: None
    """Called when the first request after a success fails: a hello is due."""
    in_contact: bool = False
    refusals: int = 0
    zombies: int = 0
    """Answers that carried an epoch lower than one already seen, and were not believed."""
    answered: anyio.Event = field(default_factory=anyio.Event)

    def heard(self, protocol: int, epoch: int | None) -> bool:
        """Take note of an answer; False where it comes from a manager that was replaced."""
        if epoch is not None and self.epoch is not None and epoch < self.epoch:
            self.zombies += 1
            logger.error("manager epoch %d is older than %d: not believed", epoch, self.epoch)
            return False
        renewed = epoch is not None and self.epoch is not None and epoch > self.epoch
        # An ancestor cannot say that it forgot us: after each break it is asked anew.
        renewed = renewed or (
            protocol < PROTOCOL and not self.in_contact and self.answered.is_set()
        )
        self.protocol, self.epoch = protocol, epoch if epoch is not None else self.epoch
        self.in_contact = True
        self.answered.set()
        if renewed:
            self.on_renewed()
        return True

    def note_clock(self, offset_s: float) -> None:
        """Keep an offset that differs; the jitter of the way is none, and is not reported anew."""
        known = self.clock_offset_s
        if known is not None and abs(offset_s - known) < CLOCK_JITTER_S:
            return
        self.clock_offset_s = round(offset_s, 1)
        if abs(offset_s) >= CLOCK_WARN_S:
            way = "behind" if offset_s > 0 else "ahead of"
            logger.warning(
                "this node's clock is %.0f s %s the manager's; certificates and expiry go by the "
                "manager's clock",
                *(abs(offset_s), way),
            )

    def lost(self) -> None:
        """Take note that a request failed."""
        if self.in_contact:
            self.in_contact = False
            self.on_lost_contact()


async def send(
    outbox: Outbox,
    transport: Post,
    link: Link,
    *,
    limits: Limits,
    backoff: Backoff,
    random: Random,
    wall_clock: Callable[[], float],
) -> None:
    """Post for ever; an envelope is repeated, unchanged, until it is acknowledged or refused."""
    something = anyio.Event()
    failures = 0

    def wake() -> None:
        something.set()

    outbox.wake = wake
    while True:
        outgoing = outbox.next(protocol=link.protocol, limits=limits)
        if outgoing is None:
            await something.wait()
            something = anyio.Event()
            # What comes together travels together (W-A16).
            await anyio.sleep(GATHER_S)
            continue
        try:
            posted = await transport.post(
                outgoing.envelope,
                compress=link.protocol == PROTOCOL,
                timeout_s=POST_WITHIN_S,
            )
        except ManagerRefusedError as error:
            link.refusals += 1
            if error.status in NEVER_TAKEN:
                logger.error("envelope dropped: %s", error)
                outbox.refused()
                failures = 0
                continue
            failures = await pause(failures, backoff, random, error)
        except (ManagerUnreachableError, ProtocolError) as error:
            link.lost()
            failures = await pause(failures, backoff, random, error)
        else:
            failures = 0
            taken(posted, outbox, link, wall_clock)


def taken(posted: Posted, outbox: Outbox, link: Link, wall_clock: Callable[[], float]) -> None:
    """Note what the manager took of an envelope, and what it said along with it."""
    answer = posted.answer
    refused = frozenset(verdict.index for verdict in answer.verdicts) if answer else frozenset()
    for verdict in answer.verdicts if answer else ():
        link.refusals += 1
        logger.warning("message refused code=%s reason=%s", verdict.code, verdict.reason)
    outbox.stored(refused)
    if answer is not None and answer.pace is not None:
        link.poll_s = answer.pace.poll_s
    if answer is not None and answer.clock is not None:
        link.note_clock(answer.clock - wall_clock())
    link.heard(posted.protocol, answer.epoch if answer else None)


async def pause(failures: int, backoff: Backoff, random: Random, error: Exception) -> int:
    """Wait before the next try, and return how many have failed."""
    wait_s = backoff.wait_s(failures, random)
    logger.warning("post failed, again in %.1f s: %s", wait_s, error)
    await anyio.sleep(wait_s)
    return failures + 1
