"""Foreign bytes where identity is decided: tokens, names, signing requests, certificates (R16)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emf_agent.errors import ConfigurationError, UsageError
from emf_agent.identity_files import certifies, new_key_request
from emf_agent.tls import certificate_facts, trusts
from emf_agent.wire import EnrolmentToken
from emf_manager.identity.peer import Peer, peer_of_certificate
from emf_manager.identity.requests import MAX_NAME, RequestError, node_name, public_key
from tests.certificates import certified, new_authority

REQUEST = new_key_request("oss1.example").csr
AUTHORITY = new_authority()
LEAF = certified(AUTHORITY, "oss1.example")
OTHER = certified(AUTHORITY, "oss1.example")
TEXT = st.text(max_size=300)
# What the library only warns of today is damage like any other here.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
few = settings(max_examples=60, deadline=None)


def damaged(pem: str) -> st.SearchStrategy[str]:
    """Return texts that were this one: a character changed, cut, doubled, or some bytes more."""
    place = st.integers(0, len(pem) - 1)
    one = st.characters(codec="ascii")
    return st.one_of(
        st.builds(lambda at, by: pem[:at] + by + pem[at + 1 :], place, one),
        st.builds(lambda at: pem[:at], place),
        st.builds(lambda a, b: pem[:a] + pem[b:], place, place),
        st.builds(lambda more: pem + more, TEXT),
    )


@given(TEXT | st.from_regex(r"emf1-[A-Za-z0-9_-]{40,46}-[0-9a-fA-F]{60,66}", fullmatch=True))
@example("emf1-" + "A" * 43 + "-" + "0" * 64)
@example("emf1-" + "A" * 10_000_000)
def test_a_token_is_read_or_refused_without_being_repeated(text: str) -> None:
    try:
        token = EnrolmentToken.parse(text)
    except UsageError as error:
        told = str(error)
        assert len(text) < 20 or text not in told
    else:
        assert token.text() == text.strip()
        assert token.secret not in repr(token)


@given(TEXT)
@example("A" * 1_000_000)
@example("a." * 40)
@example("xn--" + "\u0130" * 20)
def test_a_name_is_a_host_name_or_refused(text: str) -> None:
    try:
        name = node_name(text)
    except RequestError:
        return
    assert name.isascii()
    assert 0 < len(name) <= MAX_NAME
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-_.")


@few
@given(TEXT | damaged(REQUEST))
@example("x" * 100_000)
@example("-----BEGIN CERTIFICATE REQUEST-----\n" + "A" * 16_000)
@example("\ud800")
def test_a_signing_request_is_a_key_or_refused(text: str) -> None:
    with contextlib.suppress(RequestError):
        public_key(text)


@few
@given(TEXT | damaged(LEAF.pem))
def test_no_damage_makes_a_certificate_fit_another_key(text: str) -> None:
    assert certifies(LEAF.pem, LEAF.key_pem)
    assert not certifies(text, OTHER.key_pem)
    assert certifies(text, LEAF.key_pem) in (True, False)


@few
@given(TEXT | damaged(AUTHORITY.pem))
def test_an_authority_is_usable_or_not(text: str) -> None:
    assert trusts(text) in (True, False)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "agent.crt"


@settings(few, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300) | damaged(LEAF.pem).map(str.encode))
def test_a_certificate_file_is_read_or_named(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    try:
        assert certificate_facts(file).name
    except ConfigurationError as error:
        assert str(file) in str(error)  # noqa: PT017 - both ways are right


FIELDS = st.fixed_dictionaries(
    {
        "subject": st.lists(
            st.lists(st.tuples(st.sampled_from(["commonName", "O"]), TEXT), max_size=3).map(tuple),
            max_size=3,
        ).map(tuple),
        "serialNumber": st.just("0A"),
        "notAfter": st.just("Jan  1 00:00:00 2030 GMT"),
    },
    optional={
        "subjectAltName": st.lists(st.tuples(st.sampled_from(["DNS", "URI"]), TEXT)).map(tuple)
    },
)


@given(FIELDS)
def test_a_verified_certificate_names_one_node_or_nobody(fields: dict[str, Any]) -> None:
    peer = peer_of_certificate(fields)

    assert peer is None or isinstance(peer, Peer)
    if peer is not None:
        assert ("DNS", peer.fqdn) in fields["subjectAltName"]
