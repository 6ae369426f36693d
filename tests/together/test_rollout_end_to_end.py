"""Targets, groups and rollouts over real TLS: real programs, one of which is killed on the way."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.together.programs import eventually
from tests.together.site import Site

pytestmark = pytest.mark.slow(reason="starts real programs")

OTHER = "second.example.com"


def test_a_fleet_is_chosen_shown_and_rolled_over_a_killed_manager(
    site: Site, tmp_path: Path
) -> None:
    with site.another_node(OTHER):
        site.settled(OTHER)
        assert site.emf("group", "set", "both", f"{site.name},{OTHER}").returncode == 0
        wanted = ("-F", "state=connected", "--batch", "1")

        shown = site.emf_json("targets", "@both", *wanted, "--action", "wait")
        assert [one["batch"] for one in shown["matched"]] == [1, 2]
        assert site.emf("targets", "@both", "-F", "state=nowhere").returncode == 4
        assert site.emf("run", "@both", "wait", "1", "--expect", "3").returncode == 2

        assert site.emf("node", "label", OTHER, "rack=r1", "row=7").returncode == 0
        assert site.emf("node", "label", OTHER, "row-").stdout == "rack=r1\n"
        racked = site.emf_json("targets", "@rack=r1", "-F", "label.rack=r1", "-x", site.name)
        assert [one["node"] for one in racked["matched"]] == [OTHER]
        assert site.emf("targets", "@both", "-x", "second.exmaple.com").returncode == 4

        job = site.emf("run", "@both", "wait", "2", *wanted, "--detach").stdout.strip()
        assert counts(site, job)["held"] == 1
        site.manager.stop(signal.SIGKILL)
        site.manager.start()

        done = site.emf("job", "tail", job, "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)["counts"]
        assert (told["targeted"], told["succeeded"]) == (2, 2)

        failed = site.emf("run", "@both", "fail", '"no"', "--batch", "1", "--fail-limit", "1")
        assert failed.returncode == 1
        assert "cancelled: fail-limit" in failed.stdout
        assert failed.stdout.splitlines()[-1] == "2 targeted = 1 failed + 1 cancelled"

        live = site.emf("run", site.name, "mark", json.dumps(str(tmp_path / "m")), "--follow")
        assert live.returncode == 0, live.stderr


def counts(site: Site, job: str) -> dict[str, int]:
    found: dict[str, int] = eventually(lambda: site.get(f"/jobs/{job}"), "the job")["counts"]
    return found
