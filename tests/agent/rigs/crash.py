"""Lives one action's life for each fault point, in a process that is killed exactly there.

Usage: crash.py DIRECTORY POINT...; each life leaves DIRECTORY/POINT/{journal,effects}.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from emf_agent.journal import Acceptance, Limits, Outcome
from emf_agent.journal.store import Store

__all__ = ["live"]


def live(home: Path, fatal: str) -> None:
    """Take, begin, do, end and confirm one action; die at the fatal point."""

    def fault(point: str) -> None:
        if point == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    store = Store(home / "journal", wall_clock=lambda: 1000.0, limits=Limits(), fault=fault)
    store.accept(Acceptance("a", "x", "[]"))
    store.start("a")
    with (home / "effects").open("a") as effects:
        effects.write("a\n")
    fault("effect:after")
    store.finish("a", Outcome("ok", '{"Ok": null}'))
    store.acknowledge(["a"])
    store.close()


if __name__ == "__main__":
    for name in sys.argv[2:]:
        place = Path(sys.argv[1], name)
        place.mkdir()
        if (child := os.fork()) == 0:
            live(place, name)
            os._exit(0)
        os.waitpid(child, 0)
