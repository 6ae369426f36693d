"""The program ``emf-manager``: what its commands print, keep and refuse."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from emf_agent.wire import EnrolmentToken
from emf_manager.cli import program
from emf_manager.records import hash_secret
from emf_manager.server.data_dir import only_server


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


class Terminal:
    """Runs commands on one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def __call__(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(program, [*words, "--data-dir", str(self.data_dir)])
        assert result.exit_code == code, result.output
        return result

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json").stdout)

    def sql(self, statement: str) -> list[Any]:
        with closing(sqlite3.connect(self.data_dir / "manager.db")) as database, database:
            return database.execute(statement).fetchall()


@pytest.fixture
def run(data_dir: Path) -> Terminal:
    return Terminal(data_dir)


# Tokens


def test_a_token_alone_is_on_stdout_and_its_hash_alone_is_kept(run: Terminal) -> None:
    result = run("token", "create", "--node", "oss[1-4]", "--role", "oss", "--uses", "4")
    token = EnrolmentToken.parse(result.stdout)
    assert result.stdout == token.text() + "\n"
    assert "emf-agent enroll --manager" in result.stderr
    assert token.secret not in result.stderr

    (kept,) = run.sql("SELECT secret_sha256, pattern, role, uses_left FROM enrolment_grants")
    assert kept == (hash_secret(token.secret), "oss[1-4]", "oss", 4)
    assert token.authority_sha256 == run.json("ca", "show")["sha256"]
    assert token.secret.encode() not in b"".join(
        path.read_bytes() for path in run.data_dir.rglob("*") if path.is_file()
    )


def test_a_token_as_json_has_all_its_terms(run: Terminal) -> None:
    told = run.json("token", "create", "--ttl", "15m", "--replace")
    assert EnrolmentToken.parse(told.pop("token")).authority_sha256 == told.pop("authority_sha256")
    assert told.pop("expires") - told.pop("created") == 900
    assert len(told.pop("id")) == 12
    assert told == {
        "nodes": "*", "role": None, "uses": 1, "uses_left": 1, "replace": True, "approval": False,
        "manager": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--ttl", "soon"], "write 30s, 15m, 1h or 2d"),
        (["--ttl", "30d"], "at most 7 days"),
        (["--uses", "0"], "1 to 10000 nodes"),
        (["--node", "oss[1-"], "node set 'oss[1-'"),
        (["--node", "@all"], "groups may change"),
        (["--role", "O S S"], "not a role's name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_token_that_makes_no_sense_is_refused_in_one_line(
    run: Terminal, options: list[str], says: str
) -> None:
    result = run("token", "create", *options, code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("emf-manager: ")
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_tokens_are_listed_and_revoked_by_id(run: Terminal) -> None:
    one, two = (run.json("token", "create") for _ in range(2))
    run("token", "revoke", one["id"])
    states = {token["id"]: token["state"] for token in run.json("token", "list")}
    assert states == {one["id"]: "revoked", two["id"]: "good"}
    assert one["id"] in run("token", "list").stdout
    assert "there is no enrolment token" in run("token", "revoke", "nonsense", code=1).stderr
    refused = run("token", "revoke", one["token"], code=2)
    assert one["token"] not in refused.stderr


# Users


def test_a_user_gets_a_token_once(run: Terminal) -> None:
    result = run("user", "create", "maria", "--role", "operator")
    secret = result.stdout.strip()
    assert secret.startswith("emf_")
    (kept,) = run.sql('SELECT secret_sha256, "user", label FROM api_tokens')
    assert kept == (hash_secret(secret), "maria", "first")

    again = run("user", "create", "maria", "--role", "admin", code=5)
    assert "emf-manager user token maria" in again.stderr
    other = run.json("user", "token", "maria", "--ttl", "1h", "--label", "laptop")
    assert other["token"] != secret
    assert other["expires"] is not None
    assert [user["role"] for user in run.json("user", "list")] == ["operator"]


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 65, "../etc", "a\x1b[31m"])
def test_a_name_that_is_none_is_refused(run: Terminal, name: str) -> None:
    result = run("user", "create", name, "--role", "viewer", code=2)
    assert "is not a user's name" in result.stderr
    assert "\x1b" not in result.stderr
    assert run.sql("SELECT * FROM users") == []


def test_a_disabled_user_is_shown_as_such(run: Terminal) -> None:
    run("user", "create", "maria", "--role", "viewer")
    run("user", "disable", "maria")
    assert "disabled" in run("user", "list").stdout
    for command in ("disable", "token"):
        assert "there is no user 'jo'" in run("user", command, "jo", code=1).stderr


@pytest.mark.parametrize("role", ["root", ""])
def test_a_role_that_is_none_names_those_there_are(run: Terminal, role: str) -> None:
    assert "viewer" in run("user", "create", "maria", "--role", role, code=2).stderr


# Nodes, authority, audit


def test_the_authority_is_shown_as_it_is(run: Terminal) -> None:
    pem = run("ca", "show", "--pem").stdout
    assert pem == (run.data_dir / "authority" / "ca.crt").read_text()
    assert run.json("ca", "show")["pem"] == pem
    assert run.json("ca", "show")["sha256"] in run("ca", "show").stdout


def test_a_node_that_is_not_there_cannot_be_removed(run: Terminal) -> None:
    assert "there is no node 'oss1'" in run("node", "remove", "oss1", code=1).stderr
    assert run.json("node", "list") == []


@pytest.mark.parametrize("verb", ["remove", "revoke", "approve"])
def test_a_node_that_is_not_there_is_an_error(run: Terminal, verb: str) -> None:
    assert "nobody" in run("node", verb, "nobody", code=1).stderr


def test_a_token_may_ask_for_approval(run: Terminal) -> None:
    assert run.json("token", "create", "--approval")["approval"] is True
    assert run.json("token", "create")["approval"] is False


MANDATES = '[{"nodes": "oss*", "actions": ["start_*"], "args": {"unit": ["lnet*"]}}]'


def test_a_user_is_made_with_mandates_and_freed_of_them(run: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "mandates.json"
    file.write_text(MANDATES)
    run("user", "create", "maria", "--role", "operator", "--mandates", str(file))
    (shown,) = run.json("user", "list")
    assert shown["mandates"] == json.loads(MANDATES)

    file.write_text("[]")
    run("user", "bind", "maria", str(file))
    (shown,) = run.json("user", "list")
    assert shown["mandates"] == []
    assert "jo" in run("user", "bind", "jo", str(file), code=1).stderr


@pytest.mark.parametrize(
    ("text", "role", "code"),
    [
        ("no json", "operator", 2),
        ('[{"hosts": "oss1"}]', "operator", 2),
        ('[{"nodes": "@oss"}]', "operator", 2),
        ('[{"nodes": "oss[1-"}]', "operator", 2),
        (MANDATES, "admin", 5),
    ],
    ids=["no JSON", "unknown member", "group", "no node set", "admin"],
)
def test_mandates_that_bind_nobody_make_no_user(
    run: Terminal, tmp_path: Path, text: str, role: str, code: int
) -> None:
    file = tmp_path / "mandates.json"
    file.write_text(text)

    run("user", "create", "maria", "--role", role, "--mandates", str(file), code=code)

    assert run.json("user", "list") == []


def test_lines_cut_off_the_end_of_the_audit_trail_are_missed(run: Terminal) -> None:
    for name in ("maria", "jo"):
        run("user", "create", name, "--role", "viewer")
    run.sql("DELETE FROM audit WHERE sequence = 4")

    assert "at line 4" in run("audit", "verify", code=1).stderr


def test_what_admins_do_is_audited_and_tampering_shows(run: Terminal) -> None:
    run("user", "create", "maria", "--role", "viewer")
    run("user", "disable", "maria")
    run("token", "create")
    lines = run.sql("SELECT actor, what, subject FROM audit ORDER BY sequence")
    assert [line[1] for line in lines] == [
        "create user", "create token", "disable user", "create enrolment token"
    ]  # fmt: skip
    assert all(line[0].startswith("admin:") for line in lines)
    assert run("audit", "verify").stdout == "4 lines, unbroken\n"
    run.sql("UPDATE audit SET actor = 'admin:nobody' WHERE sequence = 2")
    assert "line 2" in run("audit", "verify", code=1).stderr


# Backups


def test_a_backup_brings_back_what_was_there_with_a_higher_epoch(
    run: Terminal, tmp_path: Path
) -> None:
    run("user", "create", "maria", "--role", "viewer")
    run("backup", str(tmp_path / "backup.db"))
    run("user", "create", "jo", "--role", "viewer")

    result = run("restore", str(tmp_path / "backup.db"))

    assert [user["name"] for user in run.json("user", "list")] == ["maria"]
    assert run.sql("SELECT value FROM counters WHERE name = 'epoch'") == [(2,)]
    assert "manager.db.replaced" in result.stderr
    run("restore", str(tmp_path / "backup.db"))
    assert run.sql("SELECT value FROM counters WHERE name = 'epoch'") == [(3,)]
    assert run("audit", "verify").stdout.endswith("unbroken\n")


def test_a_backup_is_private_and_has_no_key(run: Terminal, tmp_path: Path) -> None:
    run("ca", "show")
    run("backup", str(tmp_path / "backup.db"))
    assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" not in (tmp_path / "backup.db").read_bytes()


def test_a_backup_overwrites_nothing(run: Terminal, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    assert "there already" in run("backup", str(tmp_path / "mine"), code=1).stderr
    assert "cannot be written" in run("backup", str(tmp_path / "no" / "b"), code=1).stderr
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("content", [None, b"", b"nonsense, and long enough to be read as a page"])
def test_what_is_no_backup_is_not_restored(
    run: Terminal, tmp_path: Path, content: bytes | None
) -> None:
    run("user", "create", "maria", "--role", "viewer")
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    refused = run("restore", str(tmp_path / "file"), code=1)
    assert "is not a backup of an emf-manager" in refused.stderr
    assert [user["name"] for user in run.json("user", "list")] == ["maria"]
    assert not (run.data_dir / "manager.db.replaced").exists()


def test_a_damaged_database_gives_way_to_its_backup(run: Terminal, tmp_path: Path) -> None:
    run("user", "create", "maria", "--role", "viewer")
    run("backup", str(tmp_path / "backup.db"))
    (run.data_dir / "manager.db").write_bytes(b"x" * 10_000)
    assert "not a database" in run("user", "list", code=1).stderr
    run("restore", str(tmp_path / "backup.db"))
    assert [user["name"] for user in run.json("user", "list")] == ["maria"]
    assert (run.data_dir / "manager.db.replaced").read_bytes() == b"x" * 10_000


def open_to_all(folder: Path) -> bool:
    """Tell whether every user can reach what lies in a folder."""
    return all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents))


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
@pytest.mark.skipif(
    not open_to_all(Path(sys.prefix)) or not open_to_all(Path(sys.base_prefix)),
    reason="this Python lies where other users cannot read it",
)
def test_what_root_does_leaves_everything_to_the_directorys_owner(
    data_dir: Path, tmp_path: Path
) -> None:
    """Root's commands run in processes of their own, which takes longer than a second."""
    data_dir.mkdir(mode=0o700)
    os.chown(data_dir, 65534, 65534)
    for place in (tmp_path, *tmp_path.parents):
        if place.name.startswith(("test_", "pytest-", "popen-")):
            place.chmod(0o755)
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o777)
    backup = str(public / "backup.db")
    for words in (["token", "create"], ["backup", backup], ["restore", backup]):
        line = [sys.executable, "-c", "from emf_manager.cli import main; main()", *words]
        subprocess.run([*line, "--data-dir", str(data_dir)], check=True, capture_output=True)
    owners = {path.stat().st_uid for path in (data_dir, *data_dir.rglob("*"))}
    assert owners == {65534}


