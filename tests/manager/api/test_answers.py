"""Idempotency keys: what is sent again is answered again, and done once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from emf_manager.api.answers import AnswerBook
from emf_manager.api.guard import Guard
from emf_manager.api.problems import ProblemError
from emf_manager.authorization import ROUTES
from emf_manager.safe import Safe
from emf_manager.store.connections import sqlite_url
from emf_manager.store.sql import SqlStore, open_store
from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import NOW, nothing

pytestmark = pytest.mark.anyio

SAFE = Safe()
"""Its key outlives a restart, as its file does."""
MARIA = {"name": "maria", "role": "viewer"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the store works in threads


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    async with open_store(sqlite_url(tmp_path / "manager.db")) as store:
        yield store


@pytest.fixture
def keyed(desk: Desk, store: SqlStore) -> Desk:
    """The API with a book of answers."""
    restarted(desk, store)
    return desk


def restarted(desk: Desk, store: SqlStore) -> None:
    """Put a fresh book over the store, as a restart does."""
    desk.guard = Guard(
        desk.routes,
        authenticate=desk.accounts.authenticate,
        audit=desk.accounts.audit,
        answers=AnswerBook(store.answers, SAFE, now=lambda: NOW),
    )
    desk.transport.app = desk.guard


async def write(
    desk: Desk, path: str = "users", body: Any = MARIA, key: str = "key-0001", role: str = "admin"
) -> httpx.Response:
    return await desk.call("POST", path, role, json=body, headers={"Idempotency-Key": key})


async def test_a_repeat_is_answered_alike_and_done_once(keyed: Desk, store: SqlStore) -> None:
    first = await write(keyed)
    again = await write(keyed)
    restarted(keyed, store)
    after_a_restart = await write(keyed)

    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    for answer in (again, after_a_restart):
        assert (answer.status_code, answer.json()) == (201, first.json())
        assert answer.headers["idempotency-replayed"] == "true"
        assert answer.headers["content-type"] == "application/json"
    assert [note.phase for note in keyed.accounts.notes] == ["begin", "end"]


async def test_a_deletion_is_repeated_too(keyed: Desk) -> None:
    await write(keyed)
    headers = {"Idempotency-Key": "key-0002"}

    answers = [await keyed.call("DELETE", "users/maria", headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 204]


async def test_a_key_of_another_request_is_a_conflict(keyed: Desk) -> None:
    await write(keyed)

    other_body = await write(keyed, body={"name": "ann", "role": "viewer"})
    other_path = await write(keyed, "tokens", {"user": "maria"})

    assert [other_body.status_code, other_path.status_code] == [409, 409]
    assert "used before, for another request" in other_body.json()["detail"]
    assert "ann" not in keyed.accounts.people


async def test_each_user_has_keys_of_their_own(keyed: Desk) -> None:
    keyed.alerts.put()
    first = await write(keyed, "alerts/1/acknowledge", {}, role="operator")
    second = await write(keyed, "alerts/1/acknowledge", {}, role="admin")

    assert "idempotency-replayed" not in second.headers
    assert (first.status_code, second.status_code) == (200, 200)


async def test_two_at_once_are_one(keyed: Desk) -> None:
    go_on, entered = anyio.Event(), anyio.Event()

    async def slow() -> None:
        entered.set()
        await go_on.wait()

    keyed.accounts.in_between = slow
    answers: list[httpx.Response] = []

    async def first() -> None:
        answers.append(await write(keyed))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await entered.wait()
        second = await write(keyed)
        go_on.set()

    assert (second.status_code, second.headers["retry-after"]) == (409, "1")
    assert answers[0].status_code == 201
    assert (await write(keyed)).json() == answers[0].json()


async def test_what_was_refused_gives_its_key_back(keyed: Desk) -> None:
    refused = await write(keyed, body={"name": "maria", "role": "emperor"})
    done = await write(keyed)

    assert (refused.status_code, done.status_code) == (422, 201)


async def test_a_secret_is_said_once_and_kept_nowhere(
    keyed: Desk, store: SqlStore, tmp_path: Path
) -> None:
    first = await write(keyed, "tokens", {"user": "viewer"})
    again = await write(keyed, "tokens", {"user": "viewer"})

    assert first.json()["secret"] == "said-once"
    assert again.status_code == 409
    assert "revoke what was made" in again.json()["detail"]
    assert b"said-once" not in b"".join(
        file.read_bytes() for file in tmp_path.iterdir() if file.is_file()
    )


async def test_nobody_guesses_a_body_from_what_is_kept_of_it(keyed: Desk, store: SqlStore) -> None:
    await write(keyed)

    async def kept_with(safe: Safe) -> int | None:
        book = AnswerBook(store.answers, safe, now=lambda: NOW)
        scope: dict[str, Any] = {"method": "POST", "path": "/api/v1/users", "query_string": b""}
        body = httpx.Request("POST", "http://a", json=MARIA).content
        given = await book.begin("admin", "key-0001", scope, body)
        return None if given is None else given.status

    assert await kept_with(SAFE) == 201
    with pytest.raises(ProblemError, match="another request"):
        await kept_with(Safe())


async def test_what_was_cut_off_is_not_done_twice(keyed: Desk, store: SqlStore) -> None:
    async def dies() -> None:
        raise RuntimeError("killed in between")

    keyed.accounts.in_between = dies
    assert (await write(keyed)).status_code == 500
    keyed.accounts.in_between = nothing
    restarted(keyed, store)

    answer = await write(keyed)

    assert answer.status_code == 409
    assert "begun and cut off" in answer.json()["detail"]
    assert "maria" not in keyed.accounts.people


async def test_a_key_is_free_again_after_a_day(keyed: Desk, store: SqlStore) -> None:
    assert await store.answers.begin("admin", "key-0001", "f", at=NOW - 86401) is None

    assert (await write(keyed)).status_code == 201


async def test_a_full_audit_trail_gives_the_key_back(keyed: Desk) -> None:
    keyed.accounts.full = True
    refused = await write(keyed)
    keyed.accounts.full = False

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert (await write(keyed)).status_code == 201


@pytest.mark.parametrize("key", ["short", "x" * 129, "with a space", "ünïcödé!"])
async def test_a_key_that_is_none_is_named(keyed: Desk, key: str) -> None:
    answer = await keyed.call(
        "POST", "users", json=MARIA, headers={"Idempotency-Key": key.encode("latin-1")}
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "header.Idempotency-Key"


async def test_a_job_keeps_its_own_key(keyed: Desk, store: SqlStore) -> None:
    body = {"nodes": "oss01", "action": "start_unit", "args": {"unit": "lnet.service"}}

    first, again = [await write(keyed, "jobs", body) for _ in range(2)]

    assert first.json()["id"] == again.json()["id"]
    assert "idempotency-replayed" not in again.headers
    assert await store.answers.begin("admin", "key-0001", "f", at=NOW) is None


def test_every_route_that_says_a_secret_is_marked() -> None:
    marked = {route.path for route in ROUTES if route.answer == "secret"}

    assert marked == {"/tokens", "/enrolment-tokens"}
