"""Chunks over HTTPS, against a real server with real certificates."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc
import h11
import pytest
import trustme
from anyio.streams.tls import TLSListener

from emf_agent.errors import ConfigurationError, ManagerRefusedError, ManagerUnreachableError
from emf_plugins_lustre.mailboxes.connection import ManagerConnection
from emf_plugins_lustre.mailboxes.http_sender import open_sender
from emf_plugins_lustre.mailboxes.sender import (
    Address,
    Chunk,
    ChunkTooLargeError,
    Receipt,
    UnknownMailboxError,
)
from tests.lustre.real_time import anyio_backend

__all__ = ["anyio_backend"]

CHUNK = Chunk("s1", 7, (b'{ "fid": "[0x1:0x2:0x0]" }', b"{}"))
V2 = {"EMF-Protocol": "2"}


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Server:
    """Answers every POST with what it is told; counts connections."""

    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hangs_up: bool = False
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def serve(self, stream: anyio.abc.ByteStream) -> None:
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        async with stream:
            while await self._one(connection, stream, self.connections):
                connection.start_next_cycle()

    async def _one(
        self, connection: h11.Connection, stream: anyio.abc.ByteStream, number: int
    ) -> bool:
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                try:
                    connection.receive_data(await stream.receive())
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return False
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        if self.hangs_up:
            return False
        named = {name.decode(): value.decode() for name, value in request.headers}
        self.requests.append(Request(request.target.decode(), named, body, number))
        headers = [*self.headers.items(), ("content-length", str(len(self.body)))]
        answer = h11.Response(status_code=self.status, headers=headers)
        for event in (answer, h11.Data(data=self.body), h11.EndOfMessage()):
            await stream.send(connection.send(event) or b"")
        return connection.our_state is h11.DONE


@dataclass
class Identity:
    """A certificate authority with a manager and an agent."""

    folder: Path

    def __post_init__(self) -> None:
        self.authority = trustme.CA()
        self.manager = self.authority.issue_cert("localhost")
        self.authority.cert_pem.write_to_path(str(self.folder / "ca.crt"))
        agent = self.authority.issue_cert("oss1")
        agent.private_key_pem.write_to_path(str(self.folder / "agent.key"))
        agent.cert_chain_pems[0].write_to_path(str(self.folder / "agent.crt"))

    def connection(self, port: int) -> ManagerConnection:
        return ManagerConnection(
            url=f"https://localhost:{port}",
            key=self.folder / "agent.key",
            certificate=self.folder / "agent.crt",
            authority=self.folder / "ca.crt",
        )

    def server_tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.manager.configure_cert(context)
        self.authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return Identity(tmp_path_factory.mktemp("identity"))


@asynccontextmanager
async def running(server: Server, tls: ssl.SSLContext) -> AsyncIterator[Server]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", family=socket.AF_INET)
    server.port = listener.extra(anyio.abc.SocketAttribute.local_port)
    secure = TLSListener(listener, tls, standard_compatible=False)
    trouble: Exception | None = None
    async with secure, anyio.create_task_group() as tasks:
        tasks.start_soon(secure.serve, server.serve)
        try:
            yield server
        except Exception as error:  # noqa: BLE001 - raised below, outside the task group
            trouble = error
        tasks.cancel_scope.cancel()
    if trouble is not None:
        raise trouble


async def sent(server: Server, identity: Identity, chunk: Chunk = CHUNK) -> Receipt:
    async with (
        running(server, identity.server_tls()),
        open_sender(identity.connection(server.port)) as sender,
    ):
        return await sender.send(Address("mailbox", "mb1"), chunk)


@pytest.mark.anyio
async def test_an_older_manager_gets_the_ancestors_request(identity: Identity) -> None:
    server = Server()
    assert await sent(server, identity) == Receipt(9, resumable=False)
    (request,) = server.requests
    assert request.path == "/mailbox/"
    assert request.headers["mailbox-message-name"] == "mb1"
    assert request.body == b'{ "fid": "[0x1:0x2:0x0]" }\n{}\n'


@pytest.mark.anyio
async def test_the_chunk_says_its_stream_and_its_offset(identity: Identity) -> None:
    server = Server(headers=V2, body=b'{"next_offset": 9, "rejected": 1, "more": true}')
    last = Chunk(CHUNK.stream_id, CHUNK.offset, CHUNK.lines, last=True)
    assert await sent(server, identity, last) == Receipt(9, rejected=1)
    headers = server.requests[0].headers
    assert headers["emf-protocol"] == "2"
    assert headers["mailbox-stream"] == "s1"
    assert headers["mailbox-offset"] == "7"
    assert headers["mailbox-end"] == "1"


@pytest.mark.anyio
async def test_a_conflict_tells_where_to_go_on(identity: Identity) -> None:
    server = Server(status=409, headers=V2, body=b'{"next_offset": 3}')
    assert await sent(server, identity) == Receipt(3)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("server", "error", "text"),
    [
        pytest.param(
            lambda: Server(status=404), UnknownMailboxError, "no mailbox mb1", id="unknown"
        ),
        pytest.param(
            lambda: Server(status=413), ChunkTooLargeError, "takes no 2 lines", id="large"
        ),
        pytest.param(
            lambda: Server(status=503, body=b"full"),
            ManagerUnreachableError,
            "status 503: full",
            id="later",
        ),
        pytest.param(lambda: Server(status=429), ManagerUnreachableError, "429", id="too many"),
        pytest.param(
            lambda: Server(status=403, body=b"not yours"),
            ManagerRefusedError,
            "status 403: not yours",
            id="refused",
        ),
        pytest.param(lambda: Server(status=200), ManagerRefusedError, "200", id="not created"),
        pytest.param(lambda: Server(status=409), ManagerRefusedError, "409", id="old conflict"),
        pytest.param(
            lambda: Server(headers=V2, body=b'{"next_offset": -1}'),
            ManagerRefusedError,
            "without next_offset",
            id="bad answer",
        ),
        pytest.param(
            lambda: Server(headers=V2, body=b"thanks"),
            ManagerRefusedError,
            "without next_offset",
            id="no json",
        ),
        pytest.param(
            lambda: Server(hangs_up=True), ManagerUnreachableError, "mailbox", id="hangs up"
        ),
    ],
)
async def test_an_answer_becomes_an_error(
    identity: Identity, server: Callable[[], Server], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        await sent(server(), identity)


@pytest.mark.anyio
async def test_chunks_share_one_connection(identity: Identity) -> None:
    server = Server()
    async with (
        running(server, identity.server_tls()),
        open_sender(identity.connection(server.port)) as sender,
    ):
        for name in ("mb1", "mb2", "mb1"):
            await sender.send(Address("mailbox", name), CHUNK)
        await sender.send(Address("report", "r1.txt"), CHUNK)
    assert server.connections == 1
    assert server.requests[-1].path == "/report/"
    assert server.requests[-1].headers["report-message-name"] == "r1.txt"


@pytest.mark.anyio
async def test_a_manager_of_another_authority_is_not_spoken_to(
    identity: Identity, tmp_path: Path
) -> None:
    server = Server()
    stranger = Identity(tmp_path)
    with pytest.raises(ManagerUnreachableError, match=r"(?i)certificate"):
        async with (
            running(server, identity.server_tls()),
            open_sender(stranger.connection(server.port)) as sender,
        ):
            await sender.send(Address("mailbox", "mb1"), CHUNK)
    assert server.requests == []


@pytest.mark.anyio
async def test_nobody_there_is_unreachable(identity: Identity) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with open_sender(identity.connection(unused.getsockname()[1])) as sender:
            with pytest.raises(ManagerUnreachableError):
                await sender.send(Address("mailbox", "mb1"), CHUNK)


@pytest.mark.anyio
async def test_no_address_says_which_setting_is_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"manager\.url: no address for lines"):
        async with open_sender(ManagerConnection(url=None)):
            pass


@pytest.mark.anyio
async def test_a_missing_key_is_named(identity: Identity, tmp_path: Path) -> None:
    connection = identity.connection(1).model_copy(update={"key": tmp_path / "none.key"})
    with pytest.raises(ConfigurationError, match=r"none\.key"):
        async with open_sender(connection):
            pass


@pytest.mark.parametrize(
    "url",
    ["http://manager.example", "http://127.0.0.1", "manager.example", "https://", "https://a:b@c"],
)
def test_an_address_without_encryption_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be an address|must come without"):
        ManagerConnection(url=url)


def test_the_ancestors_variables_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IML_MANAGER_URL", "https://manager.example/")
    monkeypatch.setenv("PRIVATE_PEM_PATH", "/a/key")
    assert ManagerConnection().url == "https://manager.example"
    assert ManagerConnection().key == Path("/a/key")
