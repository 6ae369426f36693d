"""People who sign in with a browser, in the database: passwords, one-time codes, logins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, delete, select, update

from emf_manager.login_records import Login, LoginCode
from emf_manager.records import NewAudit, User
from emf_manager.store import schema as t
from emf_manager.store.rows import read, read_user, row_of, upsert
from emf_manager.store.trails import append_audit

__all__ = ["SqlLogins"]

LOGINS_PER_USER = 100
"""More end the oldest."""

T = TypeVar("T")


class Work(Protocol):
    """Has work done on a connection: in a read, or in one transaction of the writer's."""

    def __call__(self, work: Callable[[Connection], T], /) -> Awaitable[T]:
        """Do it, and return what it returned."""
        ...


class SqlLogins:
    """A ``LoginStore`` over the reads and writes of an ``SqlStore``."""

    def __init__(self, reading: Work, writing: Work) -> None:
        self._read = reading
        self._write = writing

    async def set_password(self, user: str, hashed: str, *, at: float, audit: NewAudit) -> bool:
        def keep(connection: Connection) -> bool:
            known = connection.execute(select(t.users.c.name).where(t.users.c.name == user)).first()
            if known is not None:
                row = {"user": user, "hash": hashed, "changed": at}
                upsert(connection, t.passwords, [row])
                connection.execute(delete(t.logins).where(t.logins.c.user == user))
            append_audit(connection, (audit if known else replace(audit, outcome="unknown"),))
            return known is not None

        return await self._write(keep)

    async def password(self, user: str) -> str | None:
        wanted = (
            select(t.passwords.c.hash)
            .join(t.users, t.users.c.name == t.passwords.c.user)
            .where(t.passwords.c.user == user, t.users.c.disabled.is_(None))
        )
        return await self._read(lambda c: c.execute(wanted).scalar_one_or_none())

    async def add_code(self, code: LoginCode, *, audit: NewAudit) -> bool:
        def add(connection: Connection) -> bool:
            known = _may_sign_in(connection, code.user)
            connection.execute(delete(t.login_codes).where(t.login_codes.c.expires <= code.created))
            if known:
                connection.execute(t.login_codes.insert(), row_of(code))
            append_audit(connection, (audit if known else replace(audit, outcome="unknown"),))
            return known

        return await self._write(add)

    async def redeem_code(self, code_sha256: str, *, at: float) -> str | None:
        code = t.login_codes.c
        mine = code.code_sha256 == code_sha256

        def redeem(connection: Connection) -> str | None:
            used = update(t.login_codes).where(mine, code.used.is_(None), code.expires > at)
            if connection.execute(used.values(used=at)).rowcount != 1:
                return None
            user: str = connection.execute(select(code.user).where(mine)).scalar_one()
            return user if _may_sign_in(connection, user) else None

        return await self._write(redeem)

    async def add_login(self, login: Login, *, audit: NewAudit) -> bool:
        def add(connection: Connection) -> bool:
            known = _may_sign_in(connection, login.user)
            connection.execute(delete(t.logins).where(t.logins.c.expires <= login.created))
            if known:
                connection.execute(t.logins.insert(), row_of(login))
                _end_oldest(connection, login.user)
            append_audit(connection, (audit if known else replace(audit, outcome="unknown"),))
            return known

        return await self._write(add)

    async def find_login(
        self, secret_sha256: str, *, now: float, idle_s: float
    ) -> tuple[Login, User] | None:
        wanted = select(t.logins).where(t.logins.c.secret_sha256 == secret_sha256)

        def find(connection: Connection) -> tuple[Login, User] | None:
            row = connection.execute(wanted.where(*_good(now, idle_s))).mappings().first()
            if row is None:
                return None
            owner = select(t.users).where(
                t.users.c.name == row["user"], t.users.c.disabled.is_(None)
            )
            user = connection.execute(owner).mappings().first()
            return None if user is None else (read(Login, row), read_user(user))

        return await self._read(find)

    async def logins(self, user: str, *, now: float, idle_s: float) -> tuple[Login, ...]:
        wanted = (
            select(t.logins)
            .where(t.logins.c.user == user, *_good(now, idle_s))
            .order_by(t.logins.c.created.desc())
        )
        return await self._read(
            lambda c: tuple(read(Login, row) for row in c.execute(wanted).mappings())
        )

    async def touch_login(self, login_id: str, *, at: float) -> None:
        mine = update(t.logins).where(t.logins.c.id == login_id)
        await self._write(lambda c: c.execute(mine.values(last_used=at)).rowcount)

    async def end_login(self, user: str, login_id: str, *, audit: NewAudit) -> bool:
        mine = delete(t.logins).where(t.logins.c.user == user, t.logins.c.id == login_id)

        def end(connection: Connection) -> bool:
            ended = connection.execute(mine).rowcount == 1
            append_audit(connection, (audit if ended else replace(audit, outcome="unknown"),))
            return ended

        return await self._write(end)


def _good(now: float, idle_s: float) -> tuple[ColumnElement[bool], ...]:
    """Return what a login has to be: in time, and made with no token or one that is still valid."""
    token = t.api_tokens.c
    valid = select(token.id).where(
        token.revoked.is_(None), token.expires.is_(None) | (token.expires > now)
    )
    mine = t.logins.c
    in_time = (mine.expires > now, mine.last_used > now - idle_s)
    return (*in_time, mine.token_id.is_(None) | mine.token_id.in_(valid))


def _may_sign_in(connection: Connection, user: str) -> bool:
    found: Any = connection.execute(
        select(t.users.c.name).where(t.users.c.name == user, t.users.c.disabled.is_(None))
    ).first()
    return found is not None


def _end_oldest(connection: Connection, user: str) -> None:
    kept = (
        select(t.logins.c.id)
        .where(t.logins.c.user == user)
        .order_by(t.logins.c.created.desc())
        .limit(LOGINS_PER_USER)
    )
    connection.execute(delete(t.logins).where(t.logins.c.user == user, t.logins.c.id.not_in(kept)))
