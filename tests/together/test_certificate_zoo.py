"""Every certificate that must not pass, in both directions, over real TLS (requirement R7)."""

from __future__ import annotations

import ast
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from emf_agent.errors import ManagerUnreachableError
from emf_agent.tls import client_context
from emf_agent.transport import PollQuery, open_transport
from emf_manager.identity.peer import Peer, peer_of_certificate
from emf_manager.server.secured import ServerContext
from tests.certificates import CLIENT, SERVER, Certified, certified, new_authority, weak_key

NODE = "oss1.example"
HERE = x509.IPAddress(ip_address("127.0.0.1"))
DAY = timedelta(days=1)
WITHIN_S = 60.0
SOURCES = Path(__file__).parents[2] / "packages"


@dataclass(frozen=True)
class Zoo:
    """An authority that is trusted, and how to be somebody with it or without it."""

    authority: Certified = field(default_factory=new_authority)

    def good(self, name: str, **more: Any) -> Certified:
        return certified(self.authority, name, **more)

    def self_signed(self, name: str, **more: Any) -> Certified:
        return certified(None, name, **more)

    def other_authority(self, name: str, **more: Any) -> Certified:
        return certified(new_authority("another authority"), name, **more)

    def same_name_other_key(self, name: str, **more: Any) -> Certified:
        return certified(new_authority(), name, **more)

    def expired(self, name: str, **more: Any) -> Certified:
        return self.good(name, since=-9 * DAY, until=-DAY, **more)

    def not_yet_valid(self, name: str, **more: Any) -> Certified:
        return self.good(name, since=DAY, until=9 * DAY, **more)

    def wrong_name(self, name: str, **more: Any) -> Certified:
        return self.good(name, **{**more, "names": [x509.DNSName("mgs.example")]})

    def common_name_only(self, name: str, **more: Any) -> Certified:
        return self.good(name, **{**more, "names": []})

    def other_usage(self, name: str, **more: Any) -> Certified:
        other = CLIENT if SERVER in more["usage"] else SERVER
        return self.good(name, **{**more, "usage": [other]})

    def leaf_as_authority(self, name: str, **more: Any) -> Certified:
        between = certified(self.authority, "between", usage=[CLIENT, SERVER])
        return certified(between, name, above=(between.certificate,), **more)

    def authority_without_the_bit(self, name: str, **more: Any) -> Certified:
        between = certified(self.authority, "between", ca=None, usage=())
        return certified(between, name, above=(between.certificate,), **more)

    def weak_key(self, name: str, **more: Any) -> Certified:
        return self.good(name, key=weak_key(), **more)


ANIMALS = (
    Zoo.self_signed,
    Zoo.other_authority,
    Zoo.same_name_other_key,
    Zoo.expired,
    Zoo.not_yet_valid,
    Zoo.wrong_name,
    Zoo.common_name_only,
    Zoo.other_usage,
    Zoo.leaf_as_authority,
    Zoo.authority_without_the_bit,
    Zoo.weak_key,
)
named = pytest.mark.parametrize("animal", ANIMALS, ids=lambda one: one.__name__)
Animal = Callable[..., Certified]


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo()


@dataclass
class Listener:
    """A TLS server: what its handshakes came to, and what it was sent."""

    port: int
    peers: list[Peer | None] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    received: bytes = b""
    done: threading.Event = field(default_factory=threading.Event)


@contextmanager
def listening(context: ssl.SSLContext) -> Generator[Listener]:
    """Take one connection, answer nothing, and remember."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WITHIN_S)
        listener = Listener(server.getsockname()[1])

        def take() -> None:
            try:
                plain, _ = server.accept()
                with plain:
                    plain.settimeout(WITHIN_S)
                    with context.wrap_socket(plain, server_side=True) as secured:
                        listener.peers.append(peer_of_certificate(secured.getpeercert()))
                        listener.received = secured.recv(1)
            except OSError as error:
                listener.faults.append(str(error))
            finally:
                listener.done.set()

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield listener
        assert listener.done.wait(WITHIN_S)


def kept(folder: Path, one: Certified) -> tuple[Path, Path]:
    certificate, key = folder / "one.crt", folder / "one.key"
    certificate.write_text(one.chain_pem)
    key.write_text(one.key_pem)
    return certificate, key


def as_client(zoo: Zoo, folder: Path, one: Certified) -> ssl.SSLContext:
    authority = folder / "ca.crt"
    authority.write_text(zoo.authority.pem)
    return client_context(authority, *kept(folder, one))


def lax_client(zoo: Zoo, folder: Path, one: Certified) -> ssl.SSLContext:
    """Return a client that shows whatever it has: an attacker's OpenSSL is not ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_verify_locations(cadata=zoo.authority.pem)
    context.load_cert_chain(*kept(folder, one))
    return context


def manager_for(zoo: Zoo, folder: Path) -> ServerContext:
    context = ServerContext(authority_pem=zoo.authority.pem)
    own = zoo.good("manager", names=[HERE], usage=[SERVER])
    (folder / "manager.pem").write_text(own.key_pem + own.pem)
    context.load_cert_chain(folder / "manager.pem")
    return context


def knock(port: int, context: ssl.SSLContext) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(b"x")
        secured.recv(1)


def admitted(zoo: Zoo, folder: Path, one: Certified) -> Peer | None:
    """Return who a manager takes somebody for; None where it takes them for nobody."""
    with listening(manager_for(zoo, folder)) as manager, suppress(OSError):
        knock(manager.port, lax_client(zoo, folder, one))
    return manager.peers[0] if manager.peers else None


