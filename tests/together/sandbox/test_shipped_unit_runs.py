"""The shipped unit on a real systemd: starts once enrolled, works, stays away when tampered with.

The agent is installed from wheels into an environment of its own, locked, and started through the
boot archive by the very unit that is shipped.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.sandbox import ROOT, Machine, missing
from tests.together.programs import eventually
from tests.together.scratch import BASE

pytestmark = [pytest.mark.sandbox, pytest.mark.slow("boots a machine and installs the agent in it")]

BIN = Path(sys.executable).parent
SHARE = ROOT / "packages/emf-agent-core/share"
URL = "https://127.0.0.1:7443"
UNIT = "emf-agent.service"
BOOT = (BASE, "-I", "-S", "/usr/lib/emf-agent/boot.pyz")
INSTALL = """
from pathlib import Path
from tests.together.scratch import make_environment
print(make_environment(Path("/opt/emf-agent")).site)
"""
CAP_SYS_TIME, CAP_SYS_BOOT = 25, 22


class Node:
    """A machine with the agent installed as the page on security says."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.token = ""
        run = machine.run
        self.site = run("env", f"PYTHONPATH={ROOT}", sys.executable, "-c", INSTALL).strip()
        for folder in ("etc/emf-agent", "usr/lib/emf-agent", f"etc/systemd/system/{UNIT}.d"):
            run("mkdir", "-p", f"/{folder}")
        run("sh", "-c", "cp /opt/emf-agent/state/etc/* /etc/emf-agent/")
        run("cp", "/opt/emf-agent/usr/boot.pyz", "/usr/lib/emf-agent/boot.pyz")
        run("sh", "-c", f"cp {SHARE}/systemd/system/* /etc/systemd/system/")
        run("cp", f"{SHARE}/sysusers.d/emf-agent.conf", "/usr/lib/sysusers.d/")
        run("cp", f"{SHARE}/tmpfiles.d/emf-agent.conf", "/usr/lib/tmpfiles.d/")
        start = f"[Service]\nExecStart=\nExecStart={' '.join(BOOT)} run\n"
        machine.write(f"/etc/systemd/system/{UNIT}.d/python.conf", start)
        run("systemd-sysusers")
        run("systemd-tmpfiles", "--create", "emf-agent.conf")
        run("systemctl", "daemon-reload")

    def show(self, key: str) -> str:
        """Return a property of the unit."""
        return self.machine.run("systemctl", "show", "--value", "-p", key, UNIT).strip()

    def manager(self) -> tuple[str, str]:
        """Start a manager; returns a token to enrol with, and one to operate with."""
        command = (str(BIN / "emf-manager"), "serve", "--data-dir", "/manager")
        self.machine.run(
            *("systemd-run", "--quiet", "--unit=emf-manager", *command),
            *("--listen", "127.0.0.1:7443"),
        )
        eventually(lambda: ":7443" in self.machine.run("ss", "-Htln"), "the manager's start")
        return self.admin("token", "create"), self.admin("user", "create", "ann", "--role", "admin")

    def emf(self, *arguments: str) -> str | None:
        """Type a command of ``emf``; None where it fails."""
        environment = (f"EMF_MANAGER_URL={URL}", f"EMF_TOKEN={self.token}")
        trusted = "EMF_CA=/etc/emf-agent/tls/ca.crt"
        program = str(BIN / "emf")
        told = self.machine.run("env", *environment, trusted, program, *arguments, check=False)
        return told.strip() or None

    def told_of_plugins(self) -> dict[str, str]:
        """Return each plugin's reason, or its state where it has none, as the manager knows it."""
        told = json.loads(self.emf("data", "n1", "agent", "--json") or "{}")
        listed = told.get("value", {}).get("plugins", [])
        return {one["name"]: one["reason"] or one["state"] for one in listed}

    def admin(self, *arguments: str) -> str:
        """Run an admin command and return the token it prints."""
        told = self.machine.run(
            str(BIN / "emf-manager"), *arguments, "--data-dir", "/manager", "--json"
        )
        return str(json.loads(told)["token"])

    def restart_to_failure(self) -> None:
        """Restart the agent where it must not start."""
        self.machine.run("systemctl", "restart", UNIT, check=False)
        eventually(lambda: self.show("ActiveState") == "failed", "the refusal")


