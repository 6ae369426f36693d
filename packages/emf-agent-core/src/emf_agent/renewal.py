"""Keeping the node's certificate alive: decided on two thirds of its life, done without a restart.

The manager's clock decides where it is known, since the manager's clock is what a certificate
meets; a node whose own clock jumped neither renews for ever nor too late (requirement R30).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Protocol

import anyio
import anyio.to_thread

from emf_agent.backoff import Backoff
from emf_agent.errors import EmfError, ManagerRefusedError
from emf_agent.identity_files import IdentityFiles, new_key_request
from emf_agent.tls import CertificateFacts, certificate_facts, client_context
from emf_agent.transport import Transport
from emf_agent.wire import RenewRequest

__all__ = ["Renewal", "Renewing", "renew_due"]

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 3600.0
"""Longest wait between two looks at the clock, which may have been set meanwhile."""
RETRY = Backoff(first_s=60.0, cap_s=LOOK_EVERY_S, floor_s=10.0)
SHARE_OF_LIFE = 2 / 3


class Renewing(Protocol):
    """What the agent asks of its renewal."""

    @property
    def ends(self) -> float:
        """When the certificate in use ends, seconds since the epoch."""
        ...

    async def run(self, manager_offset_s: Callable[[], float | None]) -> None:
        """Renew for ever; the callable tells the manager's clock minus ours, where it is known."""
        ...


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

    @property
    def ends(self) -> float:
        """When the certificate in use ends, seconds since the epoch."""
        return self._facts.not_after

    def due_s(self, manager_offset_s: float) -> float:
        """Return the seconds until it is due by the manager's clock, ours where that is unknown."""
        now = self._wall_clock() + manager_offset_s
        return renew_due(self._facts.not_before, self._facts.not_after, now)

    async def run(self, manager_offset_s: Callable[[], float | None]) -> None:
        """Renew when it is due, for ever; a failure is logged and tried again, ever less often."""
        failures = 0
        while True:
            wait_s = self.due_s(manager_offset_s() or 0.0)
            if wait_s > 0:
                await anyio.sleep(min(wait_s, LOOK_EVERY_S))
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
            await self._transport.adopt(context)
        logger.info("certificate renewed, it ends in %.1f days", self._days_left())

    def _days_left(self) -> float:
        return (self.ends - self._wall_clock()) / 86400
