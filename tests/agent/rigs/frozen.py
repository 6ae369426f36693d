"""A program that hangs in the kernel on a frozen file system, as one does on a hung mount.

Usage: unshare -m --propagation private python frozen.py DIRECTORY BACKEND
Prints one JSON object. Security, section 9.1.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio

from emf_agent.command import CommandStuckError, Surroundings, run
from emf_agent.command.containment import process_lives
from tests.agent.rigs.disks import disk

LONG_S = 60.0


async def hang(mounted: Path) -> dict[str, Any]:
    """Write where no write ends, run out of time, thaw, and see the process go."""
    found: dict[str, Any] = {}
    pids: list[int] = []
    subprocess.run(["fsfreeze", "-f", str(mounted)], check=True)
    try:
        await run(["touch", str(mounted / "file")], timeout_s=0.1, grace_s=0.05)
    except CommandStuckError as error:
        found["text"] = str(error)
        found["processes"] = [(p.name, p.state, p.wchan) for p in error.processes]
        pids = [p.pid for p in error.processes]
    finally:
        subprocess.run(["fsfreeze", "-u", str(mounted)], check=True)
    with anyio.fail_after(LONG_S):
        while any(map(process_lives, pids)):
            await anyio.sleep(0.005)
    return found


if __name__ == "__main__":
    with disk(Path(sys.argv[1]), 8) as (place, _), Surroundings(kill_deadline_s=0.2).entered():
        print(json.dumps(anyio.run(hang, place, backend=sys.argv[2])))
