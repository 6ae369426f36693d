"""README's first line does what it says: one JSON document, exit 0, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[3] / "examples" / "demo" / "demo.py"


@pytest.mark.slow(reason="starts a manager and an agent")
def test_the_demo_shows_sessions_data_and_an_action_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, DEMO, "--once", "--json"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert set(shown) == {"manager", "node", "sessions", "data", "action", "seconds"}
    assert set(shown["data"]) == {"network", "host"}
    assert shown["manager"]["url"].startswith("https://127.0.0.1:")
    assert shown["manager"]["login_link"].startswith(shown["manager"]["url"] + "/ui/login#")
    assert shown["node"]["protocol"] == 2
    assert shown["sessions"] == dict.fromkeys(
        ("agent", "network", "host", "action_runner"), "active"
    )
    assert shown["data"]["network"]
    assert shown["data"]["host"]
    assert shown["action"]["name"] == "package_installed"
    assert shown["action"]["result"] == {"Ok": True}
    assert 0 < shown["seconds"]["enrolled"] < shown["seconds"]["first_data"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow(reason="starts a manager and an agent")
def test_a_role_shows_a_lustre_server_with_moving_counters(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, DEMO, "--role", "oss", "--once", "--json"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["role"] == "oss"
    assert shown["sessions"] == dict.fromkeys(
        ("agent", "network", "host", "action_runner", "stats"), "active"
    )
    targets = {
        value["target"]
        for record in shown["data"]["stats"]
        for value in record.get("Target", {}).values()
        if value.get("kind") == "OST"
    }
    assert targets == {"fs1-OST0000", "fs1-OST0001"}
    lustre = shown["lustre"]
    assert lustre["health"] == "healthy"
    assert 0 < lustre["counters"]["before"] < lustre["counters"]["after"]
    assert lustre["metrics"]["series"] > 100
    assert list(tmp_path.iterdir()) == []
    assert processes_that_name(tmp_path) == []


TUTORIAL = (DEMO.parents[2] / "docs" / "tutorial.md").read_text("utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.slow(reason="starts a manager, an agent and a file system of eight nodes")
def test_each_command_of_the_tutorial_does_what_it_says_on_eight_nodes(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, DEMO, "--nodes", "8"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stderr is not None
    with demo.stderr as told:
        before: list[str] = []
        for line in told:
            before.append(line)
            if "Ctrl-C ends the demo" in line:
                break
        said = "".join(before)
        assert "/ui/login#" in said, said
        (environment,) = tmp_path.glob("*/environment")
        printed = {}
        for command in COMMANDS:
            done = subprocess.run(
                ["/bin/sh", "-c", f". {environment}; {command}"],
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            printed[command] = done.stdout
        demo.send_signal(signal.SIGINT)
        rest = told.read()

    assert demo.wait(60) == 0, rest
    listed = printed["emf node list"]
    for name in ("mgs01", "mds02", "oss03", "client02"):
        assert f"{name}.example.com" in listed, listed
    health = printed['emf run \'oss*\' lctl \'["get_param", "-n", "health_check"]\'']
    assert health == "oss[01-03].example.com: ok: healthy\n3 targeted = 3 succeeded\n"
    assert list(tmp_path.iterdir()) == []
    assert processes_that_name(tmp_path) == []


@pytest.mark.slow(reason="starts a manager and an agent, and ends them half-way")
@pytest.mark.parametrize(
    ("moment", "number", "flags"),
    [
        pytest.param("starting the manager", signal.SIGINT, [], id="Ctrl-C at once"),
        pytest.param("enrolling this machine", signal.SIGINT, [], id="Ctrl-C half-way"),
        pytest.param("Ctrl-C ends the demo", signal.SIGINT, [], id="Ctrl-C when asked to"),
        pytest.param("enrolling this machine", signal.SIGTERM, [], id="told to terminate"),
        pytest.param("starting the manager", signal.SIGHUP, [], id="the terminal is closed"),
        pytest.param(" is here", signal.SIGINT, ["--nodes", "2"], id="Ctrl-C while nodes start"),
    ],
)
def test_whenever_it_is_ended_the_demo_leaves_no_process_and_no_file(
    tmp_path: Path, moment: str, number: signal.Signals, flags: list[str]
) -> None:
    demo = subprocess.Popen(
        [sys.executable, DEMO, *flags],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stderr is not None
    with demo.stderr as told:
        assert any(moment in line for line in told), "the demo ended before this"
        demo.send_signal(number)
        demo.send_signal(number)  # impatience
        rest = told.read()

    assert demo.wait(60) == 0, rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
    assert processes_that_name(tmp_path) == []


def processes_that_name(folder: Path) -> list[bytes]:
    """Return the command lines of this machine in which a folder occurs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words:
            found.append(words)
    return found
