"""Accounts over the real store: secrets are hashed, rights end at once, writes leave a trail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emf_agent.errors import UsageError
from emf_agent.wire import EnrolmentToken
from emf_manager.api import models as m
from emf_manager.api.account_book import AccountBook
from emf_manager.api.guard import AuditNote
from emf_manager.authorization import Principal
from emf_manager.store.sql import SqlStore, open_store

pytestmark = pytest.mark.anyio

ADMIN = Principal("root", "admin", "t0")
FINGERPRINT = "ab" * 32


@pytest.fixture
def anyio_backend() -> Any:
    """Real time: the store works in threads."""
    return "asyncio"


@dataclass
class Desk:
    book: AccountBook
    store: SqlStore
    path: Path
    wall: float = 1_800_000_000.0


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    path = tmp_path / "store.sqlite"
    async with open_store(f"sqlite:///{path}") as store:
        made = Desk(AccountBook(store, lambda: FINGERPRINT, now=lambda: made.wall), store, path)
        await made.book.create_user(ADMIN, m.UserRequest(name="maria", role="operator"))
        yield made


async def issue(desk: Desk, **more: Any) -> m.NewToken:
    token = await desk.book.create_token(ADMIN, m.TokenRequest(user="maria", **more))
    assert token is not None
    return token


async def test_a_token_is_its_users_until_it_is_revoked(desk: Desk) -> None:
    token = await issue(desk)
    assert await desk.book.authenticate(token.secret) == Principal("maria", "operator", token.id)

    assert await desk.book.revoke_token(ADMIN, token.id)

    assert await desk.book.authenticate(token.secret) is None
    assert not await desk.book.revoke_token(ADMIN, "nothing")


async def test_a_token_ends_with_its_time(desk: Desk) -> None:
    token = await issue(desk, ttl_s=60.0)
    desk.wall += 61

    assert await desk.book.authenticate(token.secret) is None


async def test_a_token_ends_with_its_user(desk: Desk) -> None:
    token = await issue(desk)

    assert await desk.book.delete_user(ADMIN, "maria")

    assert await desk.book.authenticate(token.secret) is None


@pytest.mark.parametrize("wrong", ["", "emf_", "emf_" + "A" * 43, "\x00", "x" * 10_000])
async def test_a_wrong_token_is_nobodys(desk: Desk, wrong: str) -> None:
    await issue(desk)

    assert await desk.book.authenticate(wrong) is None


async def test_no_secret_is_in_the_database(desk: Desk) -> None:
    token = await issue(desk)
    enrolment = await desk.book.create_enrolment_token(ADMIN, m.EnrolmentTokenRequest())

    stored = b"".join(file.read_bytes() for file in desk.path.parent.iterdir())

    assert token.id.encode() in stored, "the record is there"
    assert token.secret.encode() not in stored
    assert EnrolmentToken.parse(enrolment.secret).secret.encode() not in stored


async def test_the_last_use_is_noted(desk: Desk) -> None:
    token = await issue(desk)
    await desk.book.authenticate(token.secret)

    (listed,) = await desk.book.tokens()

    assert listed.last_used is not None
    assert listed.last_used.timestamp() == desk.wall


async def test_an_enrolment_token_names_the_authority_and_its_limits(desk: Desk) -> None:
    request = m.EnrolmentTokenRequest(nodes="oss[01-16]", role="oss", uses=16, ttl_s=600.0)

    made = await desk.book.create_enrolment_token(ADMIN, request)

    assert EnrolmentToken.parse(made.secret).authority_sha256 == FINGERPRINT
    (listed,) = await desk.book.enrolment_tokens()
    assert (listed.nodes, listed.role, listed.uses_left) == ("oss[01-16]", "oss", 16)
    assert await desk.book.revoke_enrolment_token(ADMIN, listed.id)
    assert (await desk.book.enrolment_tokens())[0].revoked is not None


async def test_an_enrolment_token_for_what_is_no_node_set_is_not_made(desk: Desk) -> None:
    with pytest.raises(UsageError):
        await desk.book.create_enrolment_token(ADMIN, m.EnrolmentTokenRequest(nodes="oss[01-"))

    assert await desk.book.enrolment_tokens() == ()


async def test_a_name_is_taken_once(desk: Desk) -> None:
    again = m.UserRequest(name="maria", role="admin")

    assert await desk.book.create_user(ADMIN, again) is None
    assert [(user.name, user.role) for user in await desk.book.users()] == [("maria", "operator")]
    assert await desk.book.create_token(ADMIN, m.TokenRequest(user="nobody")) is None


async def test_writes_are_in_the_audit_trail_with_their_user(desk: Desk) -> None:
    note = AuditNote("maria", "POST", "/api/v1/jobs", "192.0.2.7", "end", 201)
    await desk.book.audit(note)

    created, noted = [line.entry for line in await desk.store.audit_trail()]

    assert (created.actor, created.what, created.subject) == ("user:root", "create user", "maria")
    assert (noted.actor, noted.what, noted.outcome) == ("user:maria", "POST /api/v1/jobs", "201")
    assert noted.detail == {"peer": "192.0.2.7"}
