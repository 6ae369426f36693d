"""The registrar: decides on every enrolment and renewal, and leaves an audit line of each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Literal

import anyio
from pydantic import JsonValue

from emf_agent.errors import EmfError
from emf_agent.wire import EnrolAnswer, EnrolRequest, RenewRequest
from emf_manager.identity.authorities import Authorities
from emf_manager.identity.authority import key_digest
from emf_manager.identity.grants import covers
from emf_manager.identity.membership import Membership
from emf_manager.identity.peer import Peer
from emf_manager.identity.requests import NodeKey, RequestError, node_name, public_key
from emf_manager.identity.wrong_tries import WrongTries
from emf_manager.records import Certificate, EnrolmentGrant, NewAudit, hash_secret
from emf_manager.store.interface import GrantUnusableError, NameAliveError, Store

__all__ = ["NotAdmittedError", "Registrar"]

logger = logging.getLogger(__name__)

LIVE_AT_ONCE = 16
"""Certificates of one node; renewal at two thirds of 90 days needs two."""
Status = Literal[400, 401, 403, 408, 409, 413, 429]
SAME_ANSWER = "the token is not valid: unknown, used up, expired or revoked; make a new one"
"""For whoever does not hold a good token; which of these it is stands in the audit trail."""


class NotAdmittedError(EmfError):
    """Somebody asked for a certificate and does not get one; the text is for them."""

    def __init__(self, status: Status, why: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.status = status
        self.retry_after_s = retry_after_s


class Registrar:
    """One per manager."""

    def __init__(
        self,
        store: Store,
        authorities: Callable[[], Authorities],
        membership: Membership,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._authorities = authorities
        self._membership = membership
        self._wall = wall
        self._wrong = WrongTries()

    def check_address(self, address: str) -> None:
        """Refuse an address that was wrong too often.

        Raises:
            NotAdmittedError: 429, with how long to wait.

        """
        wait_s = self._wrong.wait_s(address, anyio.current_time())
        if wait_s > 0:
            why = f"too many wrong tries from {address}; wait {wait_s:.0f} s"
            raise NotAdmittedError(429, why, retry_after_s=wait_s)

    async def enrol(self, request: EnrolRequest, address: str) -> EnrolAnswer:
        """Turn a token and a signing request into a certificate; asking again gives the same.

        Raises:
            NotAdmittedError: why not. StoreError: nothing was decided, try again.

        """
        now = self._wall()
        grant = await self._store.find_grant(hash_secret(request.token))
        fault = "unknown token" if grant is None else grant_fault(grant, now)
        if grant is None or fault is not None:
            raise await self._refused(address, request.fqdn, str(fault), 403, SAME_ANSWER)
        try:
            fqdn = node_name(request.fqdn)
            key = public_key(request.csr)
        except RequestError as error:
            raise await self._refused(address, request.fqdn, str(error), 400) from error
        if not covers(grant.pattern, fqdn):
            why = f"the token is for {grant.pattern}, which {fqdn} is not in"
            raise await self._refused(address, fqdn, why, 403)
        earlier = await self._issued_before(grant, fqdn, key, now)
        if earlier is not None:
            return self._answer(earlier)
        if grant.uses_left <= 0:
            raise await self._refused(address, fqdn, "used-up token", 403, SAME_ANSWER)
        return self._answer(await self._enrol(grant, fqdn, key, address, now))

    async def renew(self, request: RenewRequest, peer: Peer | None, address: str) -> EnrolAnswer:
        """Give a node a new certificate for the name that its old one proves.

        Raises:
            NotAdmittedError: why not. StoreError: nothing was decided, try again.

        """
        now = self._wall()
        if peer is None:
            why = "renewal needs the certificate that is to be renewed"
            raise await self._refused(address, None, why, 401, what="renew")
        refusal = self._membership.refusal(peer)
        if peer.not_after <= now:
            refusal = f"the certificate of {peer.fqdn} has expired; enrol the node again"
        node = await self._store.node(peer.fqdn)
        if refusal is None and (node is None or node.state == "removed"):
            refusal = f"{peer.fqdn} is not a node of this manager; enrol it"
        if refusal is not None:
            raise await self._refused(address, peer.fqdn, refusal, 403, what="renew")
        try:
            key = public_key(request.csr)
        except RequestError as error:
            raise await self._refused(address, peer.fqdn, str(error), 400, what="renew") from error
        alive = [one for one in await self._store.certificates(fqdn=peer.fqdn) if live(one, now)]
        if len(alive) >= LIVE_AT_ONCE:
            why = f"{peer.fqdn} has {len(alive)} certificates already; it renews too often"
            raise await self._refused(address, peer.fqdn, why, 429, what="renew")
        certificate = self._authorities().issuing.issue_node(peer.fqdn, key, now=now)
        audit = self._line("renew", address, peer.fqdn, "ok", {"serial": certificate.serial})
        await self._store.add_certificate(certificate, audit=audit)
        logger.info("certificate renewed fqdn=%s serial=%s", peer.fqdn, certificate.serial)
        return self._answer(certificate)

    async def malformed(self, address: str, why: str, *, what: str) -> NotAdmittedError:
        """Note a request that could not be read; the error is the caller's to raise."""
        return await self._refused(address, None, why, 400, what=what)

    async def _enrol(
        self, grant: EnrolmentGrant, fqdn: str, key: NodeKey, address: str, now: float
    ) -> Certificate:
        issuing = self._authorities().issuing
        certificate = issuing.issue_node(fqdn, key, now=now, grant_id=grant.id)
        detail: dict[str, JsonValue] = {"grant": grant.id, "serial": certificate.serial}
        audit = self._line("enrol", address, fqdn, "ok", detail)
        try:
            _, replaced = await self._store.enrol(grant.id, certificate, at=now, audit=audit)
        except GrantUnusableError as error:
            raise await self._refused(address, fqdn, "lost a race", 403, SAME_ANSWER) from error
        except NameAliveError as error:
            raise await self._refused(address, fqdn, str(error), 409) from error
        logger.info(
            "node enrolled fqdn=%s role=%s address=%s serial=%s replaced=%s",
            *(fqdn, grant.role, address, certificate.serial),
            ",".join(one.serial for one in replaced) or "none",
        )
        await self._membership.look()
        return certificate

    async def _issued_before(
        self, grant: EnrolmentGrant, fqdn: str, key: NodeKey, now: float
    ) -> Certificate | None:
        """Return what this very request got when it came before: the answer may have been lost."""
        digest = key_digest(key)
        for one in await self._store.certificates(fqdn=fqdn):
            if (one.grant_id, one.key_sha256) == (grant.id, digest) and live(one, now):
                return one
        return None

    async def _refused(
        self,
        address: str,
        subject: str | None,
        reason: str,
        status: Status,
        told: str | None = None,
        *,
        what: str = "enrol",
    ) -> NotAdmittedError:
        self._wrong.note(address, anyio.current_time())
        logger.warning("%s refused address=%s fqdn=%.64r reason=%s", what, address, subject, reason)
        await self._store.audit(
            self._line(what, address, subject and subject[:255], "refused", {"reason": reason})
        )
        return NotAdmittedError(status, told or reason)

    def _line(
        self,
        what: str,
        address: str,
        subject: str | None,
        outcome: str,
        detail: dict[str, JsonValue],
    ) -> NewAudit:
        return NewAudit(self._wall(), f"peer:{address}", what, subject, outcome, detail)

    def _answer(self, certificate: Certificate) -> EnrolAnswer:
        return EnrolAnswer(
            certificate=certificate.pem,
            authority=self._authorities().pem,
            fqdn=certificate.fqdn,
        )


def grant_fault(grant: EnrolmentGrant, now: float) -> str | None:
    """Return why a grant is worth nothing; a used-up one may still repeat its answer."""
    if grant.revoked is not None:
        return f"revoked token {grant.id}"
    if grant.expires <= now:
        return f"expired token {grant.id}"
    return None


def live(certificate: Certificate, now: float) -> bool:
    return certificate.revoked is None and certificate.not_after > now
