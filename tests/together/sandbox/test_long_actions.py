"""REL17 on a real systemd: long actions survive ``kill -9`` of the agent, with their true outcome.

Programs, units, processes and signals are the real ones, inside a throw-away machine.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.distributions import rule
from tests.sandbox import Machine, missing
from tests.together.programs import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow("boots a machine, and long actions take long")]

BIN = Path(sys.executable).parent
URL = "https://127.0.0.1:7443"
STATE = "/var/lib/node"
PLUGIN = '''
from emf_agent.command import run
from emf_agent.plugin import ActionContext, Secret, action, hookimpl

@action(detached=True, timeout_s=300)
async def rebuild(script: str, ctx: ActionContext) -> str:
    """Run a program that takes its time."""
    ctx.progress(0.5, "rebuilding")
    return (await run(["sh", "-c", script], grace_s=1)).stdout.text

@action(detached=True)
async def unlock(password: Secret) -> bool:
    """Take a secret."""
    return password.reveal() == "canary"

@hookimpl
def emf_actions():
    return [rebuild, unlock]
'''
WAITS = "echo begun >> /effects; while [ ! -e /go ]; do sleep 0.1; done; "


class Site:
    """A manager, and one node whose agent is a service, on one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.token = ""

    def set_up(self) -> None:
        """Start the manager, enrol the node, start the agent."""
        self.machine.write("/site/slow/plugin.py", PLUGIN)
        self.machine.write("/site/slow/__init__.py", "")
        self.machine.write(
            "/site/slow-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n"
        )
        self.machine.write(
            "/site/slow-1.0.dist-info/entry_points.txt",
            "[emf_agent.plugins]\nslow = slow.plugin\n",
        )
        self.machine.write(
            f"{STATE}/etc/allowlist.toml",
            'schema = 1\nmode = "allowlist"\n' + rule("slow", "slow", "slow.plugin"),
        )
        self.service("emf-manager", "serve", "--data-dir", "/manager", "--listen", "127.0.0.1:7443")
        data = ("--data-dir", "/manager", "--json")
        enrolment = eventually(lambda: self.asked("emf-manager", "token", "create", *data), "token")
        eventually(lambda: self.listens(), "the manager's start")
        self.machine.run(
            *(str(BIN / "emf-agent"), "enroll", "--manager", URL, "--token-file", "-"),
            *("--fqdn", "n1", "--state-dir", STATE),
            stdin=enrolment["token"],
        )
        user = self.asked("emf-manager", "user", "create", "ann", "--role", "admin", *data)
        self.token = user["token"]
        self.start_agent()

    def listens(self) -> bool:
        """Tell whether the manager takes connections."""
        return ":7443" in self.machine.run("ss", "-Htln")

    def asked(self, program: str, *arguments: str) -> Any:
        """Return what a program answers as JSON; None where it fails."""
        told = self.machine.run(str(BIN / program), *arguments, check=False)
        return json.loads(told) if told else None

    def service(self, name: str, *arguments: str) -> None:
        """Run one of our programs as a service."""
        self.machine.run(
            *("systemd-run", "--quiet", f"--unit={name}", "--setenv=PYTHONPATH=/site", "--"),
            *(str(BIN / name), *arguments),
        )

    def start_agent(self) -> None:
        """Start the node's agent."""
        self.service("emf-agent", "run", "--state-dir", STATE)

    def kill_agent(self) -> None:
        """Kill -9 its process, as the kernel does when memory is short."""
        self.machine.run("systemctl", "kill", "--signal=KILL", "emf-agent")
        eventually(lambda: not self.unit("emf-agent.service")["runs"], "the agent's end")
        self.machine.run("systemctl", "reset-failed", "emf-agent")

    def unit(self, name: str) -> dict[str, Any]:
        """Return whether a unit is known, and runs."""
        shown = self.machine.run("systemctl", "show", "-p", "LoadState,ActiveState,SubState", name)
        told = dict(line.split("=", 1) for line in shown.split())
        return {
            "known": told["LoadState"] != "not-found",
            "runs": told["ActiveState"] == "active" and told["SubState"] == "running",
        }

    def emf(self, *arguments: str) -> str:
        """Type a command of ``emf``."""
        return self.machine.run(
            *("env", f"EMF_MANAGER_URL={URL}", f"EMF_TOKEN={self.token}"),
            *(f"EMF_CA={STATE}/etc/tls/ca.crt", str(BIN / "emf"), *arguments),
            check=False,
        )

    def begin(self, action: str, argument: str) -> str:
        """Order an action; returns the job, once the node can be asked at all."""
        order = ("run", "n1", action, json.dumps(argument), "--detach")
        return eventually(lambda: self.emf(*order).strip() or None, "the job")

    def target(self, job: str) -> dict[str, Any]:
        """Return what is known of a job's only node."""
        (target,) = json.loads(self.emf("job", "show", job, "--json"))["targets"]
        assert isinstance(target, dict)
        return target

    def outcome(self, job: str) -> dict[str, Any]:
        """Return it when it has ended."""
        return eventually(
            lambda: found if (found := self.target(job)).get("outcome") else None, "the outcome"
        )

    def action_units(self) -> list[str]:
        """Return the units of long actions that systemd knows."""
        told = self.machine.run(
            *("systemctl", "list-units", "--all", "--plain", "--no-legend", "emf-action-*")
        )
        return [line.split()[0] for line in told.splitlines()]

    def effects(self) -> list[str]:
        """Return what actions have done."""
        return self.machine.run("cat", "/effects", check=False).split()

    def begun(self) -> bool:
        """Tell whether the action has begun to do something."""
        return self.effects() == ["begun"]


