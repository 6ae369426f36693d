"""The authority, what it signs and what it does not; tokens; names (requirements R10, R12, R19)."""

from __future__ import annotations

import base64
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from emf_agent.errors import ConfigurationError, UsageError
from emf_agent.wire import EnrolmentToken
from emf_manager.identity.authority import Authority, key_digest, open_authority
from emf_manager.identity.grants import covers, new_grant
from emf_manager.identity.peer import Peer, attach_peer, peer_of, peer_of_certificate
from emf_manager.identity.requests import RequestError, node_name, public_key
from emf_manager.identity.wrong_tries import WrongTries
from emf_manager.records import hash_secret
from tests.manager.identity_kit import csr, ec_key, rsa_key

NOW = 1_800_000_000.0
YEAR_S = 365 * 86400.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return open_authority(tmp_path_factory.mktemp("data") / "authority", now=NOW)


def signed(authority: Authority, pem: str) -> x509.Certificate:
    issued = authority.issue_node("oss1.example.com", public_key(pem), now=NOW)
    certificate = x509.load_pem_x509_certificate(issued.pem.encode())
    certificate.verify_directly_issued_by(authority.certificate)
    return certificate


@pytest.mark.parametrize("hostile", [False, True], ids=["plain", "hostile"])
def test_only_the_key_of_a_signing_request_survives(authority: Authority, hostile: bool) -> None:
    key = ec_key()
    certificate = signed(authority, csr(key, name="mgs.example.com", hostile=hostile))

    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=oss1.example.com"
    extension = certificate.extensions.get_extension_for_class
    names = extension(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("oss1.example.com")]
    assert list(extension(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not extension(x509.BasicConstraints).value.ca
    assert not extension(x509.KeyUsage).value.key_cert_sign


def test_a_certificate_lasts_ninety_days_and_has_a_serial_of_its_own(authority: Authority) -> None:
    pem = csr()
    one, two = signed(authority, pem), signed(authority, pem)
    assert one.not_valid_after_utc - one.not_valid_before_utc <= timedelta(days=90)
    assert one.not_valid_after_utc.timestamp() > NOW + 87 * 86400
    assert one.serial_number != two.serial_number
    assert one.serial_number.bit_length() == 152


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate(), rsa_key(2048)],
    ids=["P-384", "Ed25519", "RSA 2048"],
)
def test_other_good_keys_are_taken(authority: Authority, key: Any) -> None:
    assert signed(authority, csr(key)).public_key() == key.public_key()


def broken_signature() -> str:
    der = bytearray(base64.b64decode("".join(csr().splitlines()[1:-1])))
    der[-1] ^= 1
    body = base64.encodebytes(bytes(der)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


def someone_elses_key() -> str:
    """A request with the key of one pair and the signature of another."""
    ours, theirs = (x509.load_pem_x509_csr(csr(ec_key()).encode()) for _ in range(2))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    old, new = (
        one.public_key().public_bytes(serialization.Encoding.DER, form) for one in (ours, theirs)
    )
    der = ours.public_bytes(serialization.Encoding.DER).replace(old, new)
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("pem", "says"),
    [
        (lambda: csr(rsa_key(1024)), "RSA key of 1024 bits"),
        (lambda: csr(ec.generate_private_key(ec.SECP192R1())), "kind of key"),
        (lambda: csr(dsa.generate_private_key(1024)), "kind of key"),
        (broken_signature, "not signed|cannot be read"),
        (someone_elses_key, "not signed by the key"),
        (lambda: csr() + "x" * 20_000, "more than 16384"),
        (lambda: "", "cannot be read"),
        (lambda: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", "cannot be read"),
        (lambda: csr()[:200], "cannot be read"),
        (lambda: "\ud800", "cannot be read"),
        (lambda: csr().replace("REQUEST", "CERTIFICATE"), "cannot be read"),
    ],
    ids=[
        "RSA 1024",
        "P-192",
        "DSA",
        "bad signature",
        "another's key",
        "absurd size",
        "nothing",
        "no DER",
        "cut off",
        "surrogate",
        "wrong label",
    ],
)
def test_a_bad_signing_request_is_refused_with_the_reason(pem: Any, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        public_key(pem())


@pytest.mark.parametrize("name", ["oss1", "oss1.example.com", "a_b-c.example", "x" * 63])
def test_host_names_are_names(name: str) -> None:
    assert node_name(name.upper()) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "a.b.", "-a", "a-", "a b", "a/b", "a\x00", "ä.example", "*.example.com",
     "10.0.0.1", "localhost", "localhost.localdomain", "x" * 64 + ".de", "a,b", "CN=x", "x\n"],
    ids=ascii,
)  # fmt: skip
def test_other_things_are_not_names(name: str) -> None:
    with pytest.raises(RequestError):
        node_name(name)


# The authority's folder


def test_the_authority_stays_the_same_and_its_key_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    first, second = (open_authority(folder, now=NOW) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in (folder, *folder.iterdir())}
    assert modes == {"authority": 0o700, "ca.key": 0o600, "ca.crt": 0o600}
    assert [one.name for one in tmp_path.iterdir()] == ["authority"]
    assert "key" not in repr(first)