def test_a_manager_takes_a_good_certificate(zoo: Zoo, tmp_path: Path) -> None:
    peer = admitted(zoo, tmp_path, zoo.good(NODE))

    assert peer is not None
    assert peer.fqdn == NODE


@named
def test_a_manager_takes_nobody_else_for_a_node(zoo: Zoo, tmp_path: Path, animal: Animal) -> None:
    assert admitted(zoo, tmp_path, animal(zoo, NODE, usage=[CLIENT])) is None


def test_a_manager_takes_no_signature_by_sha1(zoo: Zoo, tmp_path: Path) -> None:
    assert admitted(zoo, tmp_path, signed_with_sha1(zoo, tmp_path, NODE, "clientAuth")) is None


def lax_server(folder: Path, one: Certified) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    server = folder / "server"
    server.mkdir()
    context.load_cert_chain(*kept(server, one))
    return context


async def polled(zoo: Zoo, folder: Path, port: int) -> None:
    context = as_client(zoo, folder, zoo.good(NODE))
    async with open_transport(f"https://127.0.0.1:{port}", context) as transport:
        await transport.poll(PollQuery("boot", "start"), timeout_s=WITHIN_S)


@named
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_agent_sends_nothing_to_any_other_manager(
    zoo: Zoo, tmp_path: Path, animal: Animal, backend: str
) -> None:
    hostile = animal(zoo, "manager", names=[HERE], usage=[SERVER])
    with (
        listening(lax_server(tmp_path, hostile)) as manager,
        pytest.raises(ManagerUnreachableError),
    ):
        anyio.run(polled, zoo, tmp_path, manager.port, backend=backend)

    assert manager.received == b""


def test_an_agent_takes_no_signature_by_sha1(zoo: Zoo, tmp_path: Path) -> None:
    hostile = signed_with_sha1(zoo, tmp_path, "manager", "serverAuth")
    with (
        listening(lax_server(tmp_path, hostile)) as manager,
        pytest.raises(ManagerUnreachableError),
    ):
        anyio.run(polled, zoo, tmp_path, manager.port)

    assert manager.received == b""


def test_an_agent_talks_to_a_good_manager(zoo: Zoo, tmp_path: Path) -> None:
    good = zoo.good("manager", names=[HERE], usage=[SERVER])
    with (
        listening(lax_server(tmp_path, good)) as manager,
        pytest.raises(ManagerUnreachableError),
    ):
        anyio.run(polled, zoo, tmp_path, manager.port)

    # The others heard nothing because they were not trusted, not because nobody speaks.
    assert manager.received == b"G"


def signed_with_sha1(zoo: Zoo, folder: Path, name: str, usage: str) -> Certified:
    """Return a certificate as our library refuses to make it; OpenSSL's program does."""
    (folder / "ca.key").write_text(zoo.authority.key_pem)
    (folder / "ca.pem").write_text(zoo.authority.pem)
    (folder / "extensions").write_text(
        f"subjectAltName=DNS:{name},IP:127.0.0.1\nextendedKeyUsage={usage}\n"
    )
    base = zoo.good(name)
    (folder / "leaf.key").write_text(base.key_pem)
    try:
        subprocess.run(
            ["openssl", "req", "-new", "-key", "leaf.key", "-subj", f"/CN={name}", "-out", "csr"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        subprocess.run(
            [
                *("openssl", "x509", "-req", "-sha1", "-in", "csr", "-out", "leaf.pem"),
                *("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
                *("-days", "9", "-extfile", "extensions"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no openssl that signs with SHA-1: {error}")
    made = x509.load_pem_x509_certificate((folder / "leaf.pem").read_bytes())
    assert "sha1" in made.signature_algorithm_oid._name.lower()
    return Certified(base.key, made)


def test_usages_are_what_the_zoo_says() -> None:
    assert {CLIENT, SERVER} == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}


# No off switch

OFF = {"CERT_NONE", "_create_unverified_context", "create_unverified_context"}


def switches(source: str) -> list[tuple[str, str]]:
    """Return what turns verification off in a source, each with the function it stands in."""
    found: list[tuple[str, str]] = []

    def visit(node: ast.AST, inside: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = node.name
        if isinstance(node, ast.Attribute) and node.attr in OFF:
            found.append((inside, node.attr))
        if isinstance(node, ast.Name | ast.alias) and getattr(node, "id", node_name(node)) in OFF:
            found.append((inside, node_name(node)))
        if isinstance(node, ast.keyword | ast.Assign) and is_false(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node]
            names = {str(getattr(one, "attr", getattr(one, "arg", ""))) for one in targets}
            found.extend((inside, name) for name in names & {"verify", "check_hostname", "ssl"})
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(source), "")
    return found


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def node_name(node: ast.AST) -> str:
    return str(getattr(node, "id", getattr(node, "name", "")))


@pytest.mark.parametrize(
    "source",
    [
        "def f(c): c.verify_mode = ssl.CERT_NONE",
        "def f(c): c.check_hostname = False",
        "def f(): httpx.get(u, verify=False)",
        "def f(): return ssl._create_unverified_context()",
        "from ssl import CERT_NONE",
    ],
)
def test_each_off_switch_is_recognised(source: str) -> None:
    assert switches(source)


def test_nothing_but_the_pinning_of_an_authority_turns_verification_off() -> None:
    found = {
        (path.name, function)
        for path in SOURCES.rglob("*.py")
        for function, _ in switches(path.read_text(encoding="utf-8"))
    }

    assert found == {("tls.py", "fetch_authority")}
