"""Accounts over the store: who a token belongs to, users, tokens, and the audit trail of writes."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict

from emf_manager.api import models as m
from emf_manager.api.guard import AuditNote
from emf_manager.api.translate import certain, mandate, moment
from emf_manager.authorization import Mandate, Principal
from emf_manager.identity.grants import new_grant
from emf_manager.records import (
    ApiToken,
    AuditOrder,
    EnrolmentGrant,
    NewAudit,
    User,
    hash_secret,
)
from emf_manager.store.interface import Store

__all__ = ["AccountBook", "new_api_token"]

NOTED_EVERY_S = 60.0
"""How often the last use of one token is written down."""


def new_api_token(
    user: str, *, now: float, label: str = "", ttl_s: float | None = None
) -> tuple[str, ApiToken]:
    """Return a fresh secret of 256 bits, and the record that keeps its hash only."""
    secret = f"emf_{secrets.token_urlsafe(32)}"
    record = ApiToken(
        id=uuid.uuid4().hex[:12],
        secret_sha256=hash_secret(secret),
        user=user,
        created=now,
        label=label,
        expires=None if ttl_s is None else now + ttl_s,
    )
    return secret, record


class AccountBook:
    """The API's accounts, kept in the store."""

    def __init__(
        self,
        store: Store,
        authority_sha256: Callable[[], str],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._authority_sha256 = authority_sha256
        self._now = now
        self._noted: dict[str, float] = {}

    async def authenticate(self, token: str) -> Principal | None:
        """Return whose token this is; the store compares hashes, so timing tells nothing."""
        now = self._now()
        found = await self._store.find_token(hash_secret(token), now=now)
        if found is None:
            return None
        record, user = found
        if now - self._noted.get(record.id, 0.0) >= NOTED_EVERY_S:
            self._noted[record.id] = now
            await self._store.touch_tokens({record.id: now})
        return Principal(user.name, user.role, record.id, user.mandates)

    async def audit(self, note: AuditNote) -> None:
        """Keep a record of a write: one line when it begins, one when it has ended."""
        await self._store.audit(
            NewAudit(
                at=self._now(),
                actor=f"user:{note.user}",
                what=f"{note.method} {note.path}",
                outcome="begun" if note.phase == "begin" else str(note.status),
                detail={"peer": note.peer},
            )
        )

    async def audit_length(self) -> int:
        """Return the number of the trail's last line; 0 where there is none."""
        return await self._store.audit_length()

    async def audit_trail(
        self, *, after: int, limit: int, before: int | None = None, order: AuditOrder = "oldest"
    ) -> Sequence[m.AuditLine]:
        """Return the audit trail between two numbers, without them, from the end that is named."""
        trail = await self._store.audit_trail(after=after, before=before, order=order, limit=limit)
        return tuple(
            m.AuditLine(sequence=link.sequence, digest=link.digest, **asdict(link.entry))
            for link in trail
        )

    async def users(self) -> Sequence[m.User]:
        """Return every user."""
        return tuple(user_model(user) for user in await self._store.users())

    async def create_user(self, principal: Principal, request: m.UserRequest) -> m.User | None:
        """Create a user; None where the name is taken."""
        user = User(
            name=request.name,
            role=request.role,
            created=self._now(),
            mandates=tuple(map(kept_mandate, request.mandates)),
        )
        line = self._line(principal, "create user", request.name, {"role": request.role})
        return user_model(user) if await self._store.add_user(user, audit=line) else None

    async def bind_user(
        self, principal: Principal, name: str, mandates: Sequence[m.Mandate]
    ) -> m.User | None:
        """Say what alone a user may order; None where there is none."""
        line = self._line(principal, "bind user", name, {"mandates": str(len(mandates))})
        kept = tuple(map(kept_mandate, mandates))
        if not await self._store.bind_user(name, kept, audit=line):
            return None
        users = {user.name: user for user in await self._store.users()}
        return user_model(users[name]) if name in users else None

    async def delete_user(self, principal: Principal, name: str) -> bool:
        """Delete a user and every token of theirs."""
        return await self._store.delete_user(name, audit=self._line(principal, "delete user", name))

    async def tokens(self) -> Sequence[m.Token]:
        """Return every API token, without secrets."""
        return tuple(m.Token(**token_members(token)) for token in await self._store.tokens())

    async def create_token(
        self, principal: Principal, request: m.TokenRequest
    ) -> m.NewToken | None:
        """Create a token; None where the user does not exist."""
        secret, record = new_api_token(
            request.user, now=self._now(), label=request.label, ttl_s=request.ttl_s
        )
        line = self._line(principal, "create token", request.user, {"token": record.id})
        if not await self._store.add_token(record, audit=line):
            return None
        return m.NewToken(**token_members(record), secret=secret)

    async def revoke_token(self, principal: Principal, token_id: str) -> bool:
        """Revoke a token; False where there is none."""
        line = self._line(principal, "revoke token", token_id)
        return await self._store.revoke_token(token_id, at=self._now(), audit=line)

    async def enrolment_tokens(self) -> Sequence[m.EnrolmentToken]:
        """Return every enrolment token, without secrets."""
        grants = await self._store.grants()
        return tuple(m.EnrolmentToken(**grant_members(grant)) for grant in grants)

    async def create_enrolment_token(
        self, principal: Principal, request: m.EnrolmentTokenRequest
    ) -> m.NewEnrolmentToken:
        """Create an enrolment token.

        Raises:
            UsageError: the node set cannot be read, or names groups.

        """
        token, grant = new_grant(
            self._authority_sha256(),
            now=self._now(),
            created_by=f"user:{principal.user}",
            pattern=request.nodes,
            role=request.role,
            uses=request.uses,
            ttl_s=request.ttl_s,
            replace=request.replace,
            approval=request.approval,
        )
        line = self._line(principal, "create enrolment token", grant.id, {"nodes": grant.pattern})
        await self._store.add_grant(grant, audit=line)
        return m.NewEnrolmentToken(**grant_members(grant), secret=token.text())

    async def revoke_enrolment_token(self, principal: Principal, token_id: str) -> bool:
        """Revoke an enrolment token; False where there is none."""
        line = self._line(principal, "revoke enrolment token", token_id)
        return await self._store.revoke_grant(token_id, at=self._now(), audit=line)

    def _line(
        self, principal: Principal, what: str, subject: str, detail: dict[str, str] | None = None
    ) -> NewAudit:
        more = {**(detail or {}), "by_token": principal.token_id}
        return NewAudit(
            at=self._now(),
            actor=f"user:{principal.user}",
            what=what,
            subject=subject,
            detail=dict(more),
        )


def user_model(user: User) -> m.User:
    return m.User(
        name=user.name,
        role=user.role,
        created=certain(user.created),
        mandates=tuple(map(mandate, user.mandates)),
    )


def kept_mandate(asked: m.Mandate) -> Mandate:
    return Mandate(nodes=asked.nodes, actions=asked.actions, args=dict(asked.args))


def token_members(token: ApiToken) -> dict[str, object]:
    return {
        "id": token.id,
        "user": token.user,
        "label": token.label,
        "created": certain(token.created),
        "expires": moment(token.expires),
        "revoked": moment(token.revoked),
        "last_used": moment(token.last_used),
    }


def grant_members(grant: EnrolmentGrant) -> dict[str, object]:
    return {
        "id": grant.id,
        "nodes": grant.pattern,
        "role": grant.role,
        "uses": grant.uses,
        "uses_left": grant.uses_left,
        "created": certain(grant.created),
        "expires": certain(grant.expires),
        "created_by": grant.created_by,
        "replace": grant.replace,
        "approval": grant.approval,
        "revoked": moment(grant.revoked),
    }
