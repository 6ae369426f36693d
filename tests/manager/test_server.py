"""The serving manager over real TLS on loopback: who gets in, who does not, how it ends."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from emf_agent.errors import ConfigurationError
from emf_agent.wire import (
    MESSAGE_PATH,
    Envelope,
    SessionCreateRequest,
    parse_manager_messages,
)
from emf_manager.api.account_book import new_api_token
from emf_manager.identity.authority import Authority, open_authority
from emf_manager.identity.grants import new_grant
from emf_manager.records import NewAudit, User
from emf_manager.server import secured
from emf_manager.server.certificate import open_server_certificate, server_names
from emf_manager.server.secured import FirstRequest, ServerContext, explain_handshake
from emf_manager.server.serve import Ready, listening, serve
from emf_manager.settings import Listen, Settings
from emf_manager.store.sql import open_store
from tests.manager.identity_kit import csr, ec_key

pytestmark = pytest.mark.anyio

NAME = "oss1.example.com"
NOTE = NewAudit(1.0, "test", "test")
PATIENCE_S = 30.0
"""Only ever waited for when something is broken."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's


@dataclass
class Running:
    """A manager that serves, and clients of it."""

    settings: Settings
    ready: Ready
    stop: anyio.Event
    done: anyio.Event

    @property
    def authority(self) -> Authority:
        return open_authority(self.settings.authority_dir, now=1.8e9)

    def context(self, identity: Path | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.authority.pem)
        if identity is not None:
            context.load_cert_chain(identity)
        return context

    def client(self, identity: Path | None = None, **more: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.ready.url,
            verify=self.context(identity),
            timeout=PATIENCE_S,
            trust_env=False,
            **more,
        )

    async def enrol(self, fqdn: str = NAME) -> Path:
        """Return a file with the key and certificate of a new node."""
        token, grant = new_grant(self.ready.authority_sha256, now=now(), created_by="test")
        async with open_store(self.settings.store_url) as store:
            await store.add_grant(grant, audit=NOTE)
        key = ec_key()
        asked = {"token": token.secret, "fqdn": fqdn, "csr": csr(key), "agent_version": "0"}
        async with self.client() as client:
            answer = await client.post("/enrol/", json=asked)
        assert answer.status_code == 201, answer.text
        return keep(self.settings.data_dir / f"{fqdn}.pem", key, answer.json()["certificate"])

    async def user(self) -> dict[str, str]:
        """Return the headers of a new admin."""
        secret, token = new_api_token("maria", now=now())
        async with open_store(self.settings.store_url) as store:
            await store.add_user(User("maria", "admin", now()), audit=NOTE)
            await store.add_token(token, audit=NOTE)
        return {"Authorization": f"Bearer {secret}"}


@asynccontextmanager
async def manager(data_dir: Path, **more: Any) -> AsyncGenerator[Running, None]:
    settings = Settings(data_dir, Listen("127.0.0.1", 0), **more)
    stop, started, done = anyio.Event(), anyio.Event(), anyio.Event()
    said: list[Ready] = []

    def on_ready(ready: Ready) -> None:
        said.append(ready)
        started.set()

    async def run() -> None:
        await serve(settings, stop=stop, on_ready=on_ready)
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        with anyio.fail_after(PATIENCE_S):
            await started.wait()
        yield Running(settings, said[0], stop, done)
        stop.set()
        with anyio.fail_after(PATIENCE_S):
            await done.wait()


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Running, None]:
    """One for all tests that do not end it; each has node names of its own."""
    async with manager(tmp_path_factory.mktemp("manager") / "data") as running:
        yield running


def now() -> float:
    return datetime.now(timezone.utc).timestamp()


def keep(path: Path, key: Any, *certificates: str) -> Path:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    path.write_text(pem + "".join(certificates))
    return path


def envelope(fqdn: str = NAME) -> bytes:
    message = SessionCreateRequest(fqdn=fqdn, plugin="network")
    return Envelope(messages=(message,), server_boot_time="b", client_start_time="i").to_bytes()


QUERY = {"client_start_time": "i", "server_boot_time": "b"}


# An agent's life


