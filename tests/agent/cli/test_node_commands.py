"""``action``, ``daemon``, ``enroll`` and ``run`` as an operator calls them, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emf_agent.detached import ActionFolder, Order
from tests.agent.cli.node import Node
from tests.agent.distributions import rule

TOKEN = f"emf1-{'s' * 43}-{'0' * 64}"
PLUGIN = '''
from emf_agent.errors import ActionError
from emf_agent.plugin import ActionContext, Daemon, NotApplicableError, Secret, action, hookimpl
import anyio

@action(dry_run=True)
async def copy_file(source: str, count: int = 1, ctx: ActionContext = None) -> str:
    """Copy a file."""
    ctx.progress(0.5, "half")
    ctx.log("a line")
    return f"{'would copy' if ctx.dry_run else 'copied'} {source} {count}"

@action
def blocking(text: str) -> str:
    """Run in a thread."""
    return text.upper()

@action
async def fails() -> None:
    """Fail with a text."""
    raise ActionError("exit code: 2, stdout: , stderr: no")

@action
async def crashes() -> None:
    """Have a bug."""
    raise SystemExit(3)

@action
async def hangs() -> None:
    """Never end."""
    await anyio.sleep_forever()

@action
async def login(password: Secret, count: int) -> bool:
    """Take a secret."""
    return password.reveal() == "canary"

class Load(Daemon):
    """Says how many updates there were."""
    name = "load"
    interval_s = 0.01
    def __init__(self): self.n = 0
    async def start_session(self) -> dict[str, int]:
        return {"n": 0}
    async def update_session(self) -> dict[str, int]:
        self.n += 1
        return {"n": self.n}

class Absent(Daemon):
    """Is not for this node."""
    name = "absent"
    async def start_session(self) -> int:
        raise NotApplicableError("no such device")
    async def update_session(self) -> int:
        return 1

class Slow(Daemon):
    """Never starts."""
    name = "slow"
    start_deadline_s = 0.05
    async def start_session(self) -> int:
        await anyio.sleep_forever()
    async def update_session(self) -> int:
        return 1

@hookimpl
def emf_actions():
    return [copy_file, blocking, fails, crashes, hangs, login]

@hookimpl
def emf_daemons():
    return [Load, Absent, Slow]
'''


@pytest.fixture
def tools(node: Node) -> Node:
    """A node with a plugin that does everything well and badly."""
    value = node.site.plugin("emf-plugin-tools", "tools", PLUGIN)
    node.allow(rule("tools", "emf-plugin-tools", value))
    return node


def configure(node: Node, text: str) -> None:
    (node.state / "etc/agent.toml").write_text(text)


def test_actions_are_listed_with_their_first_line(tools: Node) -> None:
    listed = tools("action", "list")
    assert listed.returncode == 0, listed.stderr
    assert "copy_file  Copy a file.\n" in listed.stdout
    shown = {one["name"]: one for one in json.loads(tools("action", "list", "--json").stdout)}
    assert shown["copy_file"]["plugin"] == "tools"
    assert shown["copy_file"]["args_schema"]["x-positional"] == ["source", "count"]


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["copy_file", '["/a"]'], "copied /a 1"),
        (["copy_file", '["/a", 2]'], "copied /a 2"),
        (["copy_file", '{"source": "/a", "count": 3}'], "copied /a 3"),
        (["copy_file", '["/a"]', "--dry-run"], "would copy /a 1"),
        (["blocking", '"ü"'], "Ü"),
        (["login", '["canary", 1]'], True),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_result_is_one_line_of_json(tools: Node, arguments: list[str], value: Any) -> None:
    done = tools("action", "run", *arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"Ok": value}


def test_progress_goes_to_standard_error(tools: Node) -> None:
    done = tools("action", "run", "copy_file", '["/a"]')
    assert "50% half" in done.stderr
    assert "a line" in done.stderr
    assert "half" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "where", "text"),
    [
        pytest.param(["fails"], 1, "out", '{"Err":"exit code: 2', id="fails"),
        pytest.param(["crashes"], 1, "out", "SystemExit: 3", id="crashes"),
        pytest.param(["hangs", "--timeout", "0.05"], 1, "out", "timed out after 0.05 s", id="late"),
        pytest.param(["copy_file", "[3]"], 1, "out", "valid string, got 3", id="wrong type"),
        pytest.param(["copy_file"], 1, "out", "missing field `source`", id="no argument"),
        pytest.param(["copy_file", "/a"], 2, "err", "a text needs its quotes: '\"/a\"'", id="text"),
        pytest.param(["copy_file", '{"a"'], 2, "err", "not JSON at column 5", id="bad JSON"),
        pytest.param(
            ["copy_file", '{"sorce": 1}'],
            2,
            "err",
            "has no parameter sorce",
            id="other parameter",
        ),
        pytest.param(["copy_fil"], 2, "err", "did you mean 'copy_file'?", id="near name"),
        pytest.param(["zzz"], 2, "err", "`emf-agent action list` shows all", id="unknown name"),
        pytest.param(["hangs", "--timeout", "0"], 2, "err", "--timeout", id="no time"),
        pytest.param(["hangs", "--timeout", "soon"], 2, "err", "--timeout", id="no number"),
        pytest.param(["hangs", "--dry-run"], 5, "err", "no dry run", id="no dry run"),
    ],
)
def test_what_cannot_be_done_ends_with_its_own_exit_code(
    tools: Node, arguments: list[str], code: int, where: str, text: str
) -> None:
    done = tools("action", "run", *arguments)
    assert done.returncode == code, done.stderr
    assert text in (done.stdout if where == "out" else done.stderr)
    assert "Traceback" not in done.stderr or code == 1


def test_the_nodes_policy_holds_for_root_too(tools: Node) -> None:
    configure(tools, '[policy]\ndeny = ["copy_*"]\n')
    done = tools("action", "run", "copy_file", '["/a"]')
    assert done.returncode == 5
    assert "policy.deny" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "args", ['["canary"]', '["canary", "x"]', '{"password": "canary"}', '["canary", 1, 2]']
)
def test_a_secret_is_not_echoed_with_what_was_wrong(tools: Node, args: str) -> None:
    done = tools("action", "run", "login", args)
    assert done.returncode == 1
    assert "canary" not in done.stdout + done.stderr


def test_a_configuration_that_is_invalid_is_exit_78(tools: Node) -> None:
    configure(tools, "[actions]\nconcurrent = 0\n[nonsense]\n")
    done = tools("action", "list")
    assert done.returncode == 78
    assert "actions.concurrent" in done.stderr
    assert "nonsense" in done.stderr


def test_daemons_are_listed_with_their_pace(tools: Node) -> None:
    assert "load    every 0.01 s  Says how many updates" in tools("daemon", "list").stdout
    shown = {one["name"]: one for one in json.loads(tools("daemon", "list", "--json").stdout)}
    assert shown["load"]["payload_schema"]["type"] == "object"


def test_a_sample_is_a_line_for_each_phase(tools: Node) -> None:
    done = tools("daemon", "sample", "load", "--updates", "2")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["phase"], one["value"]["n"]) for one in told] == [
        ("start", 0),
        ("update", 1),
        ("update", 2),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["absent"], 1, "absent: no such device"),
        (["slow"], 1, "slow: start took longer than 0.05 s"),
        (["laod"], 2, "did you mean 'load'?"),
        (["zzz"], 2, "`emf-agent daemon list` shows all"),
        (["load", "--updates", "-1"], 2, "--updates"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_daemon_without_a_value_says_why(
    tools: Node, arguments: list[str], code: int, text: str
) -> None:
    done = tools("daemon", "sample", *arguments)
    assert done.returncode == code
    assert text in done.stderr
    assert done.stdout == ""


def test_an_agent_that_is_not_enrolled_says_what_to_do(tools: Node) -> None:
    done = tools("run")
    assert done.returncode == 78
    assert "agent.key is missing" in done.stderr
    assert "run `emf-agent enroll`" in done.stderr


def test_an_agent_without_a_manager_says_so(tools: Node) -> None:
    tls = tools.state / "etc/tls"
    tls.mkdir()
    for name in ("agent.key", "agent.crt", "ca.crt"):
        (tls / name).write_text("x")
    done = tools("run")
    assert done.returncode == 78
    assert "manager.url is not set" in done.stderr
    configure(tools, '[manager]\nurl = "https://m"\n')
    broken = tools("run")
    assert broken.returncode == 78
    assert "agent.crt" in broken.stderr


@pytest.mark.parametrize("arguments", [["--log-level", "loud"], ["--log-format", "xml"], ["x"]])
def test_flags_that_do_not_exist_are_exit_2(tools: Node, arguments: list[str]) -> None:
    assert tools("run", *arguments).returncode == 2


def given(folder: Path, text: bytes) -> list[str]:
    path = folder / "token"
    path.write_bytes(text)
    return ["--token-file", str(path)]


@pytest.mark.parametrize(
    ("how", "text"),
    [
        pytest.param(lambda _: [], "--token or --token-file", id="no token"),
        pytest.param(
            lambda f: ["--token", TOKEN, *given(f, TOKEN.encode())], "one of them", id="both"
        ),
        pytest.param(lambda _: ["--token", f"{TOKEN}0"], "emf1-SECRET-FINGERPRINT", id="too long"),
        pytest.param(lambda f: given(f, b""), "emf1-SECRET-FINGERPRINT", id="empty file"),
        pytest.param(lambda f: given(f, b"\xff\xfe" * 40), "emf1-SECRET", id="no text"),
        pytest.param(lambda f: ["--token-file", str(f / "gone")], "gone", id="no file"),
    ],
)
def test_a_token_that_is_none_is_not_repeated(
    node: Node, tmp_path: Path, how: Callable[[Path], list[str]], text: str
) -> None:
    done = node("enroll", "--manager", "https://127.0.0.1:9", *how(tmp_path))
    assert done.returncode == 2
    assert text in done.stderr
    assert "sss" not in done.stderr
    assert not (node.state / "etc").exists()


def test_an_address_that_is_none_is_exit_2(node: Node) -> None:
    done = node("enroll", "--manager", "http://m", "--token", TOKEN)
    assert done.returncode == 2
    assert "https://manager:7443" in done.stderr


def test_a_manager_that_does_not_answer_is_exit_69(node: Node) -> None:
    done = node("enroll", "--manager", "https://127.0.0.1:9", "--token", TOKEN)
    assert done.returncode == 69
    assert "127.0.0.1:9" in done.stderr
    assert "sss" not in done.stderr
    assert not (node.state / "etc").exists()


def test_an_identity_is_not_replaced_by_accident(node: Node) -> None:
    key = node.state / "etc/tls/agent.key"
    key.parent.mkdir(parents=True)
    key.write_text("the old one")
    refused = node("enroll", "--manager", "https://127.0.0.1:9", "--token", TOKEN)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    forced = node("enroll", "--manager", "https://127.0.0.1:9", "--token", TOKEN, "--force")
    assert forced.returncode == 69, "it went on to the manager"
    assert key.read_text() == "the old one"


def placed(node: Node, **order: Any) -> ActionFolder:
    folder = ActionFolder(node.state / "lib/actions/i1")
    folder.place(Order(**{"id": "i1", "args": None, "timeout_s": 30, **order}))
    return folder


def test_an_order_in_a_folder_is_performed(tools: Node) -> None:
    folder = placed(tools, action="blocking", args="quietly")
    done = tools("action", "perform", str(folder.path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "'quietly'" not in str(folder.verdict())
    assert "QUIETLY" in str(folder.verdict())
    again = tools("action", "perform", str(folder.path))
    assert again.returncode == 1
    assert "taken before" in again.stderr


def test_an_order_that_fails_fails_its_unit(tools: Node) -> None:
    folder = placed(tools, action="fails")
    assert tools("action", "perform", str(folder.path)).returncode == 1
    assert "stderr: no" in str(folder.verdict())


def test_an_order_stands_behind_the_gate_and_is_not_begun_where_it_is_shut(tools: Node) -> None:
    tools.allow("nonsense")
    folder = placed(tools, action="fails")
    assert tools("action", "perform", str(folder.path)).returncode == 78
    assert folder.is_unread()
    assert folder.verdict() is None


def test_the_order_is_no_command_for_people(tools: Node) -> None:
    assert "perform" not in tools("action", "--help").stdout
