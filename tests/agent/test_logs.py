"""The log in its three forms."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from typing import Literal

import pytest

from emf_agent.logs import configure_logging

logger = logging.getLogger("emf_agent.test")


@pytest.fixture(autouse=True)
def as_before() -> Generator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def crash() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("it failed")


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")
    logger.warning("disk %s is full", "sda")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.endswith("WARNING emf_agent.test: disk sda is full\n")


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logger.info("größe=%d\nnext", 3)
    crash()
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["level"] == "info"
    assert first["logger"] == "emf_agent.test"
    assert first["message"] == "größe=3\nnext"
    assert "traceback" not in first
    assert second["traceback"].endswith("ValueError: two\nlines")


@pytest.mark.parametrize(
    ("level", "priority"),
    [("critical", 2), ("error", 3), ("warning", 4), ("info", 6), ("debug", 7)],
)
def test_the_journal_gets_the_priority_of_each_level(
    capsys: pytest.CaptureFixture[str], level: str, priority: int
) -> None:
    configure_logging("debug", "journal")
    getattr(logger, level)("said")
    assert capsys.readouterr().err == f"<{priority}>emf_agent.test: said\n"


def test_every_line_of_a_traceback_keeps_its_priority(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "journal")
    crash()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 4
    assert all(line.startswith("<3>") for line in lines)
    assert lines[-1] == "<3>lines"


@pytest.mark.parametrize(("under_systemd", "begins"), [(True, "<6>"), (False, "2")])
def test_auto_is_the_journals_form_under_systemd(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    under_systemd: bool,
    begins: str,
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if under_systemd:
        monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    configure_logging("info", "auto")
    logger.info("said")
    assert capsys.readouterr().err.startswith(begins)


@pytest.mark.parametrize("form", ["text", "json", "journal"])
def test_what_is_below_the_level_is_not_said(
    capsys: pytest.CaptureFixture[str], form: Literal["text", "json", "journal"]
) -> None:
    configure_logging("warning", form)
    logger.info("no")
    logging.getLogger("httpx").info("GET ...")
    assert capsys.readouterr().err == ""


def test_each_request_is_no_news_even_where_all_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("debug", "text")
    logging.getLogger("httpx").info("GET ...")
    logging.getLogger("httpcore").debug("connect")
    assert capsys.readouterr().err == ""


def test_configuring_twice_does_not_say_all_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")
    configure_logging("info", "text")
    logger.info("once")
    assert capsys.readouterr().err.count("once") == 1
