"""The door to the manager, over real TLS on loopback: what a server may do, whom we trust."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from emf_agent import transport as door
from emf_agent.errors import (
    ConfigurationError,
    ManagerRefusedError,
    ManagerUnreachableError,
    ProtocolError,
)
from emf_agent.tls import (
    authority_context,
    certificate_facts,
    client_context,
    fetch_authority,
    trusts,
)
from emf_agent.transport import PollQuery, open_transport
from emf_agent.wire import EnrolRequest, Envelope, NodeData
from tests.https_server import Answer, Server, serving

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]

EMPTY = Envelope(messages=(), server_boot_time="b", client_start_time="c")
QUERY = PollQuery("b +00:00Z", "c", epoch=3, acknowledged=17)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def other_authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def server(authority: trustme.CA) -> Generator[Server]:
    with serving(authority.issue_cert("127.0.0.1", "localhost"), authority) as made:
        yield made


@pytest.fixture
def identity(authority: trustme.CA, tmp_path: Path) -> Callable[..., ssl.SSLContext]:
    def make(*, trusted: trustme.CA = authority, issuer: trustme.CA = authority) -> ssl.SSLContext:
        leaf = issuer.issue_cert("oss1.local", common_name="oss1.local")
        trusted.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        leaf.private_key_pem.write_to_path(str(tmp_path / "agent.key"))
        (tmp_path / "agent.crt").write_bytes(leaf.cert_chain_pems[0].bytes())
        return client_context(tmp_path / "ca.crt", tmp_path / "agent.crt", tmp_path / "agent.key")

    return make


async def test_a_post_goes_out_whole_and_brings_the_answer(server: Server, identity: Any) -> None:
    server.answer = Answer(
        202,
        b'{"epoch": 4, "verdicts": [], "pace": {"poll_s": 9.0, "lease_s": 30.0}}',
        {"EMF-Protocol": "2"},
    )
    async with open_transport(server.url, identity()) as transport:
        posted = await transport.post(EMPTY, compress=True, timeout_s=10)

    assert posted.protocol == 2
    assert posted.answer is not None
    assert posted.answer.epoch == 4
    ((method, path, headers, body),) = server.seen
    assert (method, path) == ("POST", "/agent2/message/")
    assert headers["content-type"] == "application/json"
    assert headers["emf-protocol"] == "2"
    assert json.loads(body) == {
        "messages": [],
        "server_boot_time": "b",
        "client_start_time": "c",
    }


async def test_a_large_envelope_is_compressed_only_where_that_is_understood(
    server: Server, identity: Any
) -> None:
    big = NodeData(fqdn="a", plugin="p", session_id="s", session_seq=1, body="x" * 100_000)
    envelope = EMPTY.model_copy(update={"messages": (big,)})
    server.answer = Answer(202, b"")
    async with open_transport(server.url, identity()) as transport:
        await transport.post(envelope, compress=True, timeout_s=10)
        await transport.post(envelope, compress=False, timeout_s=10)

    (_, _, headers, squeezed), (_, _, plain_headers, plain) = server.seen
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(squeezed) == plain
    assert "content-encoding" not in plain_headers


async def test_a_poll_says_who_asks_and_up_to_where(server: Server, identity: Any) -> None:
    async with open_transport(server.url, identity()) as transport:
        polled = await transport.poll(QUERY, timeout_s=10)

    assert polled.protocol == 1
    assert polled.received.messages == ()
    assert server.seen[0][1] == (
        "/agent2/message/?server_boot_time=b+%2B00%3A00Z&client_start_time=c&epoch=3&ack=17"
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 500, 502, 503])
async def test_an_error_status_is_a_refusal_with_its_text(
    server: Server, identity: Any, status: int
) -> None:
    server.answer = Answer(status, b"because")
    async with open_transport(server.url, identity()) as transport:
        with pytest.raises(ManagerRefusedError, match="because") as caught:
            await transport.poll(QUERY, timeout_s=10)

    assert caught.value.status == status


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>"),
        Answer(200, b""),
        Answer(200, b'{"messages": []}', {"Content-Encoding": "gzip"}),
        Answer(200, b" " * (8 * 1024 * 1024 + 1)),
        Answer(200, gzip.compress(b" " * (64 * 1024 * 1024)), {"Content-Encoding": "gzip"}),
        Answer(200, b'{"messages": []}', cut_at=5),
    ],
    ids=["error page", "empty", "bad compression", "oversized", "bomb", "cut"],
)
@pytest.mark.filterwarnings(
    # httpx nests generators that it does not close when a body is given up in the middle.
    "ignore:.*:pytest.PytestUnraisableExceptionWarning"
)
async def test_a_bad_answer_is_an_error_of_ours(
    server: Server, identity: Any, answer: Answer
) -> None:
    server.answer = answer
    async with open_transport(server.url, identity()) as transport:
        with pytest.raises((ProtocolError, ManagerUnreachableError)):
            await transport.poll(QUERY, timeout_s=30)


async def test_a_redirect_is_not_followed(server: Server, identity: Any) -> None:
    server.answer = Answer(302, b"", {"Location": "https://elsewhere.example/"})
    async with open_transport(server.url, identity()) as transport:
        with pytest.raises(ManagerRefusedError):
            await transport.poll(QUERY, timeout_s=10)


async def test_a_server_of_another_authority_gets_nothing(
    other_authority: trustme.CA, authority: trustme.CA, identity: Any
) -> None:
    with serving(other_authority.issue_cert("127.0.0.1"), authority) as impostor:
        async with open_transport(impostor.url, identity()) as transport:
            with pytest.raises(ManagerUnreachableError, match=r"(?i)certificate"):
                await transport.post(EMPTY, compress=False, timeout_s=10)

        assert impostor.seen == []


async def test_a_server_under_another_name_gets_nothing(
    authority: trustme.CA, identity: Any
) -> None:
    with serving(authority.issue_cert("somebody.else"), authority) as impostor:
        async with open_transport(impostor.url, identity()) as transport:
            with pytest.raises(ManagerUnreachableError, match=r"(?i)certificate"):
                await transport.post(EMPTY, compress=False, timeout_s=10)

        assert impostor.seen == []


async def test_a_certificate_the_server_refuses_is_unreachable_and_not_a_crash(
    server: Server, other_authority: trustme.CA, identity: Any
) -> None:
    async with open_transport(server.url, identity(issuer=other_authority)) as transport:
        with pytest.raises(ManagerUnreachableError):
            await transport.poll(QUERY, timeout_s=10)

    assert server.seen == []


async def test_nobody_listening_is_unreachable(identity: Any) -> None:
    async with open_transport("https://127.0.0.1:1", identity()) as transport:
        with pytest.raises(ManagerUnreachableError, match=r"127\.0\.0\.1:1"):
            await transport.post(EMPTY, compress=False, timeout_s=10)


async def test_enrolment_returns_the_certificate(server: Server, authority: trustme.CA) -> None:
    server.answer = Answer(201, b'{"certificate": "C", "authority": "A", "fqdn": "n1"}')
    context = authority_context(authority.cert_pem.bytes().decode())
    request = EnrolRequest(token="secret", fqdn="n1", csr="CSR", agent_version="0")

    answer = await door.enrol(server.url, context, request)

    assert answer.certificate == "C"
    ((_, path, _, body),) = server.seen
    assert path == "/enrol/"
    assert json.loads(body)["token"] == "secret"


async def test_an_enrolment_answer_that_is_none_is_an_error(
    server: Server, authority: trustme.CA
) -> None:
    context = authority_context(authority.cert_pem.bytes().decode())
    request = EnrolRequest(token="t", fqdn="n1", csr="CSR", agent_version="0")
    server.answer = Answer(201, b"{}")
    with pytest.raises(ProtocolError, match="no certificate"):
        await door.enrol(server.url, context, request)
    server.answer = Answer(403, b"token used up")
    with pytest.raises(ManagerRefusedError, match="token used up"):
        await door.enrol(server.url, context, request)


def test_the_authority_is_pinned_by_its_fingerprint_and_nothing_is_sent(
    authority: trustme.CA, anyio_backend: str
) -> None:
    leaf = authority.issue_cert("127.0.0.1")
    leaf.cert_chain_pems.append(authority.cert_pem)
    der = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    with serving(leaf, authority) as server:
        fetched = fetch_authority("127.0.0.1", server.port, hashlib.sha256(der).hexdigest())
        with pytest.raises(ManagerUnreachableError, match="not the manager that issued"):
            fetch_authority("127.0.0.1", server.port, "0" * 64)

        assert server.seen == []
    assert ssl.PEM_cert_to_DER_cert(fetched) == der


def test_a_port_without_tls_is_told_as_such(anyio_backend: str) -> None:
    with pytest.raises(ManagerUnreachableError, match=r"127\.0\.0\.1:1"):
        fetch_authority("127.0.0.1", 1, "0" * 64)


def test_every_context_verifies(identity: Any, authority: trustme.CA, anyio_backend: str) -> None:
    for context in (identity(), authority_context(authority.cert_pem.bytes().decode())):
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("broken", ["ca.crt", "agent.crt", "agent.key"])
@pytest.mark.parametrize("how", ["missing", "garbage"])
def test_a_broken_identity_file_is_named(
    identity: Any, tmp_path: Path, broken: str, how: str, anyio_backend: str
) -> None:
    identity()
    if how == "missing":
        (tmp_path / broken).unlink()
    else:
        (tmp_path / broken).write_text("garbage")
    with pytest.raises(ConfigurationError, match=re.escape(broken)):
        client_context(tmp_path / "ca.crt", tmp_path / "agent.crt", tmp_path / "agent.key")


def test_the_subject_of_a_certificate_is_read(
    identity: Any, tmp_path: Path, anyio_backend: str
) -> None:
    identity()

    facts = certificate_facts(tmp_path / "agent.crt")

    assert facts.name == "oss1.local"
    assert 900_000_000 < facts.not_before < facts.not_after
    with pytest.raises(ConfigurationError, match="not a certificate"):
        certificate_facts(tmp_path / "agent.key")


def test_a_certificate_whose_end_is_no_time_is_named(
    identity: Any, tmp_path: Path, anyio_backend: str
) -> None:
    identity()
    file = tmp_path / "agent.crt"
    der = ssl.PEM_cert_to_DER_cert(file.read_text())
    utc_time = b"\x17\x0d"
    assert utc_time in der
    for number in range(der.count(utc_time)):
        place = [found.start() for found in re.finditer(re.escape(utc_time), der)][number]
        bad = der[: place + 2] + b"9999999999999"[:13] + der[place + 15 :]
        file.write_text(ssl.DER_cert_to_PEM_cert(bad))
        with pytest.raises(ConfigurationError, match=re.escape(str(file))):
            certificate_facts(file)


async def test_new_connections_use_a_new_identity_and_a_hanging_poll_stays(
    server: Server, identity: Any, authority: trustme.CA
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def decide(method: str, *_: object) -> Answer:
        if method == "GET":
            asked.set()
            assert go_on.wait(30)
        return Answer()

    server.decide = decide
    polled: list[door.Polled] = []

    async def poll() -> None:
        polled.append(await transport.poll(QUERY, timeout_s=60))

    async with open_transport(server.url, identity()) as transport:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll)
            await anyio.to_thread.run_sync(asked.wait, 30)
            await transport.adopt(identity())
            await transport.post(EMPTY, compress=False, timeout_s=30)
            go_on.set()
        await transport.post(EMPTY, compress=False, timeout_s=30)

    assert [one.protocol for one in polled] == [1]
    assert len(server.seen) == 3


def test_a_text_without_a_certificate_is_trusted_by_nobody(
    authority: trustme.CA, anyio_backend: str
) -> None:
    assert trusts(authority.cert_pem.bytes().decode())
    assert not trusts("")
    assert not trusts("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
