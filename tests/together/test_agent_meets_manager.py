"""Real agents and a real manager over real TLS: what survives kills, and what an operator sees."""

from __future__ import annotations

import json
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.together.programs import Manager, Node, Operator, a_manager, a_node, eventually
from tests.together.troubles import install

pytestmark = pytest.mark.slow(reason="starts real programs")

NAME = "oss1.example"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def manager(folder: Path) -> Generator[Manager]:
    with a_manager(folder) as made:
        yield made


@pytest.fixture(scope="module")
def node(folder: Path, manager: Manager) -> Generator[Node]:
    with a_node(folder, NAME, manager, install(folder / "site")) as made:
        yield made


@pytest.fixture(scope="module")
def operator(manager: Manager, node: Node) -> Operator:
    made = manager.operator(node.folder)
    eventually(lambda: active(made).get("fine") == "active", "the first session")
    eventually(lambda: made.get("/actions/slow"), "the catalogue")
    return made


def active(operator: Operator) -> dict[str, str]:
    found: dict[str, str] = (operator.get(f"/nodes/{NAME}") or {}).get("sessions", {})
    return found


def session_ids(operator: Operator) -> dict[str, str]:
    listed = operator.get("/sessions") or {"items": []}
    return {one["daemon"]: one["session_id"] for one in listed["items"] if one["state"] == "active"}


def start(operator: Operator, *arguments: str) -> str:
    done = operator.emf("run", NAME, *arguments, "--detach", "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


def target(operator: Operator, job: str) -> Any:
    found = operator.get(f"/jobs/{job}")
    return found["targets"][0] if found else None


def ended(operator: Operator, job: str) -> Any:
    found = target(operator, job)
    return found if found and found["state"] == "final" else None


def described(operator: Operator) -> Any:
    item = operator.get(f"/data/{NAME}/agent")
    return item["value"] if item else None


def health(operator: Operator, daemon: str) -> Any:
    report = described(operator)
    return next((one for one in report["health"]["daemons"] if one["name"] == daemon), None)


def test_a_plugin_that_fails_at_import_is_told_with_its_reason(operator: Operator) -> None:
    plugins = {one["name"]: one for one in described(operator)["plugins"]}

    assert plugins["trouble"]["state"] == "loaded"
    assert plugins["trouble.broken"]["state"] == "failed"
    assert "broken at import" in plugins["trouble.broken"]["reason"]


def test_a_plugin_that_blocks_the_loop_is_named_and_nobody_else_suffers(
    operator: Operator,
) -> None:
    report = eventually(
        lambda: (found := described(operator))["health"]["stalled_by"] and found, "the stall"
    )

    assert report["health"]["stalled_by"] == "blocks"
    assert report["health"]["longest_stall_s"] >= 1
    assert active(operator)["fine"] == "active"


def test_a_thread_that_ignores_cancellation_blocks_its_own_plugin_only(
    operator: Operator,
) -> None:
    stuck = eventually(
        lambda: (found := health(operator, "hogs"))["condition"] == "stuck" and found, "hogs stuck"
    )
    assert stuck["since"] > 0

    def value() -> Any:
        return operator.get(f"/data/{NAME}/fine")["value"]

    seen = value()
    eventually(lambda: value() > seen, "further values of another plugin")


def test_what_is_not_json_ends_that_session_with_a_reason(operator: Operator) -> None:
    odd = eventually(
        lambda: (found := health(operator, "odd"))["condition"] == "failed" and found, "odd failed"
    )

    assert "not the JSON" in odd["reason"]


def test_every_command_of_the_operator_answers(operator: Operator) -> None:
    for command in (
        ["node", "list"],
        ["node", "show", NAME],
        ["session", "list"],
        ["data", NAME, "fine"],
        ["action", "list"],
        ["action", "show", "slow"],
        ["job", "list"],
        ["event", "list"],
        ["ping", NAME],
        ["whoami"],
    ):
        as_json = operator.emf(*command, "--json")
        assert as_json.returncode == 0, f"{command}: {as_json.stderr}"
        json.loads(as_json.stdout)
    listed = operator.emf("node", "list")
    assert listed.returncode == 0
    assert NAME in listed.stdout


def test_an_action_is_run_from_the_command_line(operator: Operator, tmp_path: Path) -> None:
    args = json.dumps([str(tmp_path / "effect"), 0.01])

    done = operator.emf("run", NAME, "slow", args, "--json")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "effect").read_text() == "effect\n"
    assert '"done"' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((NAME, "slow", '["/x", "y"]'), 2),
        ((NAME, "slwo", "null"), 2),
        (("nobody.example", "slow", "null"), 4),
        ((NAME, "slow", "not json"), 2),
    ],
    ids=["bad argument", "unknown action", "no node", "no json"],
)
def test_bad_input_is_refused_with_a_reason(
    operator: Operator, arguments: tuple[str, ...], code: int
) -> None:
    done = operator.emf("run", *arguments)

    assert done.returncode == code, done.stderr
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_cancelled_action_is_gone_and_says_so(operator: Operator, tmp_path: Path) -> None:
    job = start(operator, "slow", json.dumps([str(tmp_path / "effect"), 3600]))
    eventually(lambda: target(operator, job)["state"] == "started", "the start")

    cancelled = operator.emf("job", "cancel", job)

    assert cancelled.returncode == 0, cancelled.stderr
    assert eventually(lambda: ended(operator, job), "the end")["outcome"] == "cancelled"


