"""``emf data`` over time and ``emf watch``: numbers with their unit, pushed, never polled."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from emf_manager.client.numbers import quantity, sparkline
from emf_manager.history.book import SeriesView
from emf_manager.series import Mark
from tests.manager.api.fakes import NODES, NOW, data_view
from tests.manager.client.conftest import Desk

NODE = NODES[0]
KEY = (NODE, "network")
RX = SeriesView("net[eth0].rx", Mark("counter", "bytes"), 1536.0, NOW)
LOAD = SeriesView("load.one", Mark("gauge", "threads"), 0.5, NOW)


@pytest.fixture(autouse=True)
def says(desk: Desk) -> None:
    desk.engine.values[KEY] = data_view(*KEY, {"some": "thing"})
    desk.history.kept[KEY] = (LOAD, RX)


def test_a_value_is_followed_with_its_numbers(desk: Desk) -> None:
    result = desk.emf("watch", "oss01", "network", "--count", "1")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["SERIES", "LAST", "LATELY"]
    assert result.stdout.splitlines()[1].split()[:3] == ["load.one", "0.5", "threads"]
    assert result.stdout.splitlines()[2].split()[:3] == ["net[eth0].rx", "1.5", "KiB/s"]
    assert "as of" in result.stderr


def test_series_are_chosen_with_wildcards_and_brackets_are_no_wildcard(desk: Desk) -> None:
    result = desk.emf("watch", "oss01", "network", "--count", "1", "--series", "net[eth0].*")

    assert "net[eth0].rx" in result.stdout
    assert "load.one" not in result.stdout


def test_a_series_that_is_none_is_named(desk: Desk) -> None:
    result = desk.emf("watch", "oss01", "network", "--series", "net0")

    assert result.exit_code == 2
    assert "no series is called 'net0'" in result.stderr


def test_machines_get_a_line_for_each_value(desk: Desk) -> None:
    result = desk.emf("watch", "oss01", "network", "--count", "1", "--jsonl")

    (line,) = result.stdout.splitlines()
    said = json.loads(line)
    assert said["value"] == {"some": "thing"}
    assert said["series"] == {"load.one": 0.5, "net[eth0].rx": 1536.0}


def test_a_daemon_without_numbers_is_followed_as_it_is(desk: Desk) -> None:
    desk.history.kept.clear()

    result = desk.emf("watch", "oss01", "network", "--count", "1")

    assert json.loads(result.stdout) == {"some": "thing"}


def test_a_stale_value_says_so(desk: Desk) -> None:
    desk.engine.values[KEY] = replace(desk.engine.values[KEY], stale=True)

    assert "STALE" in desk.emf("watch", "oss01", "network", "--count", "1").stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("watch", "oss01", "netwrk"), 1),
        (("watch", "oss9", "network"), 1),
        (("watch", "oss01", "network", "--count", "0"), 2),
        (("watch", "oss01", "network", "--interval", "soon"), 2),
        (("data", "oss01", "network", "--history", "load"), 1),
        (("data", "oss01", "network", "--history", "load.one", "--since", "0"), 2),
        (("data", "oss01", "network", "--history", "load.one", "--points", "9999"), 2),
        (("data", "oss01", "network", "--since", "1h"), 2),
    ],
)
def test_bad_input_is_named(desk: Desk, words: tuple[str, ...], code: int) -> None:
    result = desk.emf(*words)

    assert result.exit_code == code
    assert result.stderr.strip()


def test_series_are_listed(desk: Desk) -> None:
    lines = desk.emf("data", "oss01", "network", "--list-series").stdout.splitlines()

    assert lines[2].split()[:4] == ["net[eth0].rx", "counter", "1.5", "KiB/s"]
    listed = desk.json("data", "oss01", "network", "--list-series", "--json")["series"]
    assert [one["name"] for one in listed] == ["load.one", "net[eth0].rx"]


def test_a_history_is_a_table_or_a_document(desk: Desk) -> None:
    words = ("data", "oss01", "network", "--history", "net[eth0].rx", "--since", "30m")

    result = desk.emf(*words)
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["TIME", "MEAN", "MIN", "MAX"]
    assert first.split()[1:] == ["2", "B/s", "1", "B/s", "3", "B/s"]
    assert second.split()[1:] == ["-", "-", "-"]
    assert desk.json(*words, "--json")["series"][0]["mean"] == [2.0, None]
    _, _, names, _, _, points = desk.history.asked[-1]
    assert (names, points) == (["net[eth0].rx"], 60)


@pytest.mark.parametrize(
    ("value", "unit", "per_second", "shown"),
    [
        (None, "bytes", False, "-"),
        (0, "bytes", False, "0 B"),
        (1023, "bytes", False, "1023 B"),
        (1536, "bytes", True, "1.5 KiB/s"),
        (-1536, "bytes", False, "-1.5 KiB"),
        (1e30, "bytes", False, "867361737988 EiB"),
        (1500, "operations", True, "1.5 koperations/s"),
        (0.1234, "threads", False, "0.123 threads"),
        (5, "", False, "5"),
    ],
)
def test_numbers_are_short_with_their_unit(
    value: Any, unit: str, per_second: bool, shown: str
) -> None:
    assert quantity(value, unit, per_second=per_second) == shown


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([None, None], "  "),
        ([5, 5, 5], "▁▁▁"),
        ([0, None, 7], "▁ █"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([-1e30, 1e30], "▁█"),
    ],
)
def test_many_numbers_are_one_line(values: list[Any], bars: str) -> None:
    assert sparkline(values) == bars
