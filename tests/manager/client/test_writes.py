"""What ``emf`` sends when it changes something: done once, however often it has to be sent."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.manager.client.conftest import Desk

WRITES = [
    pytest.param("POST", ("node", "approve", "oss01"), id="node-approve"),
    pytest.param("POST", ("node", "revoke", "oss01"), id="node-revoke"),
    pytest.param("DELETE", ("node", "remove", "oss01", "--yes"), id="node-remove"),
    pytest.param("PUT", ("group", "set", "rack1", "oss01"), id="group-set"),
    pytest.param("DELETE", ("group", "delete", "rack1"), id="group-delete"),
    pytest.param("POST", ("run", "oss01", "start_unit", "--detach"), id="run"),
    pytest.param("POST", ("job", "cancel", "j1", "--json"), id="job-cancel"),
    pytest.param("POST", ("plan", "resume", "p1", "--detach"), id="plan-resume"),
]
ANSWER = {"id": "j1", "fqdn": "oss01", "certificates": 1, "name": "rack1", "nodes": "oss01"}


class Line(httpx.AsyncBaseTransport):
    """A connection to a manager that keeps what it was sent, and answers as it is told."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = self.answers.pop(0) if self.answers else done()
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("idempotency-key") for request in self.sent]


def done() -> httpx.Response:
    return httpx.Response(200, json={**ANSWER, "node_count": 1})


def lost() -> Exception:
    return httpx.ReadError("connection reset by peer")


def along(desk: Desk, *answers: httpx.Response | Exception) -> Line:
    line = Line(*answers)
    desk.transport = lambda: line
    return line


@pytest.mark.parametrize(("method", "words"), WRITES)
def test_a_write_whose_answer_is_lost_is_sent_again_as_the_same(
    desk: Desk, method: str, words: tuple[str, ...]
) -> None:
    line = along(desk, lost(), lost())

    result = desk.emf(*words)

    assert result.exit_code == 0, result.output
    assert [request.method for request in line.sent] == [method] * 3
    assert len(set(line.keys)) == 1
    assert line.keys[0] is not None


def test_each_write_has_a_key_of_its_own(desk: Desk) -> None:
    line = along(desk)

    for _ in range(2):
        assert desk.emf("group", "delete", "rack1").exit_code == 0

    assert len(set(line.keys)) == 2


def test_a_manager_that_stays_away_is_given_up(desk: Desk) -> None:
    line = along(desk, *(lost() for _ in range(9)))

    result = desk.emf("group", "delete", "rack1")

    assert result.exit_code == 69
    assert len(line.sent) == 4


def test_a_write_that_still_runs_is_waited_for(desk: Desk) -> None:
    runs = {"type": "urn:emf-agent:problem:conflict", "detail": "still runs"}
    line = along(desk, lost(), httpx.Response(409, headers={"Retry-After": "1"}, json=runs))

    assert desk.emf("group", "set", "rack1", "oss01").exit_code == 0
    assert len(line.sent) == 3


def test_a_write_that_was_refused_is_not_sent_again(desk: Desk) -> None:
    line = along(desk, httpx.Response(409, json={"title": "it conflicts"}))

    assert desk.emf("group", "delete", "rack1").exit_code == 1
    assert len(line.sent) == 1


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        pytest.param(("ping", "oss01"), {"results": []}, id="ping"),
        pytest.param(
            ("targets", "oss01"), {"matched": [], "left_out": [], "batches": 0}, id="targets"
        ),
    ],
)
def test_a_question_has_no_key(desk: Desk, words: tuple[str, ...], answer: dict[str, Any]) -> None:
    line = along(desk, httpx.Response(200, json=answer))

    desk.emf(*words)

    assert line.keys == [None]