def test_a_killed_manager_loses_nothing_and_the_action_is_recorded_once(
    operator: Operator, manager: Manager, node: Node, tmp_path: Path
) -> None:
    effect = tmp_path / "effect"
    job = start(operator, "slow", json.dumps([str(effect), 4]))
    eventually(lambda: target(operator, job)["state"] == "started", "the start")
    before = session_ids(operator)

    manager.stop(signal.SIGKILL)
    manager.start()

    final = eventually(lambda: ended(operator, job), "the result after the restart")
    assert (final["outcome"], final["result"]) == ("ok", {"Ok": "done"})
    assert effect.read_text() == "effect\n"
    eventually(lambda: active(operator).get("fine") == "active", "the session again")
    after = session_ids(operator)
    assert {name: after.get(name) for name in ("agent", "action_runner", "fine")} == {
        name: before.get(name) for name in ("agent", "action_runner", "fine")
    }


def test_an_agent_killed_in_mid_action_is_honest_and_runs_nothing_twice(
    operator: Operator, node: Node, tmp_path: Path
) -> None:
    effect = tmp_path / "effect"
    job = start(operator, "slow", json.dumps([str(effect), 3600]))
    eventually(lambda: target(operator, job)["state"] == "started", "the start")

    node.stop(signal.SIGKILL)
    node.start()

    final = eventually(lambda: ended(operator, job), "the outcome after the restart")
    assert final["outcome"] == "unknown"
    assert final["reason"] == "agent-restart"
    assert effect.read_text() == "effect\n"


def test_a_terminated_agent_says_goodbye_and_ends_well(operator: Operator, node: Node) -> None:
    eventually(lambda: active(operator).get("fine") == "active", "the session again")

    code = node.stop(signal.SIGTERM)

    # A thread hangs in this node (hogs), so the process had to be ended hard; never silently.
    assert code in (0, 1)
    eventually(lambda: active(operator).get("fine") != "active", "the end of the sessions")
    node.start()
    eventually(lambda: active(operator).get("fine") == "active", "the session again")


def test_a_second_agent_on_one_state_directory_is_refused(node: Node) -> None:
    second = node.agent("run")

    assert second.returncode == 1
    assert "journal" in second.stderr.splitlines()[-1]


def test_an_agent_that_is_not_enrolled_says_what_to_do(tmp_path: Path) -> None:
    lonely = Node(tmp_path, "lonely")
    assert lonely.agent("init", "--role", "all").returncode == 0

    done = lonely.agent("run")

    assert done.returncode == 78
    assert "emf-agent enroll" in done.stderr


@pytest.mark.parametrize(
    ("token", "code", "told"),
    [
        ("nonsense", 2, "emf1-SECRET"),
        ("emf1-" + "A" * 43 + "-" + "0" * 64, 69, "fingerprint"),
    ],
    ids=["no token", "another manager's"],
)
def test_a_bad_token_enrols_nobody(
    manager: Manager, tmp_path: Path, token: str, code: int, told: str
) -> None:
    done = Node(tmp_path, "n2").enrol(manager, token)

    assert done.returncode == code
    assert told in done.stderr


def test_a_token_works_once(manager: Manager, tmp_path: Path) -> None:
    token = manager.enrolment_token()

    first = Node(tmp_path, "first.example").enrol(manager, token)
    second = Node(tmp_path, "second.example").enrol(manager, token)

    assert first.returncode == 0, first.stderr
    assert second.returncode == 1
    assert "token" in second.stderr


def test_a_node_of_another_manager_is_refused_and_both_logs_say_so(
    manager: Manager, tmp_path: Path
) -> None:
    with a_manager(tmp_path) as other, a_node(tmp_path, "stray.example", other) as stray:
        drop_in = stray.folder / "etc" / "conf.d" / "10-enrolment.toml"
        stray.stop(signal.SIGTERM)
        drop_in.write_text(drop_in.read_text().replace(other.url, manager.url))
        stray.start()

        eventually(lambda: "certificate" in stray.logged().lower(), "a word in the agent's log")
        # It cannot be told what it wants: it does not trust this manager, and sends it nothing.
        assert manager.url in stray.logged()
        eventually(lambda: "127.0.0.1" in manager.logged(), "a word in the manager's log")
