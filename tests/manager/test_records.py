"""Records, settings and wake-ups for systemd: small values with rules of their own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from emf_agent.errors import UsageError
from emf_manager.records import Job, hash_secret
from emf_manager.server.notify import notify
from emf_manager.settings import Listen, Settings, parse_seconds


def test_a_job_is_done_when_no_target_is_open() -> None:
    job = Job("j", "a", None, "maria", 1.0, 2.0, open_targets=1)
    assert job.state == "running"
    assert Job("j", "a", None, "maria", 1.0, 2.0).state == "done"


def test_a_secret_is_kept_as_its_sha256() -> None:
    assert hash_secret("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("text", "listen", "wildcard"),
    [
        ("127.0.0.1:8443", Listen("127.0.0.1", 8443), False),
        ("0.0.0.0:0", Listen("0.0.0.0", 0), True),
        ("[::]:8443", Listen("::", 8443), True),
        ("[::1]:1", Listen("::1", 1), False),
        (":8443", Listen("::", 8443), True),
        ("Manager.example.com:443", Listen("manager.example.com", 443), False),
    ],
)
def test_an_address_to_listen_at_is_read(text: str, listen: Listen, wildcard: bool) -> None:
    assert Listen.parse(text) == listen
    assert listen.is_wildcard is wildcard


@pytest.mark.parametrize(
    "text", ["", "8443", "host", "host:", "host:x", "host:70000", "::1:8443", "[::1", "http://a:1"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"0\.0\.0\.0:8443"):
        Listen.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30s", 30), ("1.5m", 90), ("1h", 3600), ("2d", 172800)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "0", "-1h", "1w", "1 hour", "nan", "inf", "1e99d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write 30s"):
        parse_seconds(text)


def test_a_store_url_wins_over_the_data_directory(tmp_path: Path) -> None:
    assert Settings(tmp_path).store_url == f"sqlite:///{tmp_path}/manager.db"
    assert Settings(tmp_path, store="postgresql://x/y").store_url == "postgresql://x/y"


@pytest.mark.parametrize("name", ["notify", "@emf-manager-test"], ids=["path", "abstract"])
def test_systemd_is_told(tmp_path: Path, name: str) -> None:
    abstract = name.startswith("@")
    address = f"{name}-{tmp_path.name}" if abstract else str(tmp_path / name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if abstract else address)
        notify("READY=1", {"NOTIFY_SOCKET": address})
        assert listener.recv(100) == b"READY=1"


def test_nobody_to_tell_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notify("READY=1", {})
    assert caplog.text == ""
    notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert "was not told READY=1" in caplog.text
