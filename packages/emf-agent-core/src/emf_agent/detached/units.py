"""The door to systemd's transient units: starts one, looks at it, stops it, forgets it.

Through systemd-run(1) and systemctl(1), whose output here is the same from version 239 on;
properties are those of systemd.service(5) and systemd.kill(5).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from emf_agent.command import CommandFailedError, StuckProcess, run
from emf_agent.command.containment import describe_process, process_lives
from emf_agent.errors import CommandError

__all__ = ["SystemdUnits", "UnitState", "Units", "choose_units", "parse_state"]

logger = logging.getLogger(__name__)

ASK_WITHIN_S = 20.0
GRACE_S = 5.0
STOP_WITHIN_S = 3 * GRACE_S
"""SIGTERM, grace, SIGKILL, and the time systemd then gives what does not die."""
CGROUP_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")


@dataclass(frozen=True)
class UnitState:
    """What systemd knows of a unit that it knows."""

    runs: bool
    result: str = "success"
    """``success``, or how it failed: ``exit-code``, ``signal``, ``oom-kill``, ``timeout``..."""
    status: int = 0
    """Exit code, or the signal's number."""
    cgroup: str = ""


class Units(Protocol):
    """What long actions need of a service manager; each raises CommandError where it fails."""

    async def start(self, unit: str, argv: Sequence[str], *, limit_s: float) -> None:
        """Start a unit that ends after ``limit_s`` seconds at the latest; never one name twice."""

    async def state(self, unit: str) -> UnitState | None:
        """Return how a unit fares; None where there is none of this name."""

    async def stop(self, unit: str) -> Sequence[StuckProcess]:
        """End all processes of a unit; returns those that could not be ended."""

    async def forget(self, unit: str) -> None:
        """Give the name of a unit that has ended back."""


class SystemdUnits:
    """The system's service manager."""

    async def start(self, unit: str, argv: Sequence[str], *, limit_s: float) -> None:
        """Start it as a simple service; systemd itself refuses a name that is taken."""
        properties = (
            "KillMode=control-group",
            f"TimeoutStopSec={GRACE_S:g}s",
            f"RuntimeMaxSec={int(limit_s * 1000)}ms",
            "Delegate=yes",
            "UMask=0077",
            f"WorkingDirectory={Path.cwd()}",
        )
        environment = []
        if "PYTHONPATH" in os.environ and not sys.flags.ignore_environment:
            environment = [f"--setenv=PYTHONPATH={os.environ['PYTHONPATH']}"]
        await run(
            [
                *("systemd-run", "--quiet", "--no-ask-password", "--remain-after-exit"),
                f"--unit={unit}",
                *(f"--property={one}" for one in properties),
                *environment,
                "--",
                # systemd puts variables in where a dollar stands.
                *(argument.replace("$", "$$") for argument in argv),
            ],
            timeout_s=ASK_WITHIN_S,
        )

    async def state(self, unit: str) -> UnitState | None:
        """Ask systemd."""
        asked = "LoadState,ActiveState,SubState,Result,ExecMainStatus,ControlGroup"
        shown = await run(
            ["systemctl", "show", f"--property={asked}", unit], timeout_s=ASK_WITHIN_S
        )
        return parse_state(shown.stdout.text)

    async def stop(self, unit: str) -> list[StuckProcess]:
        """Stop it: SIGTERM to all, grace, SIGKILL to all."""
        state = await self.state(unit)
        with contextlib.suppress(CommandFailedError):
            await run(["systemctl", "stop", unit], timeout_s=ASK_WITHIN_S + STOP_WITHIN_S)
        return [] if state is None else [describe_process(pid) for pid in members(state.cgroup)]

    async def forget(self, unit: str) -> None:
        """Stop what remains after its exit, and clear a failure."""
        for verb in ("stop", "reset-failed"):
            # Which of the two there is to do, systemd knows; the other fails.
            with contextlib.suppress(CommandFailedError):
                await run(["systemctl", verb, unit], timeout_s=ASK_WITHIN_S + STOP_WITHIN_S)


def parse_state(shown: str) -> UnitState | None:
    """Read the output of ``systemctl show``."""
    told = dict(line.partition("=")[::2] for line in shown.splitlines())
    if told.get("LoadState") == "not-found":
        return None
    over = told.get("ActiveState") in ("inactive", "failed") or told.get("SubState") == "exited"
    status = told.get("ExecMainStatus", "")
    return UnitState(
        runs=not over,
        result=told.get("Result", ""),
        status=int(status) if status.isdigit() else 0,
        cgroup=told.get("ControlGroup", ""),
    )


def members(cgroup: str) -> list[int]:
    """Return the processes that live in a unit's cgroup, on either version of cgroups."""
    found: set[int] = set()
    for mount in CGROUP_MOUNTS if cgroup else ():
        for directory, _, _ in os.walk(mount + cgroup):
            with contextlib.suppress(OSError):
                text = Path(directory, "cgroup.procs").read_text(encoding="ascii")
                found.update(map(int, text.split()))
    return sorted(pid for pid in found if process_lives(pid))


async def choose_units(running: Path = Path("/run/systemd/system")) -> Units | str:
    """Return systemd's units, or why there are none here: sd_booted(3), then ask it something."""
    if not running.is_dir():  # noqa: ASYNC240 - in memory, and before anything else runs
        return "no systemd runs here"
    if os.geteuid() != 0:
        return "only root starts units"
    try:
        await run(["systemctl", "show", "--property=Version"], timeout_s=ASK_WITHIN_S)
    except CommandError as error:
        return f"systemd does not answer: {error}"
    return SystemdUnits()