async def test_an_enrolled_node_gets_its_session(running: Running) -> None:
    identity = await running.enrol("oss2")
    async with running.client(identity) as client:
        posted = await client.post(MESSAGE_PATH, content=envelope("oss2"))
        answer = await client.get(MESSAGE_PATH, params=QUERY)
    assert (posted.status_code, answer.status_code) == (202, 200)
    (message,) = parse_manager_messages(answer.content).messages
    assert message.type == "SESSION_CREATE_RESPONSE"


async def test_the_handshake_alone_says_who_speaks(running: Running) -> None:
    await running.enrol("mgs1.example.com")
    identity = await running.enrol("oss3")
    forged = {"X-SSL-Client-On": "SUCCESS", "X-SSL-Client-Name": "mgs1.example.com"}
    async with running.client(headers=forged) as stranger, running.client(identity) as node:
        without = await stranger.get(MESSAGE_PATH, params=QUERY)
        other = await node.post(MESSAGE_PATH, content=envelope("mgs1.example.com"), headers=forged)
    assert (without.status_code, other.status_code) == (401, 403)


async def test_operators_come_in_by_the_same_port_and_nodes_are_no_operators(
    running: Running,
) -> None:
    identity = await running.enrol("oss4")
    admin = await running.user()
    async with running.client() as operator, running.client(identity) as node:
        nodes = await operator.get("/api/v1/nodes", headers=admin)
        refused = await node.get("/api/v1/nodes")
        nowhere = await operator.get("/nowhere", headers=admin)
    assert "oss4" in [one["fqdn"] for one in nodes.json()["items"]]
    assert (refused.status_code, nowhere.status_code) == (401, 404)


async def test_a_removed_nodes_hanging_request_ends_and_the_next_is_refused(
    running: Running,
) -> None:
    identity, admin = await running.enrol(), await running.user()
    ended: list[httpx.Response] = []

    async def hang() -> None:
        ended.append(await poll_until_refused(running, identity))

    async with running.client(identity) as client, anyio.create_task_group() as tasks:
        await client.post(MESSAGE_PATH, content=envelope())
        tasks.start_soon(hang)
        await seen_hanging(running, admin)
        async with open_store(running.settings.store_url) as store:
            await store.remove_node(NAME, at=now(), reason="scrapped", audit=NOTE)
        while not ended:
            await anyio.sleep(0.01)
        again = await client.get(MESSAGE_PATH, params=QUERY)
    assert (ended[0].status_code, again.status_code) == (403, 403)
    assert "revoked" in again.text


async def poll_until_refused(running: Running, identity: Path) -> httpx.Response:
    """Hang, and come back as often as one is answered."""
    async with running.client(identity) as client:
        while True:
            response = await client.get(MESSAGE_PATH, params=QUERY)
            if response.status_code != 200:
                return response


async def seen_hanging(running: Running, admin: dict[str, str]) -> None:
    """Wait until a node has a GET that hangs: it comes back when it is pinged."""
    async with running.client(headers=admin) as client:
        while True:
            answer = await client.post("/api/v1/ping", json={"nodes": NAME, "timeout_s": 20.0})
            if answer.json()["results"][0]["alive"]:
                return


# Certificates that are refused


