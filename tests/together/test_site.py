"""The shared site is what it says: one test for each thing that other tests lean on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.together.programs import eventually
from tests.together.site import NAME, Site, User

pytestmark = pytest.mark.slow(reason="starts real programs")


@pytest.mark.parametrize("user", ["viewer", "operator", "admin"])
def test_each_operator_is_who_the_token_says(site: Site, user: User) -> None:
    assert site.emf_json("whoami", user=user)["role"] == user
    assert site.get("/nodes", user=user)["items"][0]["fqdn"] == NAME


def test_a_viewer_runs_nothing(site: Site) -> None:
    assert site.emf("run", site.name, "echo", '"x"', user="viewer").returncode == 5


@pytest.mark.parametrize(
    ("action", "args", "outcome"),
    [("echo", '"hello"', "ok"), ("fail", '"because"', "failed"), ("wait", "0.01", "ok")],
)
def test_the_nodes_actions_end_as_they_are_named(
    site: Site, action: str, args: str, outcome: str
) -> None:
    done = site.emf("run", site.name, action, args, "--json")

    (target,) = json.loads(done.stdout)["targets"]
    assert target["outcome"] == outcome


def test_a_dry_run_marks_nothing(site: Site, tmp_path: Path) -> None:
    file = str(tmp_path / "marks")

    assert site.emf("run", site.name, "mark", json.dumps(file), "--dry-run").returncode == 0
    assert not Path(file).exists()
    assert site.emf("run", site.name, "mark", json.dumps(file)).returncode == 0
    assert Path(file).read_text() == "mark\n"


def test_the_pulse_goes_on(site: Site) -> None:
    def beats() -> int:
        return int(site.get(f"/data/{site.name}/pulse")["value"]["beats"])

    seen = beats()
    eventually(lambda: beats() > seen, "a further beat")