def test_nothing_is_restored_under_a_running_server(run: Terminal, tmp_path: Path) -> None:
    run("backup", str(tmp_path / "backup.db"))
    with only_server(run.data_dir):
        refused = run("restore", str(tmp_path / "backup.db"), code=78)
    assert f"another emf-manager serves it already (pid {os.getpid()})" in refused.stderr


# The program


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tokn", "create"], "did you mean token"),
        (["token", "crate"], "did you mean create"),
        (["serve", "--lisen", "x"], "--listen"),
    ],
)
def test_a_slip_is_met_with_a_suggestion(words: list[str], says: str) -> None:
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--listen", "nonsense"], 2, "is not an address to listen at"),
        (["--listen", "192.0.2.1:0"], 78, "cannot listen at 192.0.2.1:0"),
        (["--store", "mysql://x/y"], 78, "sqlite:///FILE or postgresql"),
        (["--name", "ä b"], 78, "'ä b' is not a host name or address"),
    ],
)
def test_serve_says_in_one_line_what_is_wrong(
    data_dir: Path, options: list[str], code: int, says: str
) -> None:
    words = ["serve", "--data-dir", str(data_dir), "--listen", "127.0.0.1:0", *options]
    result = CliRunner().invoke(program, words)
    assert (result.exit_code, says in result.stderr) == (code, True), result.stderr
    assert result.stdout == ""


