"""Joining: a token for a certificate, and nothing to a manager that is not the token's."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Generator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from emf_agent.enrolment import join
from emf_agent.errors import (
    ConfigurationError,
    ManagerRefusedError,
    ManagerUnreachableError,
    ProtocolError,
    UsageError,
)
from emf_agent.identity_files import certifies
from emf_agent.settings import Settings, load_settings
from emf_agent.wire import EnrolmentToken
from tests.certificates import CLIENT, SERVER, Certified, certified, new_authority
from tests.https_server import Answer, Server, serving

pytestmark = pytest.mark.anyio

NAME = "oss1.storage.example"
SECRET = "s" * 43
DAY = timedelta(days=1)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Real time: real sockets and threads take part."""
    return str(request.param)


@pytest.fixture(scope="module")
def authority() -> Certified:
    return new_authority()


def issue(authority: Certified, csr_pem: str, name: str) -> str:
    """Certify the key of a request, as a manager does."""
    csr = x509.load_pem_x509_csr(csr_pem.encode())
    return certified(authority, name, public_key=csr.public_key()).pem


@pytest.fixture
def manager(authority: Certified) -> Generator[Server]:
    """A manager that gives everybody a certificate under the name that was asked for."""
    address = x509.IPAddress(ip_address("127.0.0.1"))
    leaf = certified(authority, "manager", names=[address], usage=[SERVER])

    def decide(_method: str, _path: str, _headers: object, body: bytes) -> Answer:
        asked = json.loads(body)
        return granted(issue(authority, asked["csr"], asked["fqdn"]), authority.pem, asked["fqdn"])

    with serving(leaf.as_trustme_leaf(), authority.as_trustme_authority()) as made:
        made.decide = decide
        yield made


def granted(certificate: str, authority: str, fqdn: str = NAME) -> Answer:
    told = {"certificate": certificate, "authority": authority, "fqdn": fqdn}
    return Answer(body=json.dumps(told).encode())


def token_for(authority: Certified) -> EnrolmentToken:
    return EnrolmentToken(SECRET, authority.certificate.fingerprint(hashes.SHA256()).hex())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(None, tmp_path, {"node.fqdn": NAME})


def written(settings: Settings) -> list[Path]:
    """Return every file of the node."""
    etc = settings.paths.config.parent
    return [path for path in etc.rglob("*") if path.is_file()]


async def test_a_token_becomes_an_identity(
    settings: Settings, manager: Server, authority: Certified
) -> None:
    name = await join(settings, manager.url, token_for(authority))

    assert name == NAME
    key, certificate = settings.key_path, settings.certificate_path
    assert certifies(certificate.read_text(), key.read_text())
    assert settings.authority_path.read_text() == authority.pem
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


async def test_the_key_stays_and_the_secret_travels_in_the_body_alone(
    settings: Settings, manager: Server, authority: Certified
) -> None:
    await join(settings, manager.url, token_for(authority))

    ((method, path, headers, body),) = manager.seen
    assert (method, path) == ("POST", "/enrol/")
    asked = json.loads(body)
    assert asked["token"] == SECRET
    assert asked["fqdn"] == NAME
    assert x509.load_pem_x509_csr(asked["csr"].encode()).is_signature_valid
    assert SECRET not in path + str(headers)
    assert b"PRIVATE" not in body
    assert not any(SECRET in one.read_text() for one in written(settings))


async def test_the_next_start_knows_manager_and_name(
    settings: Settings, manager: Server, authority: Certified, tmp_path: Path
) -> None:
    manager.decide = lambda _m, _p, _h, body: granted(
        issue(authority, json.loads(body)["csr"], "n7"), authority.pem, "n7"
    )
    assert await join(settings, manager.url + "/", token_for(authority)) == "n7"

    later = load_settings(None, tmp_path)
    assert later.manager.url == manager.url
    assert later.node.fqdn == "n7", "the manager's word counts"


