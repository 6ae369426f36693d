"""Keeping the node's certificate alive: decided on two thirds of its life, done without a restart.

It is renewed early where the manager announces other authorities than the node trusts, or another
one as the issuer: the answer brings the certificates of all that are to be trusted.

The manager's clock decides where it is known, since the manager's clock is what a certificate
meets; a node whose own clock jumped neither renews for ever nor too late (requirement R30).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol

import anyio
import anyio.to_thread

from emf_agent.backoff import Backoff
from emf_agent.errors import EmfError, ManagerRefusedError
from emf_agent.identity_files import IdentityFiles, new_key_request
from emf_agent.tls import (
    CertificateFacts,
    certificate_facts,
    client_context,
    trusted_authorities,
)
from emf_agent.transport import Transport
from emf_agent.wire import RenewRequest

__all__ = ["Renewal", "Renewing", "Standing", "renew_due", "standing_of"]

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 3600.0
"""Longest wait between two looks at the clock, which may have been set meanwhile."""
LOOK_SOON_S = 10.0
"""The same while the manager's clock is not known yet."""
RETRY = Backoff(first_s=60.0, cap_s=LOOK_EVERY_S, floor_s=10.0)
SHARE_OF_LIFE = 2 / 3
SPREAD_S = 5.0
"""A fleet that hears of a change renews within this, beside the spread of its polls."""


class Renewing(Protocol):
    """What the agent asks of its renewal."""

    @property
    def ends(self) -> float:
        """When the certificate in use ends, seconds since the epoch."""
        ...

    @property
    def standing(self) -> Standing:
        """Which authorities the node trusts, and which issued its certificate."""
        ...

    on_renewed: Callable[[], object]
    """Called after each renewal."""

    def announced(self, authorities: tuple[str, ...]) -> None:
        """Take note of the authorities the manager wants trusted (SHA-256), the issuing first."""
        ...

    async def run(self, manager_offset_s: Callable[[], float | None]) -> None:
        """Renew for ever; the callable tells the manager's clock minus ours, where it is known."""
        ...


@dataclass(frozen=True)
class Standing:
    """Where a node is in a rotation of authorities, each named by its SHA-256."""

    trusts: tuple[str, ...]
    issuer: str | None
    """The one that issued the certificate in use; None where it is not among those."""

    def is_as(self, announced: tuple[str, ...]) -> bool:
        """Tell whether this is what a manager announced: the issuing one first."""
        return not announced or (set(self.trusts) == set(announced) and self.issuer == announced[0])


def standing_of(files: IdentityFiles) -> Standing:
    """Read a standing from the identity in use.

    Raises:
        ConfigurationError: a file cannot be read.

    """
    trusted, issuer = trusted_authorities(files.authority), certificate_facts(files.certificate)
    return Standing(
        tuple(sorted(one.sha256 for one in trusted)),
        next((one.sha256 for one in trusted if one.name == issuer.issuer), None),
    )


def renew_due(not_before: float, not_after: float, now: float) -> float:
    """Return the seconds until two thirds of a certificate's life are over; 0 when they are."""
    return max(0.0, not_before + (not_after - not_before) * SHARE_OF_LIFE - now)


class Renewal:
    """Renews under the certificate in use; the new one is kept, and used by new connections."""

    def __init__(
        self,
        files: IdentityFiles,
        transport: Transport,
        fqdn: str,
        *,
        wall_clock: Callable[[], float],
        random: Random | None = None,
        retry: Backoff = RETRY,
    ) -> None:
        self._files = files
        self._transport = transport
        self._fqdn = fqdn
        self._wall_clock = wall_clock
        self._random = random or Random()  # noqa: S311 - spreads a fleet, guards nothing
        self._retry = retry
        self._facts: CertificateFacts = certificate_facts(files.certificate)
        self.standing = standing_of(files)
        self.on_renewed: Callable[[], object] = lambda: None
        self._announced: tuple[str, ...] = ()
        self._news = anyio.Event()
        self._early_at = math.inf

    @property
    def ends(self) -> float:
        """When the certificate in use ends, seconds since the epoch."""
        return self._facts.not_after

    def announced(self, authorities: tuple[str, ...]) -> None:
        """Take note of the authorities the manager wants trusted; renew soon where we differ."""
        if authorities == self._announced:
            return
        self._announced = authorities
        if self.standing.is_as(authorities):
            self._early_at = math.inf
            return
        self._early_at = anyio.current_time() + self._random.uniform(0.0, SPREAD_S)
        logger.info("the manager's authorities change: the certificate is renewed")
        self._news.set()

    def due_s(self, manager_offset_s: float) -> float:
        """Return the seconds until it is due by the manager's clock, ours where that is unknown."""
        now = self._wall_clock() + manager_offset_s
        return renew_due(self._facts.not_before, self._facts.not_after, now)

    async def run(self, manager_offset_s: Callable[[], float | None]) -> None:
        """Renew when it is due, for ever; a failure is logged and tried again, ever less often."""
        failures = 0
        while True:
            early_s = self._early_at - anyio.current_time()
            offset_s = manager_offset_s()
            wait_s = min(self.due_s(offset_s or 0.0), early_s)
            if wait_s > 0:
                self._news = anyio.Event()
                longest_s = LOOK_SOON_S if offset_s is None else LOOK_EVERY_S
                with anyio.move_on_after(min(wait_s, longest_s)):
                    await self._news.wait()
                continue
            try:
                await self.renew()
                failures = 0
            except EmfError as error:
                refused = isinstance(error, ManagerRefusedError) and error.status in (401, 403)
                advice = "; enrol this node again with `emf-agent enroll --force`"
                logger.error(
                    "certificate not renewed, it ends in %.1f days: %s%s",
                    self._days_left(),
                    error,
                    advice if refused else "",
                )
                await anyio.sleep(self._retry.wait_s(failures, self._random))
                failures += 1

    async def renew(self) -> None:
        """Exchange the certificate in use for a new one with a new key.

        Whatever fails leaves the old identity whole, on disk and in use.

        Raises:
            EmfError: no answer, a refusal, or an answer that is no certificate for our key.

        """
        pair = await anyio.to_thread.run_sync(new_key_request, self._fqdn)
        answer = await self._transport.renew(RenewRequest(csr=pair.csr))
        with anyio.CancelScope(shield=True):
            # Between the disk and the next handshake nobody may turn up and cancel.
            await anyio.to_thread.run_sync(partial(self._files.keep, pair, answer))
            context = client_context(
                self._files.authority, self._files.certificate, self._files.key
            )
            self._facts = certificate_facts(self._files.certificate)
            self.standing = standing_of(self._files)
            # Whatever it brought, the same announcement is not acted on again.
            self._early_at = math.inf
            await self._transport.adopt(context)
        self.on_renewed()
        logger.info("certificate renewed, it ends in %.1f days", self._days_left())

    def _days_left(self) -> float:
        return (self.ends - self._wall_clock()) / 86400
