"""The history over HTTP: listed, read over a span, and every fault of a question named."""

from __future__ import annotations

from typing import Any

import pytest

from emf_manager import views as v
from emf_manager.history.book import SeriesView
from emf_manager.series import Mark
from tests.manager.api.conftest import Desk
from tests.manager.api.fakes import NODES, NOW

pytestmark = pytest.mark.anyio

NODE = NODES[0]
LOAD = SeriesView("load.one", Mark("gauge", "threads"), 0.123456789, NOW - 5)
SENT = SeriesView("net[eth0].sent", Mark("counter", "bytes"), None, None)


def has_history(desk: Desk) -> None:
    desk.history.kept[NODE, "host"] = (LOAD, SENT)


async def asked(desk: Desk, query: str = "", *, node: str = NODE, daemon: str = "host") -> Any:
    return await desk.call("GET", f"history/{node}/{daemon}{query}", "viewer")


async def test_series_are_listed_with_kind_unit_and_last_value(desk: Desk) -> None:
    has_history(desk)

    answer = await asked(desk)

    assert answer.status_code == 200
    load, sent = answer.json()["series"]
    assert (load["name"], load["kind"], load["unit"]) == ("load.one", "gauge", "threads")
    assert load["last"] == 0.1234568
    assert load["mean"] == []
    assert (sent["kind"], sent["last"]) == ("counter", None)
    assert desk.history.asked == []


async def test_a_span_is_shown_in_columns_with_holes(desk: Desk) -> None:
    has_history(desk)

    answer = await asked(
        desk, "?series=load.one&series=net[eth0].sent&from=2026-02-02T02:00:00Z&points=2"
    )

    said = answer.json()
    assert [one["name"] for one in said["series"]] == ["load.one", "net[eth0].sent"]
    assert said["series"][0]["mean"] == [2.0, None]
    assert said["series"][0]["min"] == [1.0, None]
    assert said["series"][0]["max"] == [3.0, None]
    assert said["times"] == [1769997600.0, 1769997600.0 + said["step_s"]]


@pytest.mark.parametrize(
    ("query", "start", "end", "points"),
    [
        ("", NOW - 3600, NOW, 300),
        ("&points=7", NOW - 3600, NOW, 7),
        (f"&from={NOW - 60:.0f}", NOW - 60, NOW, 300),
        ("&last=1800", NOW - 1800, NOW, 300),
        (f"&to={NOW - 100:.0f}", NOW - 3700, NOW - 100, 300),
        ("&to=2100-01-01T00:00:00Z", NOW - 3600, NOW, 300),
        ("&from=2026-02-02T03:00:00%2B01:00", 1769997600.0, NOW, 300),
    ],
)
async def test_a_span_ends_now_and_is_an_hour_if_nothing_is_said(
    desk: Desk, query: str, start: float, end: float, points: int
) -> None:
    has_history(desk)

    answer = await asked(desk, f"?series=load.one{query}")

    assert answer.status_code == 200, answer.text
    assert desk.history.asked == [(NODE, "host", ["load.one"], start, end, points)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?series=load.one&points=0", "query.points"),
        ("?series=load.one&points=2001", "query.points"),
        ("?series=load.one&points=many", "query.points"),
        ("?series=load.one&from=yesterday", "query.from"),
        ("?series=load.one&from=2026-01-01T00:00:00", "query.from"),
        ("?series=load.one&from=nan", "query.from"),
        ("?series=load.one&from=1e300", "query.from"),
        ("?series=load.one&from=2100-01-01T00:00:00Z", "query.from"),
        ("?series=load.one&from=1000-01-01T00:00:00Z", "query.from"),
        ("?series=load.one&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "query.from"),
        ("?series=load.one&last=0", "query.last"),
        ("?series=load.one&last=inf", "query.last"),
        ("?series=load.one&last=60&from=2026-01-01T00:00:00Z", "query.last"),
        ("?series=", "query.series"),
        ("?" + "&".join(f"series=s{n}" for n in range(21)), "query.series"),
        ("?series=load.one&step=5", "query.step"),
        ("?series=load.one&start=5", "query.start"),
    ],
)
async def test_each_fault_of_a_question_is_named(desk: Desk, query: str, field: str) -> None:
    has_history(desk)

    answer = await asked(desk, query)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith(field)
    assert desk.history.asked == []


async def test_what_does_not_exist_is_named_with_what_may_be_meant(desk: Desk) -> None:
    has_history(desk)
    desk.engine.values[NODE, "host"] = v.DataView(NODE, "host", "s", 1, NOW, 0.0, False, {})

    for answer in (
        await asked(desk, "?series=load.on"),
        await asked(desk, daemon="hosts"),
        await asked(desk, node="oss1.example.com"),
    ):
        assert answer.status_code == 404
        assert "did you mean" in answer.json()["detail"]


async def test_a_daemon_without_marks_has_an_empty_list(desk: Desk) -> None:
    desk.engine.values[NODE, "host"] = v.DataView(NODE, "host", "s", 1, NOW, 0.0, False, {})

    answer = await asked(desk)

    assert (answer.status_code, answer.json()["series"]) == (200, [])