@pytest.fixture(scope="module")
def whole() -> Generator[Site]:
    why = missing()
    if why is not None:
        pytest.skip(why)
    machine = Machine(f"emf-long-{os.getpid()}")
    try:
        site = Site(machine)
        site.set_up()
        yield site
    finally:
        machine.close()


@pytest.fixture
def site(whole: Site) -> Site:
    """The site, with nothing done yet."""
    whole.machine.run("rm", "-f", "/effects", "/go")
    return whole


@pytest.mark.parametrize(
    ("end", "outcome", "text"),
    [("echo rebuilt", "ok", "rebuilt"), ("echo broken >&2; exit 7", "failed", "exit code: 7")],
    ids=["ends well", "fails"],
)
def test_the_agent_is_killed_and_the_next_one_tells_the_true_exit(
    site: Site, end: str, outcome: str, text: str
) -> None:
    job = site.begin("rebuild", WAITS + end)
    eventually(site.begun, "the effect")
    (unit,) = site.action_units()
    site.kill_agent()
    assert site.unit(unit)["runs"]

    site.start_agent()
    site.machine.run("touch", "/go")
    told = site.outcome(job)

    assert told["outcome"] == outcome
    assert text in json.dumps(told["result"])
    assert site.effects() == ["begun"]
    eventually(lambda: not site.action_units(), "the unit's release")
    assert site.machine.run("ls", f"{STATE}/lib/actions") == ""


def test_what_ends_while_no_agent_runs_is_told_as_it_ended(site: Site) -> None:
    job = site.begin("rebuild", WAITS + "echo alone")
    eventually(site.begun, "the effect")
    (unit,) = site.action_units()
    site.kill_agent()
    site.machine.run("touch", "/go")
    eventually(lambda: not site.unit(unit)["runs"], "the end of the action")

    site.start_agent()

    told = site.outcome(job)
    assert (told["outcome"], told["result"]) == ("ok", {"Ok": "alone\n"})


def test_a_unit_that_is_killed_is_an_unknown_outcome(site: Site) -> None:
    job = site.begin("rebuild", WAITS)
    eventually(site.begun, "the effect")
    (unit,) = site.action_units()
    site.machine.run("systemctl", "kill", "--signal=KILL", unit)

    told = site.outcome(job)
    assert told["outcome"] == "unknown"
    assert "signal" in json.dumps(told)
    eventually(lambda: not site.action_units(), "the unit's release")


def test_a_cancel_leaves_no_process(site: Site) -> None:
    job = site.begin("rebuild", "setsid sleep 4242 & " + WAITS)
    eventually(site.begun, "the effect")
    site.emf("job", "cancel", job)

    assert site.outcome(job)["outcome"] == "cancelled"
    assert site.machine.run("pgrep", "-f", "sleep 4242", check=False) == ""
    eventually(lambda: not site.action_units(), "the unit's release")


def test_a_secret_is_on_no_disk_and_in_no_unit(site: Site) -> None:
    job = site.begin("unlock", "canary")

    assert site.outcome(job)["result"] == {"Ok": True}
    assert site.machine.run("grep", "-rl", "canary", STATE, check=False) == ""
    assert "canary" not in site.machine.run("journalctl", "--no-pager", "-o", "json")
