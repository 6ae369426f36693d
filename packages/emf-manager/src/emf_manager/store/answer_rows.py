"""Answers to writes that carried an idempotency key: begun, then what was answered, for a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, delete, select, update

from emf_manager.store import schema as t
from emf_manager.store.login_rows import Work
from emf_manager.store.rows import insert_new

__all__ = ["AnswerRows", "AnswerStore", "KeptAnswer"]

KEPT_S = 86400.0


@dataclass(frozen=True)
class KeptAnswer:
    """What is known of a key that was used before."""

    fingerprint: str
    """Of what was asked; made with a key that is not in the database."""
    status: int | None
    """None where it was begun and its end was not written down."""
    body: str | None
    """None where there was none, or it held a secret and was not kept."""


class AnswerStore(Protocol):
    """What the book of answers asks of the store; ``StoreError`` when the database fails."""

    async def begin(self, user: str, key: str, fingerprint: str, *, at: float) -> KeptAnswer | None:
        """Take a key, and return None; or return what is known of its earlier use."""
        ...

    async def finish(self, user: str, key: str, *, status: int, body: str | None) -> None:
        """Keep the answer."""
        ...

    async def release(self, user: str, key: str) -> None:
        """Give a key back: nothing was done under it."""
        ...


class AnswerRows:
    """An ``AnswerStore`` over the writes of a SQL store."""

    def __init__(self, write: Work) -> None:
        self._write = write

    async def begin(self, user: str, key: str, fingerprint: str, *, at: float) -> KeptAnswer | None:
        def take(connection: Connection) -> KeptAnswer | None:
            connection.execute(delete(t.answers).where(t.answers.c.at < at - KEPT_S))
            row = {"user": user, "key": key, "fingerprint": fingerprint, "at": at}
            if insert_new(connection, t.answers, row):
                return None
            found = connection.execute(select(t.answers).where(*mine(user, key))).mappings().one()
            return KeptAnswer(found["fingerprint"], found["status"], found["body"])

        return await self._write(take)

    async def finish(self, user: str, key: str, *, status: int, body: str | None) -> None:
        def keep(connection: Connection) -> None:
            kept = update(t.answers).where(*mine(user, key)).values(status=status, body=body)
            connection.execute(kept)

        await self._write(keep)

    async def release(self, user: str, key: str) -> None:
        def drop(connection: Connection) -> None:
            connection.execute(delete(t.answers).where(*mine(user, key)))

        await self._write(drop)


def mine(user: str, key: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return t.answers.c.user == user, t.answers.c.key == key
