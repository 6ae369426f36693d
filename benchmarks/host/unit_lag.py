"""Runs inside the sandbox: how long after a unit is up does its start return? Prints JSON.

Ours by the job's own signal, and the ancestor's way by polling busctl every 500 ms, alternating.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread

from emf_agent.plugin import ActionContext
from emf_plugins_host.units.actions import start_unit, stop_unit

UNIT = "lag.service"
FILE = Path("/etc/systemd/system") / UNIT
TEXT = "[Service]\nExecStartPre=/bin/sleep {}\nExecStart=/bin/sleep infinity\n"
MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
CONTEXT = ActionContext()
PATH = "/org/freedesktop/systemd1/unit/lag_2eservice"


def busctl(*words: str) -> str:
    argv = ["busctl", "--system", "--no-pager", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def ancestors_start() -> None:
    busctl("call", *MANAGER, f"{MANAGER[0]}.Manager", "StartUnit", "ss", UNIT, "replace")
    asked = ("get-property", MANAGER[0], PATH, f"{MANAGER[0]}.Unit", "ActiveState")
    while '"active"' not in busctl(*asked):
        time.sleep(0.5)


def up_since() -> float:
    words = ["systemctl", "show", "-P", "ActiveEnterTimestampMonotonic", UNIT]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout) / 1e6


async def measure(rounds: int) -> dict[str, list[float]]:
    ours: list[float] = []
    polling: list[float] = []
    for number in range(rounds):
        await anyio.to_thread.run_sync(write_unit, 0.05 + 0.037 * (number % 11))
        await start_unit(UNIT, CONTEXT)
        returned = time.monotonic()
        ours.append((returned - await anyio.to_thread.run_sync(up_since)) * 1000)
        await stop_unit(UNIT, CONTEXT)
        await anyio.to_thread.run_sync(ancestors_start)
        returned = time.monotonic()
        polling.append((returned - await anyio.to_thread.run_sync(up_since)) * 1000)
        await stop_unit(UNIT, CONTEXT)
    return {"ours": ours, "polling": polling}


def write_unit(start_s: float) -> None:
    FILE.write_text(TEXT.format(start_s))
    subprocess.run(["systemctl", "daemon-reload"], check=True)


if __name__ == "__main__":
    print(json.dumps(anyio.run(measure, int(sys.argv[1]))))