async def test_nothing_is_sent_to_a_manager_with_another_authority(
    settings: Settings, manager: Server
) -> None:
    with pytest.raises(ManagerUnreachableError, match="not the manager that issued the token"):
        await join(settings, manager.url, token_for(new_authority()))

    assert manager.seen == []
    assert written(settings) == []


async def test_nothing_is_sent_to_a_server_that_shows_the_authority_and_is_not_of_it(
    settings: Settings, authority: Certified
) -> None:
    """An impostor may send the true authority's certificate along: everybody has it."""
    impostor = new_authority("an impostor")
    address = x509.IPAddress(ip_address("127.0.0.1"))
    leaf = certified(impostor, "manager", names=[address], usage=[SERVER])
    shown = Certified(leaf.key, leaf.certificate, (authority.certificate,))
    with serving(shown.as_trustme_leaf(), impostor.as_trustme_authority()) as server:
        with pytest.raises(ManagerUnreachableError):
            await join(settings, server.url, token_for(authority))

        assert server.seen == []
    assert written(settings) == []


async def test_where_nobody_listens_it_is_said(settings: Settings, authority: Certified) -> None:
    with pytest.raises(ManagerUnreachableError, match=r"127\.0\.0\.1:9"):
        await join(settings, "https://127.0.0.1:9", token_for(authority))
    assert written(settings) == []


@pytest.mark.parametrize("status", [400, 403, 409, 500])
async def test_a_refused_token_leaves_no_file(
    settings: Settings, manager: Server, authority: Certified, status: int
) -> None:
    manager.decide = lambda *_: Answer(status, b"the token was used before")
    with pytest.raises((ManagerRefusedError, ManagerUnreachableError)) as raised:
        await join(settings, manager.url, token_for(authority))

    assert SECRET not in str(raised.value)
    assert written(settings) == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(body=b"<html>"), id="no JSON"),
        pytest.param(Answer(body=b"{}"), id="nothing"),
        pytest.param(granted("no certificate", "no authority"), id="no certificate"),
    ],
)
async def test_an_answer_that_is_no_identity_leaves_no_file(
    settings: Settings, manager: Server, authority: Certified, answer: Answer
) -> None:
    manager.decide = lambda *_: answer
    with pytest.raises(ProtocolError):
        await join(settings, manager.url, token_for(authority))
    assert written(settings) == []


async def test_a_certificate_of_another_key_is_not_kept(
    settings: Settings, manager: Server, authority: Certified
) -> None:
    other = certified(authority, NAME, usage=[CLIENT])
    manager.decide = lambda *_: granted(other.pem, authority.pem)
    with pytest.raises(ProtocolError, match="no certificate for the new key"):
        await join(settings, manager.url, token_for(authority))
    assert written(settings) == []


async def test_a_node_that_cannot_keep_files_says_which(
    settings: Settings, manager: Server, authority: Certified
) -> None:
    etc = settings.paths.config.parent
    etc.mkdir(parents=True)
    (etc / "tls").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"tls/ca\.crt"):
        await join(settings, manager.url, token_for(authority))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "manager",
        "manager:7443",
        "http://manager:7443",
        "https://",
        "https://m:99999",
        "https://m:port",
        "https://[::1",
    ],
)
async def test_what_is_no_address_is_said_with_an_example(
    settings: Settings, authority: Certified, url: str
) -> None:
    with pytest.raises(UsageError, match="must be an address like https://manager:7443"):
        await join(settings, url, token_for(authority))


async def test_a_careless_umask_changes_nothing(
    settings: Settings, manager: Server, authority: Certified
) -> None:
    before = os.umask(0)
    try:
        await join(settings, manager.url, token_for(authority))
    finally:
        os.umask(before)
    modes: dict[str, Any] = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in written(settings)
    }
    assert modes.pop("agent.key") == 0o600
    assert set(modes.values()) == {0o644}
