"""Renewal: when it is due on which clock, and that nothing which fails costs the old identity."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import ssl
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from random import Random

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.backoff import Backoff
from emf_agent.errors import ConfigurationError, ManagerRefusedError, ProtocolError
from emf_agent.identity_files import IdentityFiles, certifies, new_key_request
from emf_agent.renewal import Renewal, Standing, renew_due
from emf_agent.tls import certificate_facts, client_context
from emf_agent.transport import open_transport
from tests.certificates import SERVER, Certified, certified, new_authority
from tests.https_server import Answer, Server, serving

NAME = "oss1.example"
DAY = timedelta(days=1)
TIMES = st.floats(-1e10, 1e10, allow_nan=False)


@pytest.mark.parametrize(
    ("now", "wait"),
    [(0.0, 60.0), (59.0, 1.0), (60.0, 0.0), (91.0, 0.0), (1e9, 0.0), (-40.0, 100.0)],
    ids=["young", "almost", "at two thirds", "expired", "ten years on", "not yet valid"],
)
def test_renewal_is_due_after_two_thirds_of_the_life(now: float, wait: float) -> None:
    assert renew_due(0.0, 90.0, now) == wait


@given(begin=TIMES, life=st.floats(1, 1e9), now=TIMES)
def test_the_wait_ends_before_the_certificate_does(begin: float, life: float, now: float) -> None:
    wait = renew_due(begin, begin + life, now)

    assert wait >= 0
    assert wait == 0 or now + wait < begin + life


@pytest.fixture(scope="module")
def authority() -> Certified:
    return new_authority()


@pytest.fixture
def server(authority: Certified) -> Generator[Server]:
    address = x509.IPAddress(ip_address("127.0.0.1"))
    leaf = certified(authority, "manager", names=[address], usage=[SERVER])
    with serving(leaf.as_trustme_leaf(), authority.as_trustme_authority()) as made:
        yield made


@pytest.fixture
def files(authority: Certified, tmp_path: Path) -> IdentityFiles:
    made = IdentityFiles(tmp_path / "agent.key", tmp_path / "agent.crt", tmp_path / "ca.crt")
    old = certified(authority, NAME, since=-60 * DAY, until=30 * DAY)
    made.save(key=old.key_pem, certificate=old.pem, authority=authority.pem)
    return made


def signs(issuer: Certified, **changed: str) -> Callable[..., Answer]:
    """Return a manager that signs what it is asked for."""

    def decide(_method: str, path: str, _headers: object, body: bytes) -> Answer:
        assert path == "/renew/"
        key = x509.load_pem_x509_csr(json.loads(body)["csr"].encode()).public_key()
        new = certified(issuer, NAME, public_key=key, until=90 * DAY)
        answer = {"certificate": new.pem, "authority": issuer.pem, "fqdn": NAME, **changed}
        return Answer(201, json.dumps(answer).encode())

    return decide


def content(files: IdentityFiles) -> list[str]:
    return [path.read_text() for path in (files.key, files.certificate, files.authority)]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_due_certificate_is_renewed_and_then_left_alone(
    server: Server, files: IdentityFiles, authority: Certified
) -> None:
    server.decide = signs(authority)
    before = certificate_facts(files.certificate)
    async with open_transport(server.url, context_of(files)) as transport:
        renewal = Renewal(files, transport, NAME, wall_clock=lambda: before.not_after - 29 * 86400)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(renewal.run, lambda: None)
            with anyio.fail_after(60):
                while renewal.ends == before.not_after:
                    await anyio.sleep(0.01)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    assert len(server.seen) == 1
    after = certificate_facts(files.certificate)
    assert (after.name, after.not_after == renewal.ends) == (NAME, True)
    assert after.not_before > before.not_before
    assert certifies(files.certificate.read_text(), files.key.read_text())
    assert files.key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("trusts", "issuer", "announced", "same"),
    [
        ("a", "a", (), True),
        ("a", "a", ("a",), True),
        ("a", "a", ("a", "b"), False),
        ("ab", "a", ("a", "b"), True),
        ("ab", "a", ("b", "a"), False),
        ("ab", "b", ("b", "a"), True),
        ("ab", "b", ("b",), False),
        ("b", None, ("b",), False),
    ],
    ids=[
        "an older manager", "settled", "announced", "known", "switched", "changed", "finished",
        "of nobody trusted",
    ],
)  # fmt: skip
def test_a_node_is_as_announced_or_renews(
    trusts: str, issuer: str | None, announced: tuple[str, ...], same: bool
) -> None:
    assert Standing(tuple(trusts), issuer).is_as(announced) is same


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_another_authority_is_learnt_early_and_asked_for_once(
    server: Server, files: IdentityFiles, authority: Certified
) -> None:
    other = new_authority("another")
    server.decide = signs(authority, authority=authority.pem + other.pem)
    old, new = (fingerprint(one) for one in (authority, other))
    facts = certificate_facts(files.certificate)
    async with open_transport(server.url, context_of(files)) as transport:
        renewal = Renewal(
            files, transport, NAME, wall_clock=lambda: facts.not_before, random=AtOnce()
        )
        renewed = anyio.Event()
        renewal.on_renewed = renewed.set
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(renewal.run, lambda: None)
            await anyio.wait_all_tasks_blocked()
            renewal.announced((old,))
            await anyio.wait_all_tasks_blocked()
            assert server.seen == []
            renewal.announced((old, new))
            with anyio.fail_after(60):
                await renewed.wait()
            renewal.announced((old, new))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    assert len(server.seen) == 1
    assert renewal.standing == Standing(tuple(sorted((old, new))), old)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_an_announcement_that_a_renewal_does_not_bring_about_is_not_asked_for_again(
    server: Server, files: IdentityFiles, authority: Certified
) -> None:
    server.decide = signs(authority)
    facts = certificate_facts(files.certificate)
    async with open_transport(server.url, context_of(files)) as transport:
        renewal = Renewal(
            files, transport, NAME, wall_clock=lambda: facts.not_before, random=AtOnce()
        )
        renewed = anyio.Event()
        renewal.on_renewed = renewed.set
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(renewal.run, lambda: None)
            renewal.announced(("0" * 64,))
            with anyio.fail_after(60):
                await renewed.wait()
            for _ in range(3):
                renewal.announced(("0" * 64,))
                await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    assert len(server.seen) == 1


class AtOnce(Random):
    """Spreads nothing."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


