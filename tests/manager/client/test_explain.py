"""``emf --explain``: every command shows what it would ask, and asks nothing."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click
import httpx
import pytest

from tests.manager.client.conftest import Desk
from tests.manager.client.test_reference import COMMANDS

PLAN = Path(__file__).parents[3] / "examples" / "plans" / "restart-unit.yml"
SAMPLES: dict[str, tuple[str, ...]] = {
    "emf apply": (str(PLAN),),
    "emf audit verify": (),
    "emf config set": ("manager", "https://other.example.com"),
    "emf config unset": ("manager",),
    "emf run": ("oss01", "start_unit", "lnet.service"),
}
"""Words for commands that cannot do with those which their parameters' names suggest."""
BY_METAVAR = {"NODESET": "oss*", "NODE": "oss01", "JOB": "job-0001", "ALERT": "7"}


def words_for(path: str, command: click.Command) -> tuple[str, ...]:
    if path in SAMPLES:
        return SAMPLES[path]
    needed = [p for p in command.params if isinstance(p, click.Argument) and p.required]
    return tuple(BY_METAVAR.get(p.make_metavar(click.Context(command)), "host") for p in needed)


@pytest.fixture
def shown(desk: Desk) -> Desk:
    """A desk whose manager must not be asked."""

    def never() -> httpx.AsyncBaseTransport:
        raise AssertionError("a connection was opened")

    desk.transport = never
    return desk


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path)
def test_each_command_shows_its_request_and_sends_none(shown: Desk, path: str) -> None:
    words = ("--explain", *path.split()[1:], *words_for(path, COMMANDS[path]))

    result = shown.emf(*words)

    assert result.exit_code == 0, result.output
    if path.startswith("emf config"):
        assert "asks no manager" in result.stderr
        assert not shown.config.exists()
        return
    assert result.stdout.startswith("curl ")
    assert '"Authorization: Bearer $EMF_TOKEN"' in result.stdout
    assert "operator-token" not in result.output
    assert shown.engine.orders == []


def asked(desk: Desk, *words: str) -> dict[str, Any]:
    """Return what curl would be told."""
    curl = shlex.split(desk.emf("--explain", *words).stdout.replace("\\\n", " "))
    assert curl.pop(0) == "curl"
    told: dict[str, Any] = {"headers": [], "method": "GET"}
    while curl:
        match curl.pop(0):
            case "--request":
                told["method"] = curl.pop(0)
            case "--header":
                told["headers"].append(curl.pop(0))
            case "--data":
                told["body"] = json.loads(curl.pop(0))
            case "--cacert":
                told["ca"] = curl.pop(0)
            case "--no-buffer":
                told["stream"] = True
            case url:
                told["url"] = urlsplit(url)
    return told


def test_an_order_is_shown_whole(shown: Desk) -> None:
    told = asked(shown, "run", "oss[01-02]", "start_unit", '{"unit": "it\'s $HOME"}', "--dry-run")

    assert (told["method"], told["url"].path) == ("POST", "/api/v1/jobs")
    assert told["body"]["args"] == {"unit": "it's $HOME"}
    assert told["body"]["dry_run"] is True
    assert any(header.startswith("Idempotency-Key: ") for header in told["headers"])
    assert "Content-Type: application/json" in told["headers"]


def test_a_filter_is_shown_in_the_address(shown: Desk) -> None:
    told = asked(shown, "node", "list", "oss[01-16]", "--state", "silent")

    assert told["method"] == "GET"
    query = parse_qs(told["url"].query)
    assert query == {"nodes": ["oss[01-16]"], "state": ["silent"], "limit": ["500"]}


def test_a_stream_is_shown_as_one(shown: Desk) -> None:
    told = asked(shown, "event", "tail", "--after", "17")

    assert told["url"].path == "/api/v1/events/stream"
    assert told["stream"]
    assert "Last-Event-Id: 17" in told["headers"]


def test_nobody_is_asked_whether_they_mean_it(shown: Desk) -> None:
    told = asked(shown, "node", "remove", "oss01", "--reason", "gone")

    assert (told["method"], told["url"].path) == ("DELETE", "/api/v1/nodes/oss01")


def test_bad_words_are_told_as_without_it(shown: Desk) -> None:
    assert shown.emf("--explain", "run", "oss01", "start_unit", "{").exit_code == 2
    assert shown.emf("--explain", "alert", "show", "x").exit_code == 2


def test_one_request_too_many_is_sent_again_after_a_while(desk: Desk) -> None:
    answers = [429, 429, 200]

    def handle(request: httpx.Request) -> httpx.Response:
        status = answers.pop(0)
        if status == 200:
            return httpx.Response(200, json={"user": "m", "role": "viewer", "permissions": []})
        return httpx.Response(429, headers={"Retry-After": "3600"}, json={"type": "x:too-many"})

    desk.transport = lambda: httpx.MockTransport(handle)

    assert desk.emf("whoami").exit_code == 0
    assert answers == []


def test_a_manager_that_has_too_much_for_long_is_an_error(desk: Desk) -> None:
    problem = {"type": "urn:emf-agent:problem:too-many", "title": "Too many requests"}
    desk.transport = lambda: httpx.MockTransport(lambda _: httpx.Response(429, json=problem))

    result = desk.emf("whoami")

    assert result.exit_code == 1
    assert "Too many requests" in result.stderr