def forged(
    running: Running, *, key: Any = None, issuer_key: Any = None, issuer: x509.Name | None = None,
    usage: Any = ExtendedKeyUsageOID.CLIENT_AUTH, begins: int = -1, ends: int = 1,
) -> Path:  # fmt: skip
    """Return a node's identity, signed by the manager's authority where nothing else is said."""
    authority = running.authority
    key = key or ec_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    today = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today + timedelta(days=begins))
        .not_valid_after(today + timedelta(days=ends))
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        .sign(issuer_key or authority.key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return keep(running.settings.data_dir / "forged.pem", key, pem)


def self_signed(running: Running) -> Path:
    key = ec_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    return forged(running, key=key, issuer_key=key, issuer=name)


def other_authority(running: Running) -> Path:
    other = open_authority(running.settings.data_dir / "other", now=now())
    return forged(running, issuer_key=other.key, issuer=other.certificate.subject)


def same_name_other_key(running: Running) -> Path:
    return forged(running, issuer_key=ec_key())


def issued_by_a_node(running: Running) -> Path:
    node_key, path = ec_key(), running.settings.data_dir / "chain.pem"
    node = running.authority.issue_node("evil", node_key.public_key(), now=now())
    subject = x509.load_pem_x509_certificate(node.pem.encode()).subject
    path.write_text(forged(running, issuer_key=node_key, issuer=subject).read_text() + node.pem)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (other_authority, "not of this manager's authority"),
        (self_signed, "not of this manager's authority"),
        (same_name_other_key, "not of this manager's authority|signature failure"),
        (issued_by_a_node, "invalid CA certificate|not of this manager's authority"),
        (partial(forged, begins=-9, ends=-1), "certificate has expired"),
        (partial(forged, begins=1, ends=9), "certificate is not yet valid"),
        (partial(forged, usage=ExtendedKeyUsageOID.SERVER_AUTH), "purpose"),
    ],
    ids=["other CA", "self-signed", "same CA name", "node as CA", "expired", "early", "server's"],
)
async def test_a_bad_certificate_is_refused_and_both_sides_know_why(
    running: Running,
    make: Callable[[Running], Path],
    says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running.client(make(running)) as client:
        with pytest.raises((httpx.TransportError, ssl.SSLError)) as refused:
            await client.get(MESSAGE_PATH, params=QUERY)
    assert "alert" in str(refused.value).lower()
    (line,) = [one.getMessage() for one in caplog.records if "handshake refused" in one.msg]
    assert "address=127.0.0.1:" in line
    assert line.partition("reason=")[2] != ""
    assert any(part in line for part in says.split("|")), line


async def test_no_certificate_is_enough_to_enrol_and_for_nothing_else(running: Running) -> None:
    async with running.client() as client:
        told = await client.get(MESSAGE_PATH, params=QUERY)
        posted = await client.post(MESSAGE_PATH, content=envelope())
        renewed = await client.post("/renew/", json={"csr": csr()})
    assert [told.status_code, posted.status_code, renewed.status_code] == [401, 401, 401]
    assert "certificate" in told.text


async def test_plain_http_is_named_in_the_log(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(running.ready.url.replace("https", "http"))
    assert "plain HTTP on the TLS port" in caplog.text


async def test_a_client_that_just_goes_away_is_no_warning(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "emf_manager.server.secured")
    async with await anyio.connect_tcp("127.0.0.1", running.ready.port) as stream:
        await stream.send(b"\x16\x03\x01")
    with anyio.fail_after(PATIENCE_S):
        while "handshake refused" not in caplog.text:
            await anyio.sleep(0.01)
    levels = {one.levelname for one in caplog.records if "handshake refused" in one.msg}
    assert levels <= {"DEBUG", "WARNING"}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConnectionResetError("reset"), None),
        (asyncio.TimeoutError(), "longer than 20 s"),
        (ConnectionAbortedError("SSL handshake is taking longer than 20 seconds"), "longer"),
        (ssl.SSLError(1, "no shared cipher"), "no shared cipher"),
    ],
    ids=["reset", "timeout", "asyncio's timeout", "cipher"],
)
async def test_a_failed_handshake_is_explained(error: Exception, says: str | None) -> None:
    explained = explain_handshake(error)
    assert explained is None if says is None else says in str(explained)


# The connection


async def test_what_follows_the_handshake_at_once_is_not_lost(running: Running) -> None:
    for _ in range(20):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.ready.port, ssl=running.context()
        )
        writer.write(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.transport.abort()


async def test_the_chain_shows_the_authority_to_be_pinned(running: Running) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.ready.port, ssl=running.context()
    )
    secured_by = writer.get_extra_info("ssl_object")
    inner = getattr(secured_by, "_sslobj", secured_by)
    shown = {
        hashlib.sha256(ssl.PEM_cert_to_DER_cert(one.public_bytes())).hexdigest()
        for one in inner.get_unverified_chain()
    }
    assert running.ready.authority_sha256 in shown
    assert secured_by.version() == "TLSv1.3"
    assert reader._transport._ssl_protocol.max_size == secured.READ_BUFFER  # type: ignore[attr-defined]
    writer.transport.abort()


