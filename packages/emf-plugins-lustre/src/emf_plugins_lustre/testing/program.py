"""What every simulated program is: finds itself by its name, answers, keeps what it changed.

Started as ``python -I -S program.py FOLDER NAME ARGUMENT...``.
"""

from __future__ import annotations

import os
import sys
import time

if __name__ == "__main__":
    # Three folders up is where the package is imported from; nothing else of site-packages is.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120

from emf_plugins_lustre.testing.exits import Exit
from emf_plugins_lustre.testing.simulation import Simulation, locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["PROGRAMS", "main"]

PROGRAMS = {
    "lctl": "simulated_lctl",
    "lnetctl": "simulated_lnetctl",
    "lfs": "simulated_lfs",
    "lipe_scan": "simulated_scan",
    "mount": "simulated_mounts",
    "mount.lustre": "simulated_mounts",
    "umount": "simulated_mounts",
    "findmnt": "simulated_mounts",
    "rsync": "simulated_copies",
    "mpirun": "simulated_copies",
    "stgm_cloudsync": "simulated_copies",
    "systemctl": "simulated_mounts",
}
"""Each program, and the module whose ``answer`` speaks for it."""


def main(folder: str, name: str, arguments: Sequence[str]) -> int:
    """Run a program; return its exit status."""
    module = __import__(f"emf_plugins_lustre.testing.{PROGRAMS[name]}", fromlist=["answer"])
    answer: Callable[[Simulation, str, Sequence[str]], str] = module.answer
    try:
        pause_s = obstacle(folder, name, arguments)
        if pause_s:
            time.sleep(pause_s)
        with locked(folder) as simulation:
            text = answer(simulation, name, arguments)
    except Exit as exit_:
        write_out(exit_.stdout)
        sys.stderr.write(exit_.stderr and f"{exit_.stderr}\n")
        return exit_.status
    write_out(text)
    return 0


def write_out(text: str) -> None:
    """Write to standard output; a reader that went away is not our trouble."""
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(1)


def obstacle(folder: str, name: str, arguments: Sequence[str]) -> float:
    """Note the call; fail it where a failure was injected; return how long it shall take."""
    with locked(folder) as simulation:
        with open(f"{folder}/calls", "a", encoding="utf-8") as calls:  # noqa: PTH123
            calls.write(f"{[name, *arguments]!r}\n")
        for failure in simulation.node["failures"]:
            if failure["program"] == name and set(failure["words"]) <= set(arguments):
                if failure["times"] is not None:
                    if failure["times"] == 0:
                        continue
                    failure["times"] -= 1
                break
        else:
            return 0.0
    if failure["pause_s"]:
        pause_s: float = failure["pause_s"]
        return pause_s
    raise Exit(failure["status"], failure["stderr"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
