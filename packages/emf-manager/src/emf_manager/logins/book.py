"""The book of logins: who signs in how, whose login a cookie is, and when it ends."""

from __future__ import annotations

import logging
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import anyio
import anyio.to_thread

from emf_manager.authorization import Principal
from emf_manager.identity.wrong_tries import WrongTries
from emf_manager.login_records import Login, LoginCode, LoginWay
from emf_manager.logins.passwords import is_password
from emf_manager.logins.rules import ABSOLUTE_S, IDLE_S, LINK_S
from emf_manager.records import NewAudit, hash_secret
from emf_manager.store.logins import LoginStore

__all__ = ["LoginBook", "NotSignedIn", "Sender", "SignedIn", "new_login_code"]

logger = logging.getLogger(__name__)

NOTED_EVERY_S = 60.0
"""How often the last use of one login is written down."""
REMEMBERED = 1000
"""Logins whose last note is held; the rest is noted again."""
BROWSER_CHARS = 200
WHY = "that did not work: check what you typed; a link is good once, and for ten minutes"


class Tokens(Protocol):
    """Whose an API token is; the API's accounts know."""

    async def authenticate(self, token: str) -> Principal | None:
        """Return whose token this is; None where it is unknown, expired or revoked."""
        ...


class Trail(Protocol):
    """The store, as far as failed logins are kept in it."""

    @property
    def logins(self) -> LoginStore:
        """Passwords, codes, logins."""
        ...

    async def audit(self, entry: NewAudit) -> object:
        """Append a line."""
        ...


@dataclass(frozen=True)
class Sender:
    """Where a request to sign in comes from."""

    address: str
    browser: str = ""


@dataclass(frozen=True)
class SignedIn:
    """A new login; the secret is for the cookie, and said once."""

    secret: str
    user: str


@dataclass(frozen=True)
class NotSignedIn:
    """No login, and what to tell: the same for every wrong try."""

    why: str
    wait_s: float = 0.0


def new_login_code(
    user: str, *, now: float, created_by: str, ttl_s: float = LINK_S
) -> tuple[str, LoginCode]:
    """Return a fresh code of 256 bits, and the record that keeps its hash only."""
    code = secrets.token_urlsafe(32)
    kept = LoginCode(hash_secret(code), user, now, now + min(ttl_s, LINK_S), created_by)
    return code, kept


class LoginBook:
    """Logins over the store; wrong tries are slowed by address, and by name for passwords."""

    def __init__(
        self,
        store: Trail,
        tokens: Tokens,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._now = now
        self._monotonic = monotonic
        self._wrong = WrongTries()
        self._noted: dict[str, float] = {}
        self._trying: set[str] = set()
        self._hashing = anyio.CapacityLimiter(1)  # 32 MiB each

    async def visit(self, secret: str) -> Principal | None:
        """Return whose login this cookie is; None where it is over."""
        now = self._now()
        found = await self._store.logins.find_login(hash_secret(secret), now=now, idle_s=IDLE_S)
        if found is None:
            return None
        login, user = found
        if now - self._noted.get(login.id, 0.0) >= NOTED_EVERY_S:
            if len(self._noted) >= REMEMBERED:
                self._noted.clear()
            self._noted[login.id] = now
            await self._store.logins.touch_login(login.id, at=now)
        return Principal(user.name, user.role, f"login:{login.id}", user.mandates)

    async def by_token(self, token: str, sender: Sender) -> SignedIn | NotSignedIn:
        """Sign in with an API token; the login ends with it."""

        async def check() -> tuple[str, str | None] | None:
            principal = await self._tokens.authenticate(token)
            return None if principal is None else (principal.user, principal.token_id)

        return await self._sign_in("token", (sender.address,), check, sender)

    async def by_password(self, user: str, password: str, sender: Sender) -> SignedIn | NotSignedIn:
        """Sign in with a user's name and password."""

        async def check() -> tuple[str, str | None] | None:
            kept = await self._store.logins.password(user)
            right = await anyio.to_thread.run_sync(
                is_password, password, kept, limiter=self._hashing
            )
            return (user, None) if right else None

        counted = (sender.address, f"user:{user[:64]}")
        return await self._sign_in("password", counted, check, sender)

    async def by_code(self, code: str, sender: Sender) -> SignedIn | NotSignedIn:
        """Sign in with the code of a one-time link, and use it up."""

        async def check() -> tuple[str, str | None] | None:
            user = await self._store.logins.redeem_code(hash_secret(code), at=self._now())
            return None if user is None else (user, None)

        return await self._sign_in("link", (sender.address,), check, sender)

    async def sign_out(self, secret: str) -> None:
        """End the login of a cookie, where it has one."""
        found = await self._store.logins.find_login(
            hash_secret(secret), now=self._now(), idle_s=IDLE_S
        )
        if found is not None:
            login, user = found
            await self.end(user.name, login.id)

    async def logins(self, user: str) -> tuple[Login, ...]:
        """Return a user's logins, newest first."""
        return await self._store.logins.logins(user, now=self._now(), idle_s=IDLE_S)

    async def end(self, user: str, login_id: str) -> bool:
        """End one login of a user; False where they have none such."""
        line = NewAudit(self._now(), f"user:{user}", "sign out", user, "ok", {"login": login_id})
        return await self._store.logins.end_login(user, login_id, audit=line)

    async def _sign_in(
        self,
        way: LoginWay,
        counted: tuple[str, ...],
        check: Callable[[], Awaitable[tuple[str, str | None] | None]],
        sender: Sender,
    ) -> SignedIn | NotSignedIn:
        now = self._monotonic()
        wait_s = max(self._wrong.wait_s(who, now) for who in counted)
        if wait_s > 0:
            return NotSignedIn(f"too many wrong tries: wait {wait_s:.0f} seconds", wait_s)
        if sender.address in self._trying:
            return NotSignedIn("one try at a time: wait for the answer to the last one", 1.0)
        self._trying.add(sender.address)
        try:
            found = await check()
        finally:
            self._trying.discard(sender.address)
        if found is None or (made := await self._keep(way, *found, sender)) is None:
            for who in counted:
                self._wrong.note(who, now)
            logger.warning("login refused way=%s address=%s", way, sender.address)
            about = {"way": way, "peer": sender.address}
            await self._store.audit(
                NewAudit(self._now(), "stranger", "sign in", None, "refused", dict(about))
            )
            return NotSignedIn(WHY)
        return made

    async def _keep(
        self, way: LoginWay, user: str, token_id: str | None, sender: Sender
    ) -> SignedIn | None:
        now, secret = self._now(), secrets.token_urlsafe(32)
        login = Login(
            id=uuid.uuid4().hex[:12],
            secret_sha256=hash_secret(secret),
            user=user,
            way=way,
            created=now,
            expires=now + ABSOLUTE_S,
            last_used=now,
            token_id=token_id,
            peer=sender.address,
            browser=sender.browser[:BROWSER_CHARS],
        )
        about = {"way": way, "peer": sender.address, "login": login.id}
        line = NewAudit(now, f"user:{user}", "sign in", user, "ok", dict(about))
        kept = await self._store.logins.add_login(login, audit=line)
        return SignedIn(secret, user) if kept else None