async def test_a_head_without_end_is_cut_off(running: Running) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.ready.port, ssl=running.context()
    )
    writer.write(b"GET /api/v1/health HTTP/1.1\r\nx: ")
    answered = asyncio.ensure_future(reader.readline())
    with anyio.fail_after(PATIENCE_S):
        while not answered.done():
            writer.write(b"x" * 4096)
            await asyncio.sleep(0)
    assert b" 431 " in answered.result()
    writer.transport.abort()


async def test_large_bodies_and_many_requests_are_not_mistaken_for_a_head(
    running: Running,
) -> None:
    async with running.client() as client:
        for _ in range(3):
            response = await client.post("/enrol/", content=b"x" * 60_000)
            assert response.status_code == 400
        answers = [await client.get("/api/v1/health") for _ in range(40)]
    assert {answer.status_code for answer in answers} == {200}


async def test_a_connection_that_asks_for_nothing_is_closed() -> None:
    class Transport:
        closed = anyio.Event()

        def close(self) -> None:
            self.closed.set()

    transport: Any = Transport()
    FirstRequest(transport, after_s=0.01)
    with anyio.fail_after(PATIENCE_S):
        await transport.closed.wait()


async def test_the_context_resumes_nothing_and_takes_no_old_tls(running: Running) -> None:
    context = ServerContext(authority_pem=running.authority.pem)
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_OPTIONAL


async def test_a_trusted_proxy_speaks_for_a_node_until_the_node_is_revoked(tmp_path: Path) -> None:
    async with manager(tmp_path / "data", trusted_proxies=("127.0.0.1",)) as running:
        identity = await running.enrol("oss9")
        passed = {"Client-Cert": byte_sequence(identity)}
        async with running.client() as proxy:
            without = await proxy.get(MESSAGE_PATH, params=QUERY)
            posted = await proxy.post(MESSAGE_PATH, content=envelope("oss9"), headers=passed)
            for_another = await proxy.post(MESSAGE_PATH, content=envelope("x"), headers=passed)
            async with open_store(running.settings.store_url) as store:
                await store.revoke_node("oss9", at=now(), reason="stolen", audit=NOTE)
            with anyio.fail_after(PATIENCE_S):
                while posted.status_code != 403:
                    posted = await proxy.post(
                        MESSAGE_PATH, content=envelope("oss9"), headers=passed
                    )
    assert (without.status_code, for_another.status_code) == (401, 403)
    assert "revoked" in posted.text


async def test_nobody_is_a_proxy_where_none_is_named(running: Running) -> None:
    identity = await running.enrol("oss10")
    async with running.client(headers={"Client-Cert": byte_sequence(identity)}) as client:
        answer = await client.get(MESSAGE_PATH, params=QUERY)
    assert answer.status_code == 401


def byte_sequence(identity: Path) -> str:
    certificate = x509.load_pem_x509_certificate(identity.read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)
    return f":{base64.b64encode(der).decode()}:"


# Beginning and end


async def test_everything_that_hangs_ends_when_it_is_told_to_stop(tmp_path: Path) -> None:
    ended: list[str] = []
    async with manager(tmp_path / "data") as running, anyio.create_task_group() as tasks:
        identity, admin = await running.enrol(), await running.user()
        async with running.client(identity) as client:
            await client.post(MESSAGE_PATH, content=envelope())

        async def hang() -> None:
            with suppress(httpx.TransportError):
                await poll_until_refused(running, identity)
            ended.append("poll")

        async def listen(is_open: anyio.Event) -> None:
            async with (
                running.client() as client,
                client.stream("GET", "/api/v1/events/stream", headers=admin) as response,
            ):
                is_open.set()
                async for _ in response.aiter_bytes():
                    pass
                ended.append("stream")

        listening_now = anyio.Event()
        tasks.start_soon(hang)
        tasks.start_soon(listen, listening_now)
        await listening_now.wait()
        await seen_hanging(running, admin)
        running.stop.set()
        await running.done.wait()
    assert sorted(ended) == ["poll", "stream"]
    assert not running.settings.url_file.exists()


