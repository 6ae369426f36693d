"""REL17 on a real systemd: long actions survive ``kill -9`` of the agent, with their true outcome.

Programs, units, processes and signals are the real ones, inside a throw-away machine.
"""

from __future__ import annotations

import json

import pytest

from tests.together.programs import eventually
from tests.together.sandbox.site import STATE, Site

pytestmark = [pytest.mark.sandbox, pytest.mark.slow("boots a machine, and long actions take long")]

WAITS = "echo begun >> /effects; while [ ! -e /go ]; do sleep 0.1; done; "


@pytest.mark.parametrize(
    ("end", "outcome", "text"),
    [("echo rebuilt", "ok", "rebuilt"), ("echo broken >&2; exit 7", "failed", "exit code: 7")],
    ids=["ends well", "fails"],
)
def test_the_agent_is_killed_and_the_next_one_tells_the_true_exit(
    site: Site, end: str, outcome: str, text: str
) -> None:
    job = site.begin("rebuild", WAITS + end)
    eventually(site.begun, "the effect")
    (unit,) = site.action_units()
    site.kill_agent()
    assert site.unit(unit)["runs"]

    site.start_agent()
    site.machine.run("touch", "/go")
    told = site.outcome(job)

    assert told["outcome"] == outcome
    assert text in json.dumps(told["result"])
    assert site.effects() == ["begun"]
    eventually(lambda: not site.action_units(), "the unit's release")
    assert site.machine.run("ls", f"{STATE}/lib/actions") == ""


def test_what_ends_while_no_agent_runs_is_told_as_it_ended(site: Site) -> None:
    job = site.begin("rebuild", WAITS + "echo alone")
    eventually(site.begun, "the effect")
    (unit,) = site.action_units()
    site.kill_agent()
    site.machine.run("touch", "/go")
    eventually(lambda: not site.unit(unit)["runs"], "the end of the action")

    site.start_agent()

    told = site.outcome(job)
    assert (told["outcome"], told["result"]) == ("ok", {"Ok": "alone\n"})


def test_a_unit_that_is_killed_is_an_unknown_outcome(site: Site) -> None:
    job = site.begin("rebuild", WAITS)
    eventually(site.begun, "the effect")
    (unit,) = site.action_units()
    site.machine.run("systemctl", "kill", "--signal=KILL", unit)

    told = site.outcome(job)
    assert told["outcome"] == "unknown"
    assert "signal" in json.dumps(told)
    eventually(lambda: not site.action_units(), "the unit's release")


def test_a_cancel_leaves_no_process(site: Site) -> None:
    job = site.begin("rebuild", "setsid sleep 4242 & " + WAITS)
    eventually(site.begun, "the effect")
    site.emf("job", "cancel", job)

    assert site.outcome(job)["outcome"] == "cancelled"
    assert site.machine.run("pgrep", "-f", "sleep 4242", check=False) == ""
    eventually(lambda: not site.action_units(), "the unit's release")


def test_a_secret_is_on_no_disk_and_in_no_unit(site: Site) -> None:
    job = site.begin("unlock", "canary")

    assert site.outcome(job)["result"] == {"Ok": True}
    assert site.machine.run("grep", "-rl", "canary", STATE, check=False) == ""
    assert "canary" not in site.machine.run("journalctl", "--no-pager", "-o", "json")