def test_a_data_directory_that_cannot_be_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(
        program, ["token", "create", "--data-dir", str(tmp_path / "file" / "x")]
    )
    assert result.exit_code == 78
    assert "--data-dir" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_serving_from_start_to_signal(data_dir: Path, ending: signal.Signals) -> None:
    """A process of its own is started, which takes longer than a second."""
    run = Terminal(data_dir)
    line = [sys.executable, "-c", "from emf_manager.cli import main; main()"]
    served = [*line, "serve", "--data-dir", str(data_dir), "--listen", "127.0.0.1:0", "--json"]
    environ = {**os.environ, "PYTHONWARNINGS": "error"}
    with subprocess.Popen(
        served, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready = json.loads(process.stdout.readline())
        token = run.json("token", "create")
        assert token["manager"] == ready["url"]
        assert token["authority_sha256"] == ready["authority_sha256"]
        secret = run.json("user", "create", "maria", "--role", "viewer")["token"]
        context = ssl.create_default_context(cadata=run("ca", "show", "--pem").stdout)
        request = urllib.request.Request(
            f"{ready['url']}/api/v1/me", headers={"Authorization": f"Bearer {secret}"}
        )
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            assert json.load(answer)["user"] == "maria"
        run("user", "disable", "maria")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, context=context, timeout=30)
        assert refused.value.code == 401
        refused.value.close()
        process.send_signal(ending)
        assert process.wait(timeout=60) == 0
        assert "Traceback" not in process.stderr.read()
    assert not (data_dir / "url").exists()
    assert not list(data_dir.glob("manager.db-*"))


@pytest.mark.parametrize("kept", ["1h", "forever", "0", "99999d"])
def test_a_history_that_makes_no_sense_is_refused(run: Terminal, kept: str) -> None:
    refused = run("serve", "--keep-history", kept, code=2)

    assert kept in refused.stderr
