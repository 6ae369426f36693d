"""Idempotency keys: a write that is sent again under its key is answered again, and done once.

A key belongs to the user who chose it. It is taken on disk before anything is done and its answer
kept after, for a day. An answer with a secret is not kept, since secrets are nowhere but with their
owners: a repeat is told that it was done. Where a manager was killed in between nobody knows, and
that is said. What failed gives its key back: asking again is the right thing to do then.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import JsonValue
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Scope, Send

from emf_agent.errors import EmfError
from emf_manager.api.problems import FieldFault, ProblemError
from emf_manager.safe import Safe
from emf_manager.store.answer_rows import AnswerStore, KeptAnswer

__all__ = ["Answer", "AnswerBook", "Recorder", "key_of"]

logger = logging.getLogger(__name__)

HEADER = "idempotency-key"
KEY = re.compile(r"[\x21-\x7e]{8,128}")
NOTHING_DONE = {*range(400, 500), 503}
KEPT_BYTES = 256 * 1024
"""A larger answer is not kept; the repeat is told that it was done."""


@dataclass(frozen=True)
class Answer:
    """An answer that was given before."""

    status: int
    body: bytes

    def response(self) -> Response:
        """Return it once more, marked as what it is."""
        kind = "application/json" if self.body else None
        headers = {"Idempotency-Replayed": "true", "Cache-Control": "no-store"}
        return Response(self.body, status_code=self.status, headers=headers, media_type=kind)


def key_of(scope: Scope) -> str | None:
    """Return the key of a request; None where it has none.

    Raises:
        ProblemError: it is no key.

    """
    key = Headers(scope=scope).get(HEADER)
    if key is None or KEY.fullmatch(key):
        return key
    fault = FieldFault(
        field="header.Idempotency-Key",
        expected="8 to 128 printable ASCII characters without a space",
        got=f"{len(key)} characters",
    )
    raise ProblemError(422, "invalid", "Idempotency-Key is not a key", errors=[fault])


class AnswerBook:
    """Every key of the last day, and those whose requests run right now."""

    def __init__(
        self, store: AnswerStore, safe: Safe, *, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._safe = safe
        self._now = now
        self._running: set[tuple[str, str]] = set()

    async def begin(self, user: str, key: str, scope: Scope, body: bytes) -> Answer | None:
        """Take a key, and return None; or return what was answered before.

        Raises:
            ProblemError: 409, the key is another request's, or its request still runs, or nobody
            knows what became of it, or its answer is not kept. StoreError: nothing was taken.

        """
        if (user, key) in self._running:
            why = "a request with this key still runs; ask again in a moment"
            raise ProblemError(409, "conflict", why, retry_after_s=1.0)
        self._running.add((user, key))
        taken = False
        try:
            asked = self._safe.digest(asked_of(scope, body))
            kept = await self._store.begin(user, key, asked, at=self._now())
            taken = kept is None
            return None if kept is None else repeated(kept, asked)
        finally:
            if not taken:
                self._running.discard((user, key))

    async def release(self, user: str, key: str) -> None:
        """Give a key back: nothing was done under it."""
        try:
            await self._store.release(user, key)
        except EmfError as error:
            logger.error("the key of a write was not given back user=%s: %s", user, error)
        finally:
            self._running.discard((user, key))

    async def end(self, user: str, key: str, told: Recorder, *, secret: bool) -> None:
        """Keep what was answered, or give the key back where nothing was done.

        Without an answer, or with a fault of ours, nobody knows: then the key stays begun.
        """
        try:
            if told.status in NOTHING_DONE:
                await self._store.release(user, key)
            elif told.status < 400:
                kept = not secret and len(told.body) <= KEPT_BYTES
                text = told.body.decode() if kept else None
                await self._store.finish(user, key, status=told.status, body=text)
        except EmfError as error:
            logger.error("the answer to a keyed write was not kept user=%s: %s", user, error)
        finally:
            self._running.discard((user, key))


class Recorder:
    """Holds an answer back until it is kept: whoever has it will get the same again."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    @property
    def status(self) -> int:
        """The answer's status; 500 while there is none."""
        return int(self.messages[0]["status"]) if self.messages else 500

    @property
    def body(self) -> bytes:
        """The answer's body, whole."""
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    async def tell(self, send: Send) -> None:
        """Give the answer to the caller."""
        for message in self.messages:
            await send(message)


def repeated(kept: KeptAnswer, asked: str) -> Answer:
    if kept.fingerprint != asked:
        raise ProblemError(409, "conflict", "this key was used before, for another request")
    if kept.status is None:
        raise ProblemError(
            409,
            "conflict",
            "a request with this key was begun and cut off; look whether it was done, then use "
            "a new key",
        )
    if kept.body is None and kept.status != 204:
        raise ProblemError(
            409,
            "conflict",
            "this was done already, and its answer is not kept; where it held a secret, revoke "
            "what was made and make it anew under another key",
        )
    return Answer(kept.status, (kept.body or "").encode())


def asked_of(scope: Scope, body: bytes) -> list[JsonValue]:
    """Return what makes a request another one; bodies hold secrets, so only its digest is kept."""
    query: bytes = scope["query_string"]
    return [scope["method"], scope["path"], query.decode("latin-1"), body.decode("latin-1")]