def test_a_server_certificate_is_for_its_names_and_no_client(authority: Authority) -> None:
    key = ec_key()
    names = ["manager.example.com", "127.0.0.1", "::1"]
    certificate = authority.issue_server(names, key.public_key(), now=NOW)
    certificate.verify_directly_issued_by(authority.certificate)
    extension = certificate.extensions.get_extension_for_class
    said = extension(x509.SubjectAlternativeName).value
    assert said.get_values_for_type(x509.DNSName) == ["manager.example.com"]
    assert sorted(map(str, said.get_values_for_type(x509.IPAddress))) == ["127.0.0.1", "::1"]
    assert list(extension(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def damage_mode(folder: Path) -> None:
    (folder / "ca.key").chmod(0o640)


def damage_missing(folder: Path) -> None:
    (folder / "ca.crt").unlink()


def damage_content(folder: Path) -> None:
    (folder / "ca.key").write_text("nonsense")


def damage_pair(folder: Path) -> None:
    other = open_authority(folder.parent / "other", now=NOW)
    (folder / "ca.crt").write_text(other.pem)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (damage_mode, "chmod 0600"),
        (damage_missing, r"ca\.crt: No such file.*backup"),
        (damage_content, "damaged"),
        (damage_pair, r"ca\.key is not the key of ca\.crt"),
    ],
)
def test_a_damaged_authority_is_never_replaced_in_silence(
    tmp_path: Path, damage: Any, says: str
) -> None:
    folder = tmp_path / "authority"
    open_authority(folder, now=NOW)
    damage(folder)
    with pytest.raises(ConfigurationError, match=says):
        open_authority(folder, now=NOW)


def test_an_expired_authority_says_what_to_do(tmp_path: Path) -> None:
    open_authority(tmp_path / "authority", now=NOW)
    with pytest.raises(ConfigurationError, match=r"expired on .*enrol every node anew"):
        open_authority(tmp_path / "authority", now=NOW + 11 * YEAR_S)


# Tokens


def test_a_token_is_shown_once_and_kept_as_a_hash(authority: Authority) -> None:
    token, grant = new_grant(authority.fingerprint, now=NOW, created_by="root", role="oss")
    again = EnrolmentToken.parse(token.text())
    assert again.authority_sha256 == authority.fingerprint
    assert grant.secret_sha256 == hash_secret(again.secret)
    assert (grant.uses_left, grant.expires, grant.role) == (1, NOW + 3600, "oss")
    assert again.secret not in repr(grant) + repr(token)


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("*", "oss1.example.com", True),
        ("oss*", "oss1.example.com", True),
        ("oss*", "mds1.example.com", False),
        ("oss[01-16].example.com", "oss07.example.com", True),
        ("oss[01-16].example.com", "oss7.example.com", False),
        ("oss[01-16].example.com", "oss17.example.com", False),
        ("oss1,mds1", "mds1", True),
        ("*!mgs*", "mgs1", False),
        ("OSS1.Example.com", "oss1.example.com", True),
        ("oss1.example.com", "oss1.example.com.evil.org", False),
        ("oss?", "oss1", True),
        ("oss?", "oss10", False),
    ],
)
def test_a_token_is_good_for_its_names_only(pattern: str, name: str, covered: bool) -> None:
    assert covers(pattern, name) is covered


@pytest.mark.parametrize(
    "wrong",
    [
        {"uses": 0},
        {"uses": 10**6},
        {"ttl_s": 0.0},
        {"ttl_s": 10**7},
        {"ttl_s": float("nan")},
        {"role": "OSS!"},
        {"pattern": "oss[1-"},
        {"pattern": "@all"},
        {"pattern": "oss[1-999999999]"},
    ],
    ids=str,
)
def test_a_token_that_makes_no_sense_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        new_grant("0" * 64, now=NOW, created_by="root", **wrong)


# Peers and wrong tries


def test_a_scope_says_only_what_the_server_put_there() -> None:
    scope: dict[str, Any] = {"headers": [(b"x-ssl-client-name", b"mgs")]}
    assert peer_of(scope) is None
    scope["extensions"] = {"emf.peer": {"fqdn": "mgs"}, "http.response.trailers": {}}
    assert peer_of(scope) is None
    attach_peer(scope, Peer("oss1", "01", 1.0))
    assert peer_of(scope) == Peer("oss1", "01", 1.0)
    attach_peer(scope, None)
    assert peer_of(scope) is None
    assert "http.response.trailers" in scope["extensions"]


@pytest.mark.parametrize(
    "subject",
    [(), ((("commonName", "a"),), (("commonName", "b"),)), ((("commonName", "c"),),)],
    ids=["none", "two", "another than its alternative"],
)
def test_a_certificate_that_does_not_name_one_node_names_nobody(subject: Any) -> None:
    fields = {
        "subject": subject,
        "subjectAltName": (("DNS", "a"), ("DNS", "b")),
        "serialNumber": "01",
        "notAfter": "Jan  1 00:00:00 2030 GMT",
    }
    assert peer_of_certificate(fields) is None


def test_wrong_tries_make_one_address_wait_and_no_other() -> None:
    tries = WrongTries()
    for second in range(10):
        assert tries.wait_s("192.0.2.1", float(second)) == 0
        tries.note("192.0.2.1", float(second))
    assert tries.wait_s("192.0.2.1", 10.0) == 50.0
    assert tries.wait_s("192.0.2.2", 10.0) == 0
    assert tries.wait_s("192.0.2.1", 60.0) == 0


def test_one_ipv6_network_is_one_address() -> None:
    tries = WrongTries()
    for number in range(10):
        tries.note(f"2001:db8::{number:x}", 0.0)
    assert tries.wait_s("2001:db8::ffff", 1.0) > 0
    assert tries.wait_s("2001:db8:0:1::1", 1.0) == 0


def test_one_key_has_one_digest() -> None:
    key = ec_key()
    assert key_digest(public_key(csr(key))) == key_digest(key.public_key())
    assert key_digest(key.public_key()) != key_digest(ec_key().public_key())
