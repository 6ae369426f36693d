"""The other commands: what they print for people, and the same as JSON."""

from __future__ import annotations

import json

import pytest

from tests.manager.api.fakes import NODES, data_view
from tests.manager.client.conftest import Desk

FIRST, *_ = sorted(NODES)


def test_nodes_are_listed_as_a_table(desk: Desk) -> None:
    desk.engine.silence("oss03.example.com")

    lines = desk.emf("node", "list").stdout.splitlines()

    assert lines[0].split() == [
        "NODE",
        "STATE",
        "CONTACT",
        "ALERTS",
        "PROTOCOL",
        "VERSION",
        "SESSIONS",
    ]
    assert lines[1].split() == [FIRST, "connected", "3s", "-", "2", "0.1.0", "2", "active"]
    assert [line.split()[1] for line in lines[1:]] == ["connected"] * 3 + ["silent"]


def test_nodes_are_listed_as_json(desk: Desk) -> None:
    found = desk.json("node", "list", "oss*", "-x", "oss01", "--json")

    assert [node["fqdn"] for node in found] == ["oss02.example.com", "oss03.example.com"]


def test_a_node_is_shown_with_its_sessions(desk: Desk) -> None:
    result = desk.emf("node", "show", "oss01")

    assert "oss01.example.com" in result.stdout
    assert "connected" in result.stdout
    assert desk.json("node", "show", "oss01", "--json")["sessions"]["host"] == "active"


def test_sessions_are_listed(desk: Desk) -> None:
    found = desk.json("session", "list", "oss01", "--daemon", "host", "--json")

    assert [(each["node"], each["daemon"]) for each in found] == [("oss01.example.com", "host")]
    assert "oss01.example.com" in desk.emf("session", "list").stdout


def test_data_is_json_and_its_age_is_said_beside_it(desk: Desk) -> None:
    key = ("oss01.example.com", "host")
    desk.engine.values[key] = data_view(*key, {"load": 0.5}, stale=True)

    result = desk.emf("data", "oss01", "host")

    assert json.loads(result.stdout) == {"load": 0.5}
    assert "STALE" in result.stderr
    assert desk.json("data", "oss01", "host", "--json")["stale"] is True


def test_data_that_is_not_there_is_an_error(desk: Desk) -> None:
    result = desk.emf("data", "oss01", "host")

    assert result.exit_code == 1
    assert "there is no data of oss01.example.com for the daemon 'host'" in result.stderr


def test_actions_are_listed_and_shown(desk: Desk) -> None:
    lines = desk.emf("action", "list").stdout.splitlines()
    shown = desk.emf("action", "show", "start_unit").stdout

    assert lines[1].split()[:3] == ["start_unit", "4", "units"]
    assert "unit: string  Name of the unit." in shown
    assert "oss[01-03].example.com" in shown
    assert desk.json("action", "show", "start_unit", "--json")["node_count"] == 4


def test_ping_tells_who_answers(desk: Desk) -> None:
    result = desk.emf("ping", "oss*")
    assert result.exit_code == 0
    assert "3 targeted = 3 alive + 0 silent" in result.stderr

    desk.engine.silence("oss02.example.com")
    result = desk.emf("ping", "oss*")
    assert result.exit_code == 3
    assert "no answer" in result.stdout

    assert desk.emf("ping", "zzz*").exit_code == 4
    assert len(json.loads(desk.emf("ping", "oss*", "--json").stdout)["results"]) == 3


def test_jobs_are_listed_shown_and_cancelled(desk: Desk) -> None:
    desk.emf("run", "oss[01-02]", "start_unit", "x", "--detach")
    desk.engine.move("job-0001", "oss01.example.com", outcome="ok")

    assert desk.emf("job", "list").stdout.splitlines()[1].split()[0] == "job-0001"
    assert [job["id"] for job in desk.json("job", "list", "--json")] == ["job-0001"]
    assert "2 targeted = 1 queued + 1 succeeded" in desk.emf("job", "show", "job-0001").stdout
    assert desk.json("job", "show", "job-0001", "--json")["counts"]["succeeded"] == 1

    assert "1 nodes are asked to stop" in desk.emf("job", "cancel", "job-0001").stderr
    assert desk.engine.kept["job-0001"].targets[1].cancel == "asked"


def test_cancelling_what_is_over_says_so(desk: Desk) -> None:
    desk.emf("run", "oss01", "start_unit", "x", "--detach")
    desk.engine.move("job-0001", "oss01.example.com", outcome="ok")

    result = desk.emf("job", "cancel", "job-0001")

    assert result.exit_code == 0
    assert "over already" in result.stderr


def test_a_job_is_tailed_to_its_end_with_its_exit_code(desk: Desk) -> None:
    desk.emf("run", "oss01", "start_unit", "x", "--detach")
    desk.engine.on_subscribe = lambda: desk.engine.move(
        "job-0001", "oss01.example.com", outcome="failed", result={"Err": "no"}
    )

    result = desk.emf("job", "tail", "job-0001")

    assert result.exit_code == 1
    assert "oss01.example.com: failed: no" in result.stdout


def test_events_are_listed_and_tailed(desk: Desk) -> None:
    for number in range(1, 4):
        desk.engine.happen("node.silent" if number == 2 else "tick", "oss01.example.com", n=number)

    assert len(desk.emf("event", "list").stdout.splitlines()) == 3
    assert [e["sequence"] for e in desk.json("event", "list", "--kind", "tick", "--json")] == [1, 3]
    tail = desk.emf("event", "tail", "--after", "1", "--count", "2", "--jsonl")
    assert [json.loads(line)["sequence"] for line in tail.stdout.splitlines()] == [2, 3]


def test_an_interrupt_ends_the_tail_with_its_own_code(desk: Desk) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    desk.engine.on_subscribe = press

    assert desk.emf("event", "tail").exit_code == 130


def test_a_gap_in_the_events_is_said(desk: Desk) -> None:
    for number in range(5):
        desk.engine.happen("tick", n=number)
    desk.engine.forgotten = 3

    tail = desk.emf("event", "tail", "--after", "1", "--count", "1")

    assert "missing" in tail.stderr


def test_whoami(desk: Desk) -> None:
    assert desk.emf("whoami").stdout == "operator (operator: operate, read)\n"
    assert desk.json("whoami", "--json")["role"] == "operator"


def test_the_version_is_told_without_a_manager(desk: Desk) -> None:
    desk.environ.clear()

    assert desk.emf("--version").stdout.startswith("emf, version ")


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}])
def test_no_colour_goes_into_a_pipe(desk: Desk, environ: dict[str, str]) -> None:
    desk.environ.update(environ)

    assert "\x1b" not in desk.emf("node", "list").stdout
