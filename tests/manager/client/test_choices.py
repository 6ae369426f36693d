"""``emf run``, ``targets`` and ``group``: which nodes, in which steps, and what is said of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emf_manager.rollouts import Rollout, Share
from tests.manager.client.conftest import Desk

RUN = ("run", "oss[01-03]", "start_unit", '{"unit": "lnet.service"}')
OSS = [f"oss0{number}.example.com" for number in (1, 2, 3)]
OK = {"outcome": "ok", "result": {"Ok": None}}


def test_flags_become_the_order(desk: Desk) -> None:
    desk.engine.told = {node: {"os.name": "rhel"} for node in OSS}

    desk.emf(
        *RUN,
        *("-F", "os.name=rhel", "--batch", "2", "--limit", "100%", "--canary", "1"),
        *("--fail-limit", "50%", "--expect", "3", "--deadline", "1h", "--detach"),
    )

    (order,) = desk.engine.orders
    assert order.rollout == Rollout(
        batch=Share(2),
        limit=Share(100, percent=True),
        canary=Share(1),
        fail_limit=Share(50, percent=True),
    )
    assert (order.expect, order.deadline_s) == (3, 3600.0)


@pytest.mark.parametrize(
    ("flags", "code", "word"),
    [
        (("--batch", "0"), 2, "1 to 20000"),
        (("--batch", "101%"), 2, "1% to 100%"),
        (("--limit", "half"), 2, "1 to 20000"),
        (("--spread", "rack"), 2, "rack"),
        (("--fail-limit", "4"), 2, "at most the 3 nodes of the job, got 4"),
        (("--expect", "4"), 2, "4 nodes to match, got 3"),
        (("-F", "os.name"), 2, "write NAME=VALUE"),
        (("-F", "fqnd=x"), 2, "did you mean fqdn"),
        (("-F", "fqdn=x"), 4, "fqdn is oss01.example.com"),
        (("--detach", "--follow"), 2, "choose one"),
        (("--json", "--follow"), 2, "--jsonl"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_run(
    desk: Desk, flags: tuple[str, ...], code: int, word: str
) -> None:
    result = desk.emf(*RUN, *flags)

    assert (result.exit_code, word in result.stderr) == (code, True), result.stderr
    assert desk.engine.orders == []


def test_held_nodes_are_named_and_the_sum_adds_up(desk: Desk) -> None:
    def play() -> None:
        (job,) = desk.engine.kept.values()
        if job.targets[0].state != "final":
            desk.engine.move(job.id, OSS[0], **OK)

    desk.engine.on_subscribe = play

    result = desk.emf(*RUN, "--batch", "1", "--timeout", "5", "--deadline", "1")

    assert result.stdout.splitlines() == [
        "oss01.example.com: ok",
        "oss[02-03].example.com: held: a later batch, not released yet",
        "3 targeted = 2 held + 1 succeeded",
    ]
    assert result.exit_code == 124


def test_batches_are_told_as_they_are_released(desk: Desk) -> None:
    def play() -> None:
        (job,) = desk.engine.kept.values()
        for number, node in enumerate(OSS, 1):
            if job.targets[number - 1].state == "final":
                return
            if number > 1:
                desk.engine.happen("job.released", None, job=job.id, batch=number, targets=1)
            desk.engine.move(job.id, node, **OK)

    desk.engine.on_subscribe = play

    result = desk.emf(*RUN, "--batch", "1")

    assert result.exit_code == 0
    assert "batch 2 of 3, 1 nodes are held" in result.stderr
    assert result.stdout.splitlines()[-1] == "3 targeted = 3 succeeded"


def logs(desk: Desk) -> None:
    def play() -> None:
        (job,) = desk.engine.kept.values()
        if job.targets[0].state == "final":
            return
        said: dict[str, Any] = {"fraction": 0.5, "message": None, "log": ["one", "two\x1b[2J"]}
        desk.engine.happen("job.progress", OSS[0], job=job.id, action_id="a", **said)
        for node in OSS:
            desk.engine.move(job.id, node, **OK)

    desk.engine.on_subscribe = play


def test_what_actions_log_is_shown_where_that_is_asked_for(desk: Desk) -> None:
    logs(desk)

    result = desk.emf(*RUN, "--follow")

    assert result.stdout.splitlines()[:2] == [
        "oss01.example.com: one",
        r"oss01.example.com: two\x1b[2J",
    ]
    assert result.stdout.splitlines()[-1] == "3 targeted = 3 succeeded"


def test_machines_are_told_too(desk: Desk) -> None:
    logs(desk)

    lines = [json.loads(line) for line in desk.emf(*RUN, "--follow", "--jsonl").stdout.splitlines()]

    assert lines[0] == {"job": "job-0001", "node": OSS[0], "log": ["one", "two\x1b[2J"]}


def test_without_asking_for_it_no_log_is_shown(desk: Desk) -> None:
    logs(desk)

    assert "one" not in desk.emf(*RUN).stdout


def test_a_second_cancel_says_who_asked_first(desk: Desk) -> None:
    job = desk.emf(*RUN, "--detach").stdout.strip()
    for node in OSS:
        desk.engine.move(job, node, cancel="asked", cancelled_by="bob")

    result = desk.emf("job", "cancel", job)

    assert result.exit_code == 0
    assert "3 nodes are asked to stop (first by bob)" in result.stderr


def test_jobs_are_listed_by_state_and_action(desk: Desk) -> None:
    job = desk.emf(*RUN, "--detach").stdout.strip()

    assert [each["id"] for each in desk.json("job", "list", "--state", "running", "--json")] == [
        job
    ]
    assert desk.json("job", "list", "--state", "done", "--json") == []
    assert desk.json("job", "list", "--action", "stop_unit", "--json") == []


def test_targets_are_shown_folded_with_the_reasons(desk: Desk) -> None:
    desk.engine.told = {node: {"os.name": "rhel"} for node in OSS}
    desk.engine.silence(OSS[1])

    result = desk.emf("targets", "*", "-x", "oss03", "-F", "os.name=rhel", "--batch", "1")

    assert result.stdout.splitlines() == [
        "batch 1: oss01.example.com: connected",
        "batch 2: oss02.example.com: silent",
        "left out: oss03.example.com: excluded",
        "left out: mds01.example.com: has no fact os.name",
    ] or result.stdout.splitlines()[2:] == [
        "left out: mds01.example.com: has no fact os.name",
        "left out: oss03.example.com: excluded",
    ]
    assert "4 nodes = 2 match + 2 left out" in result.stderr


def test_nothing_that_matches_is_exit_code_4(desk: Desk) -> None:
    assert desk.emf("targets", "*", "-F", "fqdn=nobody").exit_code == 4


def test_facts_are_shown(desk: Desk) -> None:
    desk.engine.told = {OSS[0]: {"lustre.target": ("fs1-OST0000", "fs1-OST0001")}}

    result = desk.emf("targets", "oss01", "--facts")

    assert "oss01.example.com  lustre.target  fs1-OST0000, fs1-OST0001" in result.stdout


def test_groups_are_set_listed_used_and_deleted(desk: Desk) -> None:
    assert "(2 nodes)" in desk.emf("group", "set", "spare", "oss[02-03]").stderr
    assert "@spare" in desk.emf("group", "list").stdout
    assert len(desk.json("targets", "@spare", "--json")["matched"]) == 2
    assert desk.emf("group", "delete", "spare").exit_code == 0
    assert desk.emf("targets", "@spare").exit_code == 2


def test_a_ping_takes_facts(desk: Desk) -> None:
    desk.engine.told = {OSS[0]: {"os.name": "rhel"}}

    answer = desk.json("ping", "*", "-F", "os.name=rhel", "--json")

    assert [each["node"] for each in answer["results"]] == [OSS[0]]
