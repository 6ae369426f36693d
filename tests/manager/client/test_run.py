"""``emf run``: what it asks for, what it says, and the exit code it leaves with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from emf_manager import views as v
from tests.manager.api.fakes import NODES
from tests.manager.api.in_memory import InMemory
from tests.manager.client.conftest import Desk

OSS = [node for node in sorted(NODES) if node.startswith("oss")]
RUN = ("run", "oss[01-03]", "start_unit", '{"unit": "lnet.service"}')


def ends(desk: Desk, **outcomes: Any) -> None:
    """Let each node of the next job end so, once somebody watches; None leaves it open."""

    def play() -> None:
        (job,) = desk.engine.kept.values()
        for node in (target.node for target in job.targets):
            changes = outcomes.get(node.partition(".")[0], outcomes.get("others"))
            if changes and next(t for t in job.targets if t.node == node).state != "final":
                desk.engine.move(job.id, node, **changes)

    desk.engine.on_subscribe = play


OK = {"outcome": "ok", "result": {"Ok": None}}


def test_equal_answers_are_folded_and_the_counts_add_up(desk: Desk) -> None:
    failed = {"outcome": "failed", "result": {"Err": "Unit lnet.service not found."}}
    ends(desk, oss02=failed, others=OK)

    result = desk.emf(*RUN)

    assert result.stdout.splitlines() == [
        "oss[01,03].example.com: ok",
        "oss02.example.com: failed: Unit lnet.service not found.",
        "3 targeted = 2 succeeded + 1 failed",
    ]
    assert result.exit_code == 1


def test_values_and_long_texts_are_shown(desk: Desk) -> None:
    ends(
        desk,
        oss01={"outcome": "ok", "result": {"Ok": {"installed": True}}},
        oss02={"outcome": "failed", "result": {"Err": "first line\nsecond line\n"}},
        oss03={"outcome": "refused", "reason": "not in the allowlist"},
    )

    result = desk.emf(*RUN)

    assert result.stdout.splitlines() == [
        'oss01.example.com: ok: {"installed": true}',
        "oss02.example.com: failed:",
        "  first line",
        "  second line",
        "oss03.example.com: refused: not in the allowlist",
        "3 targeted = 1 succeeded + 1 failed + 1 refused",
    ]


def test_a_node_cannot_drive_the_terminal(desk: Desk) -> None:
    ends(desk, others={"outcome": "ok", "result": {"Ok": "\x1b]0;owned\x07\x1b[2J\r"}})

    result = desk.emf(*RUN)

    assert "\x1b" not in result.output
    assert "\\x1b]0;owned" in result.stdout


EXIT_CODES: list[tuple[str, dict[str, Any], int]] = [
    ("done everywhere", {"others": OK}, 0),
    ("failed somewhere", {"oss01": {"outcome": "failed", "result": {"Err": "x"}}, "others": OK}, 1),
    ("cancelled somewhere", {"oss01": {"outcome": "cancelled"}, "others": OK}, 1),
    ("never reached", {"oss01": {"outcome": "expired"}, "others": OK}, 3),
    ("lost contact", {"oss01": {"outcome": "unknown", "reason": "no-contact"}, "others": OK}, 3),
    ("refused by the node", {"oss01": {"outcome": "refused", "reason": "r"}, "others": OK}, 5),
    ("out of time on the node", {"oss01": {"outcome": "timed_out"}, "others": OK}, 124),
    (
        "failure outranks silence",
        {"oss01": {"outcome": "failed"}, "oss02": {"outcome": "expired"}, "others": OK},
        1,
    ),
]


@pytest.mark.parametrize(
    ("outcomes", "code"), [row[1:] for row in EXIT_CODES], ids=[row[0] for row in EXIT_CODES]
)
def test_the_exit_code_says_how_it_ended(desk: Desk, outcomes: dict[str, Any], code: int) -> None:
    ends(desk, **outcomes)

    assert desk.emf(*RUN).exit_code == code


def test_where_only_silent_nodes_are_left_at_the_deadline_it_says_so(desk: Desk) -> None:
    ends(desk, oss03={"silent": True}, others=OK)

    result = desk.emf(*RUN, "--timeout", "30")

    assert result.exit_code == 3
    assert "oss03.example.com: silent: no contact, no outcome yet" in result.stdout
    assert "3 targeted = 1 queued + 2 succeeded" in result.stdout
    assert "waiting for silent nodes: oss03.example.com" in result.stderr
    assert "emf job tail job-0001" in result.stderr


def test_where_nodes_still_work_at_the_deadline_it_has_passed(desk: Desk) -> None:
    ends(desk, oss03={"state": "started"}, others=OK)

    result = desk.emf(*RUN, "--timeout", "30")

    assert result.exit_code == 124
    assert "oss03.example.com: running: no outcome yet" in result.stdout
    (order,) = desk.engine.orders
    assert (order.timeout_s, order.expires_in_s) == (30, 30), "the deadline travels with the job"


def test_a_node_that_falls_silent_on_the_way_is_named(desk: Desk) -> None:
    def play() -> None:
        desk.engine.happen("node.silent", OSS[2], reason="no contact")

    desk.engine.on_subscribe = play

    result = desk.emf(*RUN, "--timeout", "5")

    assert "waiting for silent nodes: oss03.example.com" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("run", "oss[01-09]", "start_unit", "x"), 4, "oss[04-09]"),
        (("run", "zzz*", "start_unit", "x"), 4, "no enrolled node"),
        (("run", "oss[01-", "start_unit", "x"), 2, "oss[01-"),
        (("run", "*", "start_unti", "x"), 2, "start_unit"),
        (("run", "*", "start_unit", '{"unit": 42}'), 2, "args.unit: expected a string, got 42"),
        (("run", "*", "start_unit", "{"), 2, "not JSON"),
        (("run", "*", "start_unit", "@/nowhere/args.json"), 2, "/nowhere/args.json"),
        (("run", "*", "start_unit", "--timeout", "0"), 2, "--timeout"),
        (("run", "*", "start_unit", "--expires", "-1"), 2, "--expires"),
        (("run", "*", "start_unit", "--timeout", "soon"), 2, "soon"),
        (("run", "*", "start_unit", "x", "--json", "--jsonl"), 2, "choose one"),
        (("run", "*"), 2, "ACTION"),
        (("rnu", "*", "start_unit"), 2, "did you mean run"),
        (("job", "shwo", "x"), 2, "did you mean show"),
        (("job", "show", "job-9999"), 1, "job-9999"),
        (("node", "show", "oss1.example.com"), 1, "did you mean oss01.example.com"),
        (("action", "show", "start_unti"), 1, "did you mean start_unit"),
    ],
)
def test_what_is_wrong_is_said_on_stderr(
    desk: Desk, words: tuple[str, ...], code: int, told: str
) -> None:
    result = desk.emf(*words)

    assert result.exit_code == code, result.output
    assert told in result.stderr
    assert result.stdout == ""
    assert desk.engine.orders == []


def test_a_role_that_may_not_is_refused(desk: Desk) -> None:
    desk.environ["EMF_TOKEN"] = "viewer-token"

    result = desk.emf(*RUN)

    assert result.exit_code == 5
    assert "viewer" in result.stderr


def test_a_token_that_is_not_valid_is_refused(desk: Desk) -> None:
    desk.environ["EMF_TOKEN"] = "wrong-token"

    result = desk.emf("node", "list")

    assert result.exit_code == 5
    assert "not valid" in result.stderr


def test_a_manager_that_is_down_is_said_to_be(desk: Desk) -> None:
    def down() -> httpx.AsyncBaseTransport:
        transport = InMemory(desk.app)
        transport.refusing = True
        return transport

    desk.transport = down

    result = desk.emf(*RUN)

    assert result.exit_code == 69
    assert "https://manager.example.com:7443 did not answer" in result.stderr


def test_an_authority_that_is_not_known_says_what_to_set(desk: Desk) -> None:
    def strange(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")

    desk.transport = lambda: httpx.MockTransport(strange)

    result = desk.emf("node", "list")

    assert result.exit_code == 69
    assert "--ca" in result.stderr


def test_an_address_where_something_else_answers_is_said_to_be(desk: Desk) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="<html>hello</html>")

    desk.transport = lambda: httpx.MockTransport(page)

    result = desk.emf("node", "list")

    assert result.exit_code == 69
    assert "not an EMF manager" in result.stderr


class LosesAnswers(InMemory):
    """Does what is asked, but the answer to the first request never arrives."""

    lost = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if request.method == "POST" and LosesAnswers.lost == 0:
            LosesAnswers.lost += 1
            await answer.aclose()
            raise httpx.ReadError("connection reset by peer")
        return answer


def test_a_lost_answer_starts_nothing_twice(desk: Desk) -> None:
    LosesAnswers.lost = 0
    desk.transport = lambda: LosesAnswers(desk.app)
    ends(desk, others=OK)

    result = desk.emf(*RUN)

    assert result.exit_code == 0
    assert LosesAnswers.lost == 1
    assert len(desk.engine.orders) == 1


class BreaksStreams(InMemory):
    """Its first event streams end after one event."""

    breaks = 3

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if request.url.path.endswith("/events/stream") and BreaksStreams.breaks:
            BreaksStreams.breaks -= 1
            await answer.aclose()
            raise httpx.ReadError("connection reset by peer")
        return answer


def test_a_stream_that_breaks_loses_no_outcome(desk: Desk) -> None:
    BreaksStreams.breaks = 3
    desk.transport = lambda: BreaksStreams(desk.app)
    ends(desk, others=OK)

    result = desk.emf(*RUN)

    assert result.exit_code == 0
    assert BreaksStreams.breaks == 0
    assert "3 targeted = 3 succeeded" in result.stdout


def test_a_slow_reader_that_was_cut_off_comes_back(desk: Desk) -> None:
    turns = 0

    def play() -> None:
        nonlocal turns
        turns += 1
        (job,) = desk.engine.kept.values()
        if turns == 1:
            for number in range(200):
                desk.engine.happen("job.progress", OSS[0], job=job.id, fraction=number / 200)
        else:
            for node in OSS:
                desk.engine.move(job.id, node, **OK)

    desk.engine.on_subscribe = play

    assert desk.emf(*RUN).exit_code == 0
    assert turns == 2


def test_a_job_that_is_over_at_once_needs_no_stream(desk: Desk) -> None:
    def at_once(job: v.JobView) -> None:
        for target in job.targets:
            desk.engine.move(job.id, target.node, **OK)

    desk.engine.on_create = at_once
    desk.engine.on_subscribe = lambda: pytest.fail("a stream was opened")

    assert desk.emf(*RUN).exit_code == 0


def test_an_interrupt_leaves_the_job_and_says_how_to_follow_it(desk: Desk) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    desk.engine.on_subscribe = press

    result = desk.emf(*RUN)

    assert result.exit_code == 130
    assert "emf job tail job-0001" in result.stderr
    assert "emf job cancel job-0001" in result.stderr
    assert all(target.cancel is None for target in desk.engine.kept["job-0001"].targets)


def test_detached_it_prints_the_id_and_leaves(desk: Desk) -> None:
    result = desk.emf(*RUN, "--detach")

    assert result.exit_code == 0
    assert result.stdout == "job-0001\n"
    assert "emf job tail job-0001" in result.stderr


def test_one_document_has_everything(desk: Desk) -> None:
    ends(desk, oss02={"outcome": "failed", "result": {"Err": "x"}}, others=OK)

    result = desk.emf(*RUN, "--json")

    document = json.loads(result.stdout)
    assert document["job"] == "job-0001"
    assert document["counts"]["targeted"] == 3
    assert sum(document["counts"].values()) == 6
    assert [(t["node"], t["outcome"]) for t in document["targets"]] == [
        (OSS[0], "ok"),
        (OSS[1], "failed"),
        (OSS[2], "ok"),
    ]
    assert result.exit_code == 1


def test_lines_come_one_an_outcome_then_the_counts(desk: Desk) -> None:
    ends(desk, others=OK)

    lines = [json.loads(line) for line in desk.emf(*RUN, "--jsonl").stdout.splitlines()]

    assert [line.get("node") for line in lines] == [*OSS, None]
    assert lines[-1]["counts"]["succeeded"] == 3


@pytest.mark.parametrize(
    ("word", "stdin", "args"),
    [
        (None, None, None),
        ("lnet.service", None, "lnet.service"),
        ('"two words"', None, "two words"),
        ('["a", 1]', None, ["a", 1]),
        ("42", None, 42),
        ("true", None, True),
        ("-", '{"unit": "piped"}', {"unit": "piped"}),
    ],
)
def test_arguments_are_read_from_where_they_are(
    desk: Desk, word: str | None, stdin: str | None, args: Any
) -> None:
    words = ["run", "oss01", "start_unit", *([] if word is None else [word]), "--detach"]

    result = desk.emf(*words, stdin=stdin)

    assert result.exit_code == 0, result.output
    assert desk.engine.orders[0].args == args


def test_arguments_may_stand_in_a_file(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "args.json").write_text('{"unit": "from a file"}')

    desk.emf("run", "oss01", "start_unit", f"@{tmp_path}/args.json", "--detach")

    assert desk.engine.orders[0].args == {"unit": "from a file"}


@pytest.mark.parametrize(
    ("written", "seconds"), [("90", 90), ("0.5", 0.5), ("30s", 30), ("15m", 900), ("1h", 3600)]
)
def test_a_timeout_is_written_as_people_write_it(desk: Desk, written: str, seconds: float) -> None:
    desk.emf(*RUN, "--timeout", written, "--expires", written, "--detach")

    (order,) = desk.engine.orders
    assert (order.timeout_s, order.expires_in_s) == (seconds, seconds)


def test_every_wish_reaches_the_job(desk: Desk) -> None:
    desk.emf(*RUN, "-x", "oss02", "--timeout", "9", "--expires", "60", "--dry-run", "--detach")

    (order,) = desk.engine.orders
    assert order.nodes == (OSS[0], OSS[2])
    assert (order.timeout_s, order.expires_in_s, order.dry_run) == (9, 60, True)
    assert order.requester == "operator"
    assert order.idempotency_key
