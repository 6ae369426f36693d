"""Where the manager is: flags over environment over file, and every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from emf_agent.errors import ConfigurationError
from emf_manager.client.connection import Flags, resolve
from tests.manager.client.conftest import Desk

URL = "https://m.example.com:7443"


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path / "c.toml", f'manager = "{URL}/file"\ntoken = "file"\n')
    environ = {"EMF_MANAGER_URL": f"{URL}/env", "EMF_TOKEN": "env"}

    assert resolve(Flags(), {}, file).token == "file"
    assert resolve(Flags(), environ, file).token == "env"
    flags = Flags(manager=f"{URL}/flag", token="flag")
    connection = resolve(flags, environ, file)
    assert (connection.url, connection.token) == (f"{URL}/flag", "flag")


def test_a_token_comes_from_a_file(tmp_path: Path) -> None:
    token = written(tmp_path / "token", "secret-1\n")

    flags = Flags(manager=URL, token_file=token)

    assert resolve(flags, {"EMF_TOKEN": "env"}, tmp_path / "none").token == "secret-1"


def test_the_token_is_not_in_what_is_printed_of_it(tmp_path: Path) -> None:
    flags = Flags(manager=URL, token="secret-1")

    assert "secret-1" not in repr(flags) + repr(resolve(flags, {}, tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("manager = [", 0o600, "not TOML"),
        ('manger = "x"', 0o600, "manger"),
        ("manager = 3", 0o600, "must be text"),
        ('token = "x"', 0o644, "chmod 600"),
        ('token_file = "/nowhere/token"', 0o600, "/nowhere/token"),
        ('manager = "m.example.com"', 0o600, "not like https://"),
        ('manager = "http://m.example.com"', 0o600, "in the clear"),
        ('manager = "https://m.example.com:port"', 0o600, "not a URL"),
        ('ca = "/nowhere/ca.pem"', 0o600, "/nowhere/ca.pem"),
        ('token = "two words"', 0o600, "one word"),
        ("", 0o600, "no manager is set"),
        ("", 0o600, "no token is set"),
    ],
)
def test_a_fault_says_what_and_where(tmp_path: Path, text: str, mode: int, told: str) -> None:
    file = written(tmp_path / "c.toml", text, mode)

    with pytest.raises(ConfigurationError) as caught:
        resolve(Flags(), {}, file)

    assert told in str(caught.value)


def test_every_fault_is_told_at_once(desk: Desk) -> None:
    desk.environ.update({"EMF_MANAGER_URL": "nonsense", "EMF_TOKEN": "", "EMF_CA": "/nowhere"})

    result = desk.emf("node", "list")

    assert result.exit_code == 78
    assert len(result.stderr.splitlines()) == 3


def test_loopback_may_be_plain(tmp_path: Path) -> None:
    flags = Flags(manager="http://127.0.0.1:8080", token="x")

    assert resolve(flags, {}, tmp_path / "none").url == "http://127.0.0.1:8080"


def test_a_ca_that_is_no_certificate_is_said(desk: Desk, tmp_path: Path) -> None:
    desk.environ["EMF_CA"] = str(written(tmp_path / "ca.pem", "not a certificate"))
    desk.transport = None  # type: ignore[assignment]  # the real door

    from emf_manager.client.connection import Connection
    from emf_manager.client.door import Door

    with pytest.raises(ConfigurationError, match="no certificate"):
        Door(Connection(URL, "x", tmp_path / "ca.pem"))


def test_settings_are_kept_for_the_owner_alone(desk: Desk) -> None:
    del desk.environ["EMF_MANAGER_URL"], desk.environ["EMF_TOKEN"]

    assert desk.emf("config", "set", "manager", URL).exit_code == 0
    assert desk.emf("config", "set", "token", "-", stdin="operator-token\n").exit_code == 0

    assert desk.config.stat().st_mode & 0o777 == 0o600
    assert desk.emf("whoami").exit_code == 0
    assert "operator-token" not in desk.emf("config", "show").output
    assert desk.json("config", "show", "--json")["token"] == "(set)"
    assert desk.emf("config", "unset", "token").exit_code == 0
    assert desk.emf("whoami").exit_code == 78


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("manager", "ftp://x", 78),
        ("ca", "/nowhere", 78),
        ("manager", "", 78),
        ("colour", "red", 2),
    ],
)
def test_a_setting_that_cannot_work_is_not_kept(
    desk: Desk, key: str, value: str, code: int
) -> None:
    assert desk.emf("config", "set", key, value).exit_code == code
    assert not desk.config.exists()