async def test_a_restart_keeps_nodes_authority_and_address_file(tmp_path: Path) -> None:
    async with manager(tmp_path / "data") as first:
        identity = await first.enrol()
        assert first.settings.url_file.read_text().strip() == first.ready.url
    async with manager(tmp_path / "data") as second:
        assert second.ready.authority_sha256 == first.ready.authority_sha256
        async with second.client(identity) as client:
            assert (await client.post(MESSAGE_PATH, content=envelope())).status_code == 202


async def test_one_data_directory_has_one_server(running: Running) -> None:
    with pytest.raises(ConfigurationError, match="another emf-manager serves it already"):
        await serve(running.settings, stop=anyio.Event(), on_ready=lambda _: None)


async def test_a_taken_address_is_named(running: Running, tmp_path: Path) -> None:
    taken = Settings(tmp_path / "other", Listen("127.0.0.1", running.ready.port))
    with pytest.raises(ConfigurationError, match=r"cannot listen at 127\.0\.0\.1:.*in use"):
        await serve(taken, stop=anyio.Event(), on_ready=lambda _: None)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen at"), listening(Listen(host, 0)):
        pass


@pytest.mark.parametrize("host", ["::", "0.0.0.0", "127.0.0.1", "localhost"])
def test_every_kind_of_address_can_be_listened_at(host: str) -> None:
    with listening(Listen(host, 0)) as sock:
        assert sock.getsockname()[1] > 0
        assert sock.proto == socket.IPPROTO_TCP  # what asyncio looks at to send without delay


def test_a_directory_others_may_write_in_is_refused(tmp_path: Path) -> None:
    from emf_manager.server.data_dir import prepare_data_dir

    tmp_path.chmod(0o777)
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        prepare_data_dir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="--data-dir"):
        prepare_data_dir(tmp_path / "file" / "data")


# The server's certificate


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return open_authority(tmp_path_factory.mktemp("data") / "authority", now=now())


def test_a_certificate_is_kept_while_it_does(tmp_path: Path, authority: Authority) -> None:
    folder, day = tmp_path / "server", 86400.0
    first = open_server_certificate(folder, authority, ["a", "b"], now=now())
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert open_server_certificate(folder, authority, ["a"], now=now()) == first
    assert open_server_certificate(folder, authority, ["a"], now=now() + 50 * day) == first
    wider = open_server_certificate(folder, authority, ["a", "c"], now=now())
    assert wider.names == {"a", "c"}
    renewed = open_server_certificate(folder, authority, ["a"], now=now() + 70 * day)
    assert renewed.not_after > wider.not_after


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_a_damaged_certificate_is_made_anew(
    tmp_path: Path, authority: Authority, content: str
) -> None:
    folder = tmp_path / "server"
    open_server_certificate(folder, authority, ["a"], now=now())
    (folder / "server.pem").write_text(content)
    again = open_server_certificate(folder, authority, ["a"], now=now())
    ServerContext(authority_pem=authority.pem).load_cert_chain(again.path)


def test_another_authoritys_certificate_is_made_anew(tmp_path: Path, authority: Authority) -> None:
    other = open_authority(tmp_path / "other", now=now())
    open_server_certificate(tmp_path / "server", other, ["a"], now=now())
    again = open_server_certificate(tmp_path / "server", authority, ["a"], now=now())
    certificate = x509.load_pem_x509_certificate(again.path.read_bytes())
    certificate.verify_directly_issued_by(authority.certificate)
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


def test_a_name_that_is_none_is_refused(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(ConfigurationError, match="names of the server"):
        open_server_certificate(tmp_path / "server", authority, ["ä.example"], now=now())


def test_names_are_those_clients_use() -> None:
    assert set(server_names(Listen("192.0.2.5", 1), ["vip.example.com"])) == {
        "localhost", "127.0.0.1", "::1", "192.0.2.5", "vip.example.com"
    }  # fmt: skip
    assert {"localhost", "127.0.0.1", "::1"} < set(server_names(Listen("::", 1)))
