"""What the closed world costs at start-up: plain imports against locked ones, in one run.

Both import the whole agent, load one plugin and end, in turns; what counts is the ratio.
Prints one JSON document. Seconds are processor time of the whole process, since a shared machine
makes everything else a lottery.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.together.scratch import BASE, Environment, make_environment  # noqa: E402

WORK = """
import emf_agent.cli.run, emf_agent.enrolment, cryptography.x509
from emf_agent.cli.loading import load_registry
from emf_agent.settings import load_settings
from pathlib import Path
assert load_registry(load_settings(None, Path({state!r})), "n").actions
"""
BOOT = """
import sys, zipimport
archive = {archive!r}
sys.path.insert(0, archive)
from emf_agent.gate import boot
from pathlib import Path
sys.path.remove(archive)
places = boot.Places.below(Path({state!r}))
core = zipimport.zipimporter(archive).get_data("core.lock")
boot.enter(boot.examine(archive, core, places), places.cache, archive)
"""


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        made = make_environment(Path(folder))
        open_state = made.folder / "open"
        shutil.copytree(made.state, open_state)
        policy = open_state / "etc/allowlist.toml"
        policy.write_text(policy.read_text().replace('mode = "enforce"', 'mode = "allowlist"'))
        print(json.dumps(measure(made, open_state, rounds), indent=2))


def measure(made: Environment, open_state: Path, rounds: int) -> dict[str, object]:
    """Return medians and the ratio; the first start of each, which fills its cache, is apart."""
    plain = [str(made.python), "-I", "-c", WORK.format(state=str(open_state))]
    boot = BOOT.format(archive=str(made.archive), state=str(made.state))
    closed = [BASE, "-I", "-S", "-c", boot + WORK.format(state=str(made.state))]
    first = {"plain": timed(plain), "closed": timed(closed)}
    taken: dict[str, list[float]] = {"plain": [], "closed": []}
    for _ in range(rounds):
        taken["plain"].append(timed(plain))
        taken["closed"].append(timed(closed))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    lock = json.loads((made.state / "etc/allowlist.lock").read_text())
    return {
        "distributions": len(lock["dists"]),
        "files": sum(len(one["files"]) for one in lock["dists"].values()),
        "first_s": first,
        "median_s": medians,
        "best_s": {name: min(values) for name, values in taken.items()},
        "added": medians["closed"] / medians["plain"] - 1,
        "added_to_the_best": min(taken["closed"]) / min(taken["plain"]) - 1,
    }


def timed(command: list[str]) -> float:
    """Return the processor seconds a process takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env={"PATH": "/usr/bin:/bin"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


if __name__ == "__main__":
    main()