def fingerprint(authority: Certified) -> str:
    return authority.certificate.fingerprint(hashes.SHA256()).hex()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("ours", "offset", "asked"),
    [(-20, 0.0, 0), (3650, -3655 * 86400.0, 0), (-3650, 3655 * 86400.0, 1)],
    ids=["not due", "our clock jumped ahead", "our clock jumped back"],
)
async def test_the_managers_clock_decides(
    server: Server,
    files: IdentityFiles,
    authority: Certified,
    ours: int,
    offset: float,
    asked: int,
) -> None:
    server.decide = signs(authority)
    facts = certificate_facts(files.certificate)
    third = facts.not_before + (facts.not_after - facts.not_before) * 2 / 3
    async with open_transport(server.url, context_of(files)) as transport:
        renewal = Renewal(files, transport, NAME, wall_clock=lambda: third + ours * 86400)
        due = renewal.due_s(offset)

    assert (due == 0) == bool(asked)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(403, b"the certificate is revoked"), ManagerRefusedError, "revoked"),
        (Answer(201, b"{}"), ProtocolError, "no certificate"),
        ("another key", ProtocolError, "new key"),
        ("no authority", ProtocolError, "authority"),
    ],
    ids=["revoked", "not an answer", "another key", "no authority"],
)
async def test_what_fails_leaves_the_old_identity_whole(
    server: Server,
    files: IdentityFiles,
    authority: Certified,
    answer: Answer | str,
    error: type[Exception],
    says: str,
) -> None:
    if answer == "another key":
        server.decide = signs(authority, certificate=certified(authority, NAME).pem)
    elif answer == "no authority":
        server.decide = signs(authority, authority="nothing")
    else:
        assert isinstance(answer, Answer)
        server.answer = answer
    before = content(files)
    async with open_transport(server.url, context_of(files)) as transport:
        renewal = Renewal(files, transport, NAME, wall_clock=lambda: 0.0)
        with pytest.raises(error, match=says):
            await renewal.renew()

    assert content(files) == before


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_refusal_is_logged_with_what_to_do_and_tried_again(
    server: Server,
    files: IdentityFiles,
    authority: Certified,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    refusals = [Answer(403, b"the certificate of oss1.example is revoked; enrol the node again")]
    granted = signs(authority)
    server.decide = lambda *asked: refusals.pop() if refusals else granted(*asked)
    before = certificate_facts(files.certificate)
    async with open_transport(server.url, context_of(files)) as transport:
        renewal = Renewal(
            files,
            transport,
            NAME,
            wall_clock=lambda: before.not_after - 29 * 86400,
            random=Random(1),
            retry=Backoff(first_s=0.01, cap_s=0.01, floor_s=0.0),
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(renewal.run, lambda: None)
            with anyio.fail_after(60):
                while renewal.ends == before.not_after:
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    assert "is revoked" in caplog.text
    assert "emf-agent enroll --force" in caplog.text
    assert "certificate renewed" in caplog.text


@pytest.mark.parametrize("crash_at", range(7))
def test_a_crash_while_saving_leaves_the_old_identity_or_the_new_one(
    files: IdentityFiles, authority: Certified, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    old = content(files)
    new = certified(authority, NAME)
    wanted = [new.key_pem, new.pem, authority.pem]
    done = 0
    replace_file = Path.replace

    def until_the_crash(self: Path, target: Path) -> Path:
        nonlocal done
        if done == crash_at:
            raise KeyboardInterrupt
        done += 1
        return replace_file(self, target)

    with monkeypatch.context() as crash:
        crash.setattr(Path, "replace", until_the_crash)
        with contextlib.suppress(KeyboardInterrupt):
            files.save(key=new.key_pem, certificate=new.pem, authority=authority.pem)
    files.settle()

    assert content(files) == (wanted if crash_at >= 3 else old)
    assert not list(files.key.parent.glob("*.next"))
    context_of(files)


def test_a_key_file_that_cannot_be_moved_is_named(files: IdentityFiles) -> None:
    blocked = replace(files, key=files.key.with_name("folder"))
    blocked.key.mkdir()
    (blocked.key / "content").touch()

    with pytest.raises(ConfigurationError, match=re.escape(str(blocked.key))):
        blocked.save(key="k", certificate="c", authority="a")


def test_a_certificate_is_for_its_own_key_only(authority: Certified) -> None:
    mine = certified(authority, NAME)

    assert certifies(mine.pem, mine.key_pem)
    assert not certifies(mine.pem, new_key_request(NAME).key)
    assert not certifies("nothing", mine.key_pem)
    assert not certifies(mine.pem, "nothing")


def context_of(files: IdentityFiles) -> ssl.SSLContext:
    return client_context(files.authority, files.certificate, files.key)