@pytest.fixture(scope="module")
def node() -> Generator[Node, None, None]:
    why = missing()
    if why is not None:
        pytest.skip(why)
    machine = Machine(f"emf-unit-{os.getpid()}")
    try:
        yield Node(machine)
    finally:
        machine.close()


@pytest.fixture(scope="module")
def running(node: Node) -> Node:
    """The node, enrolled; nobody started the agent but its path unit."""
    enrolment, operator = node.manager()
    node.machine.run("systemctl", "enable", "--now", "emf-agent.path")
    node.machine.run("systemctl", "start", UNIT)
    assert node.show("ActiveState") == "inactive", "it is not enrolled"
    node.machine.run(
        *(*BOOT, "enroll", "--manager", URL, "--token-file", "-", "--fqdn", "n1"), stdin=enrolment
    )
    eventually(lambda: node.show("ActiveState") == "active", "the agent's start")
    node.token = operator
    ask = ("run", "n1", "ask", "--json")
    told = eventually(lambda: node.emf(*ask), "the answer")
    assert json.loads(told)["targets"][0]["result"] == {"Ok": {"number": 42}}
    return node


def test_enrolling_starts_the_agent_and_it_works_under_its_hardening(running: Node) -> None:
    process = running.show("MainPID")
    status = running.machine.run("cat", f"/proc/{process}/status")
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    bounding = int(told["CapBnd"], 16)

    assert running.show("NRestarts") == "0"
    assert told["NoNewPrivs"] == "1"
    assert told["Seccomp"] == "2"
    assert told["Umask"] == "0077"
    assert not bounding >> CAP_SYS_TIME & 1
    assert not bounding >> CAP_SYS_BOOT & 1
    assert "emf-agent" in running.machine.run("getent", "group", "emf-agent")
    cache = running.machine.run("stat", "-c", "%a", "/var/cache/emf-agent/code")
    assert cache.strip() == "700"


def test_a_tampered_agent_stays_away_with_78_and_is_not_started_again(running: Node) -> None:
    errors = f"{running.site}/emf_agent/errors.py"
    running.machine.run("cp", errors, "/errors.py")
    running.machine.run("sh", "-c", f"echo '# changed' >> {errors}")
    try:
        running.restart_to_failure()

        assert running.show("ExecMainStatus") == "78"
        log = running.machine.run("journalctl", "-u", UNIT, "--no-pager", "-n", "20")
        assert f"hash: {errors}" in log
    finally:
        running.machine.run("cp", "/errors.py", errors)
        running.machine.run("systemctl", "reset-failed", UNIT)


def test_the_unit_refuses_mode_allowlist(running: Node) -> None:
    policy = "/etc/emf-agent/allowlist.toml"
    running.machine.run("sed", "-i.kept", 's/^mode = .*/mode = "allowlist"/', policy)
    try:
        running.restart_to_failure()

        assert running.show("ExecMainStatus") == "78"
    finally:
        running.machine.run("mv", f"{policy}.kept", policy)
        running.machine.run("systemctl", "reset-failed", UNIT)


@pytest.mark.parametrize(
    ("spoil", "mend", "reason"),
    [
        pytest.param(("chown", "nobody"), ("chown", "root"), "belongs to user", id="another owner"),
        pytest.param(("chmod", "0666"), ("chmod", "0644"), "others may write", id="open to all"),
    ],
)
def test_a_policy_that_others_could_write_means_safe_mode_and_the_manager_is_told(
    running: Node, spoil: tuple[str, str], mend: tuple[str, str], reason: str
) -> None:
    policy = "/etc/emf-agent/allowlist.toml"
    running.machine.run(*spoil, policy)
    try:
        running.machine.run("systemctl", "restart", UNIT)

        told = eventually(
            lambda: running.told_of_plugins().get("plugin-policy"), "the report of safe mode"
        )
        assert reason in told
        assert running.show("ActiveState") == "active"
    finally:
        running.machine.run(*mend, policy)
