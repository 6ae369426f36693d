"""A node behind a proxy: who may say so, and what is verified of what they say (R8)."""

from __future__ import annotations

import base64
import logging
import time
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from emf_agent.errors import UsageError
from emf_manager.identity.authorities import Authorities
from emf_manager.identity.authority import Authority, open_authority
from emf_manager.identity.forwarded import ForwardedError, forwarded_peer
from emf_manager.identity.peer import Peer, attach_peer, peer_of
from emf_manager.server.trusted_proxy import BehindProxies, parse_networks
from tests.certificates import SERVER, Certified, certified, new_authority
from tests.manager.identity_kit import ec_key

NAME = "oss1.example"
DAY = timedelta(days=1)
PROXY, OTHER = "192.0.2.7", "192.0.2.8"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return open_authority(tmp_path_factory.mktemp("data") / "authority", now=time.time())


def header(certificate: x509.Certificate, name: bytes = b"client-cert") -> tuple[bytes, bytes]:
    if name == b"client-cert":
        der = certificate.public_bytes(serialization.Encoding.DER)
        return name, b":" + base64.b64encode(der) + b":"
    return name, quote(certificate.public_bytes(serialization.Encoding.PEM)).encode()


def of_node(authority: Authority) -> x509.Certificate:
    made = authority.issue_node(NAME, ec_key().public_key(), now=time.time())
    return x509.load_pem_x509_certificate(made.pem.encode())


@pytest.mark.parametrize("name", [b"client-cert", b"x-ssl-client-cert"])
def test_a_nodes_certificate_says_who_it_is(authority: Authority, name: bytes) -> None:
    certificate = of_node(authority)

    peer = forwarded_peer([header(certificate, name)], Authorities(authority), now=time.time())

    assert peer is not None
    assert (peer.fqdn, peer.serial) == (NAME, f"{certificate.serial_number:X}")
    assert peer.authority == authority.name


def test_without_a_certificate_it_is_nobody(authority: Authority) -> None:
    empty = [(b"client-cert", b""), (b"x-forwarded-for", b"1.2.3.4")]

    assert forwarded_peer(empty, Authorities(authority), now=time.time()) is None


def ours(authority: Authority, **more: Any) -> x509.Certificate:
    return certified(Certified(authority.key, authority.certificate), NAME, **more).certificate


HOSTILE = {
    "self-signed": (lambda _: certified(None, NAME).certificate, "not of this manager's"),
    "another authority": (
        lambda _: certified(new_authority("other"), NAME).certificate,
        "not of this manager's",
    ),
    "our authority's name": (
        lambda a: certified(new_authority(a.name), NAME).certificate,
        "forged",
    ),
    "expired": (lambda a: ours(a, since=-9 * DAY, until=-DAY), "has expired"),
    "not valid yet": (lambda a: ours(a, since=DAY, until=9 * DAY), "not valid yet"),
    "a server's": (lambda a: ours(a, usage=[SERVER]), "not a client's"),
    "another name": (lambda a: ours(a, names=[x509.DNSName("mgs")]), "names no node"),
    "no name": (lambda a: ours(a, names=[]), "no certificate of a node"),
    "any usage": (lambda a: ours(a, usage=()), "no certificate of a node"),
    "the authority itself": (lambda a: a.certificate, "no certificate of a node"),
}


@pytest.mark.parametrize(("make", "says"), HOSTILE.values(), ids=HOSTILE)
def test_what_a_proxy_took_for_good_is_looked_at_again(
    authority: Authority, make: Any, says: str
) -> None:
    with pytest.raises(ForwardedError, match=says):
        forwarded_peer([header(make(authority))], Authorities(authority), now=time.time())


def test_two_certificates_are_none(authority: Authority) -> None:
    both = [header(of_node(authority)), header(of_node(authority), b"x-ssl-client-cert")]

    with pytest.raises(ForwardedError, match="more than one"):
        forwarded_peer(both, Authorities(authority), now=time.time())


@given(value=st.binary(max_size=200), coded=st.booleans())
def test_no_bytes_do_more_than_be_refused(
    authority: Authority, value: bytes, *, coded: bool
) -> None:
    said = b":" + base64.b64encode(value) + b":" if coded else value
    for name in (b"client-cert", b"x-ssl-client-cert"):
        try:
            assert forwarded_peer([(name, said)], Authorities(authority), now=0.0) is None
        except ForwardedError:
            continue


# From whom


class Seen:
    """The application behind: remembers who came."""

    def __init__(self) -> None:
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope


async def came(
    authority: Authority,
    address: str,
    *headers: tuple[bytes, bytes],
    own: Peer | None = None,
    proxies: tuple[str, ...] = (PROXY,),
) -> Scope:
    seen = Seen()
    app = BehindProxies(seen, parse_networks(proxies), lambda: Authorities(authority))
    scope: Scope = {"type": "http", "client": (address, 4711), "headers": list(headers)}
    attach_peer(scope, own)
    await app(scope, None, None)  # type: ignore[arg-type]
    return seen.scope


@pytest.mark.anyio
async def test_a_trusted_proxy_speaks_for_a_node(authority: Authority) -> None:
    scope = await came(
        authority,
        f"::ffff:{PROXY}",
        header(of_node(authority)),
        (b"x-forwarded-for", b"9.9.9.9, 10.0.0.5"),
    )

    peer = peer_of(scope)
    assert peer is not None
    assert peer.fqdn == NAME
    assert scope["client"][0] == "10.0.0.5", "what the proxy itself added"
    assert [name for name, _ in scope["headers"]] == [b"x-forwarded-for"]


@pytest.mark.anyio
async def test_the_same_from_anybody_else_is_ignored_and_noted_once(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    one = header(of_node(authority))
    seen = Seen()
    app = BehindProxies(seen, parse_networks([PROXY]), lambda: Authorities(authority))
    for _ in range(3):
        scope: Scope = {
            "type": "http",
            "client": (OTHER, 1),
            "headers": [one, (b"x-forwarded-for", b"10.0.0.5")],
        }
        await app(scope, None, None)  # type: ignore[arg-type]

    assert peer_of(seen.scope) is None
    assert seen.scope["client"][0] == OTHER
    assert [name for name, _ in seen.scope["headers"]] == [b"x-forwarded-for"]
    noted = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert noted == [f"a certificate in a header from no trusted proxy is ignored address={OTHER}"]


@pytest.mark.anyio
async def test_a_node_that_shows_its_own_certificate_is_itself(authority: Authority) -> None:
    own = Peer("mds1", "AA", time.time() + 60)

    for address in (PROXY, OTHER):
        scope = await came(authority, address, header(of_node(authority)), own=own)
        assert peer_of(scope) == own


@pytest.mark.anyio
async def test_a_forged_one_is_nobody_and_the_log_says_why(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    scope = await came(authority, PROXY, header(certified(None, NAME).certificate))

    assert peer_of(scope) is None
    assert "not of this manager's authority" in caplog.text


@pytest.mark.parametrize("text", ["", "proxy", "0.0.0.0/0", "::/0", "192.0.2.7/28", "1.2.3"])
def test_what_is_no_address_of_a_proxy_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_networks([text])


def test_a_network_of_proxies_may_be_named() -> None:
    assert [str(one) for one in parse_networks(["192.0.2.0/28", "2001:db8::7"])] == [
        "192.0.2.0/28",
        "2001:db8::7/128",
    ]
