"""The identity on disk: private at every moment, replaced as a whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from emf_agent.errors import ConfigurationError
from emf_agent.identity_files import IdentityFiles, new_key_request, write_private


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


@pytest.fixture
def files(tmp_path: Path) -> IdentityFiles:
    folder = tmp_path / "etc" / "tls"
    return IdentityFiles(folder / "agent.key", folder / "agent.crt", folder / "ca.crt")


@pytest.fixture
def open_mask() -> Generator[None]:
    """The most careless umask there is."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_mask")
def test_the_key_is_for_its_owner_alone_and_the_rest_may_be_read(files: IdentityFiles) -> None:
    files.save(key="K", certificate="C", authority="A")
    assert (mode_of(files.key), files.key.read_text()) == (0o600, "K")
    assert (mode_of(files.certificate), files.certificate.read_text()) == (0o644, "C")
    assert (mode_of(files.authority), files.authority.read_text()) == (0o644, "A")
    assert mode_of(files.key.parent) == 0o700
    assert names_in(files.key.parent) == {"agent.crt", "agent.key", "ca.crt"}


@pytest.mark.usefixtures("open_mask")
def test_a_private_file_is_private_before_its_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every system call on a descriptor is a moment at which somebody could look."""
    seen: list[int] = []
    fsync, fchmod = os.fsync, os.fchmod

    def look(call: Any, *arguments: Any) -> None:
        seen.extend(mode_of(path) for path in tmp_path.iterdir())
        call(*arguments)
        seen.extend(mode_of(path) for path in tmp_path.iterdir())

    monkeypatch.setattr(os, "fsync", lambda number: look(fsync, number))
    monkeypatch.setattr(os, "fchmod", lambda number, mode: look(fchmod, number, mode))
    write_private(tmp_path / "secret", "canary", mode=0o600)
    assert seen
    assert set(seen) == {0o600}


def test_a_file_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o666)
    with path.open() as before:
        write_private(path, "new", mode=0o600)
        assert before.read() == "old", "who had it open still reads the old one"
    assert (path.read_text(), mode_of(path)) == ("new", 0o600)


def test_a_disk_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="file: cannot be written: No space left"):
        write_private(path, "new", mode=0o600)
    assert names_in(tmp_path) == {"file"}
    assert path.read_text() == "old"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"etc/tls/x: cannot be written: "):
        write_private(tmp_path / "etc/tls/x", "x", mode=0o600)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="x: cannot be written: Permission denied"):
        write_private(tmp_path / "x", "x", mode=0o600)


def test_what_is_missing_is_told(files: IdentityFiles) -> None:
    assert files.missing() == (files.key, files.certificate, files.authority)
    files.save(key="K", certificate="C", authority="A")
    assert files.missing() == ()
    files.certificate.unlink()
    assert files.missing() == (files.certificate,)


def test_an_identity_that_cannot_be_saved_leaves_no_key(files: IdentityFiles) -> None:
    files.certificate.mkdir(parents=True)
    with pytest.raises(ConfigurationError):
        files.save(key="K", certificate="C", authority="A")
    assert not files.key.exists()


def test_a_request_names_the_node_and_is_signed_by_the_key_it_goes_with() -> None:
    made = new_key_request("oss1.storage.example")
    csr = x509.load_pem_x509_csr(made.csr.encode())
    key = serialization.load_pem_private_key(made.key.encode(), password=None)
    assert csr.is_signature_valid
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert csr.public_key() == key.public_key()
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["oss1.storage.example"]
    (common,) = csr.subject
    assert common.value == "oss1.storage.example"


def test_a_name_longer_than_a_common_name_is_whole_in_the_alternative() -> None:
    name = ".".join(["x" * 50] * 4)
    csr = x509.load_pem_x509_csr(new_key_request(name).csr.encode())
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [name]
    (common,) = csr.subject
    assert common.value == name[:64]


def test_two_requests_have_two_keys() -> None:
    assert new_key_request("n1").key != new_key_request("n1").key


def test_a_key_is_not_printed() -> None:
    made = new_key_request("n1")
    assert "PRIVATE" not in repr(made)
    assert "PRIVATE" not in str(made)
