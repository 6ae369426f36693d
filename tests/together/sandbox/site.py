"""A manager and a node whose agent is a service, on a throw-away machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.agent.distributions import rule
from tests.sandbox import Machine
from tests.together.programs import eventually

__all__ = ["STATE", "Site"]

BIN = Path(sys.executable).parent
URL = "https://127.0.0.1:7443"
STATE = "/var/lib/node"
PLUGIN = '''
import time

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

@action
async def block() -> None:
    """Hold the event loop."""
    time.sleep(3600)

@hookimpl
def emf_actions():
    return [rebuild, unlock, block]
'''


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

    def service(self, name: str, *arguments: str, properties: tuple[str, ...] = ()) -> None:
        """Run one of our programs as a service."""
        self.machine.run(
            *(
                "systemd-run",
                *(f"--property={one}" for one in properties),
                "--quiet",
                f"--unit={name}",
                "--setenv=PYTHONPATH=/site",
                "--",
            ),
            *(str(BIN / name), *arguments),
        )

    def start_agent(self, *properties: str) -> None:
        """Start the node's agent, as a service with these properties."""
        self.service("emf-agent", "run", "--state-dir", STATE, properties=properties)

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

    def begin(self, action: str, argument: str | None = None) -> str:
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
