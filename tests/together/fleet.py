"""A simulated fleet as a program: ``emf_agent.testing.fleet`` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.together.programs import Manager, Service, eventually

__all__ = ["FleetProgram", "a_fleet"]


class FleetProgram(Service):
    """Light nodes that are enrolled and run, and break when they are told to."""

    def __init__(self, folder: Path, manager: Manager, *, nodes: int, interval_s: float) -> None:
        token = folder / "fleet-token"
        token.write_text(manager.enrolment_token("--uses", str(nodes), "--role", "oss"))
        super().__init__("python", log=folder / "fleet.log")
        self.command = [
            sys.executable,
            *("-m", "emf_agent.testing.fleet", "--manager", manager.url),
            *("--token-file", token, "--folder", folder / "fleet"),
            *("--nodes", str(nodes), "--interval", str(interval_s)),
        ]
        self.stdin = subprocess.PIPE

    def events(self, kind: str) -> list[Any]:
        """Return what the fleet has told of one kind."""
        told = [json.loads(line) for line in list(self.printed)]
        return [one for one in told if one["event"] == kind]

    def order(self, line: str) -> int:
        """Give an order, and return how many nodes obeyed it."""
        assert self.process is not None
        assert self.process.stdin is not None
        before = len(self.events("obeyed"))
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        eventually(lambda: len(self.events("obeyed")) > before, f"the order {line!r}")
        return int(self.events("obeyed")[-1]["nodes"])


@contextmanager
def a_fleet(
    folder: Path, manager: Manager, *, nodes: int, interval_s: float = 10.0
) -> Generator[FleetProgram]:
    """Run a fleet until the block ends; its nodes are enrolled, not yet all in contact."""
    fleet = FleetProgram(folder, manager, nodes=nodes, interval_s=interval_s)
    fleet.start()
    try:
        eventually(lambda: fleet.events("running"), "the fleet's enrolment")
        yield fleet
    finally:
        fleet.stop()
        assert fleet.process is not None
        assert fleet.process.stdin is not None
        fleet.process.stdin.close()
