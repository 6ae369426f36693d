"""Panels: each daemon's own, those of any daemon, and that no value breaks them."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, PackageLoader, StrictUndefined

from emf_manager.web.curves import Series, plot, sparkline
from emf_manager.web.panels.blocks import MOST_ROWS, Block, Log, Table
from emf_manager.web.panels.choice import BY_DAEMON, panels_of
from emf_manager.web.panels.generic import generic
from emf_manager.web.panels.journal import MOST_LINES
from tests.manager.web.payloads import EVIL, PAYLOADS

TEMPLATES = Environment(
    loader=PackageLoader("emf_manager.web"), autoescape=True, undefined=StrictUndefined
)
LIVE = Series("x", "counter", "bytes", [(0.0, 1.0), (10.0, 4.0)])


def html(blocks: tuple[Block, ...]) -> str:
    """Return blocks as a page shows them, each chart and curve with something in it."""
    drawn: Any = TEMPLATES.get_template("panels.html").module
    plots = {block.title: plot([("x", LIVE)]) for block in blocks}
    curves = {"network_interfaces[eth0].stats.rx.bytes": sparkline(LIVE)}
    return "".join(str(drawn.block(block, curves, plots)) for block in blocks)


def text(markup: str) -> str:
    """Return what is to be read in a piece of HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup))


@pytest.mark.parametrize(
    ("daemon", "seen"),
    [
        ("agent", ["quarantined", "refused", "not in the allowlist", "3 days left"]),
        ("clock", ["synchronised", "12 µs", "unreachable"]),
        ("corosync", ["offline, unclean", "failed", "/mnt/ost0", "ban-1"]),
        ("device", ["/dev/sda1", "2 TiB", "at /mnt/ost0", "fs1-OST0000"]),
        (
            "host",
            ["97 %", "no answer since 2026-03-01", "91 °C", "1 d 1 h", "44 % of the last 10 s"],
        ),
        ("journal", ["2026-02-02 02:40:00.123Z", "error", "LustreError"]),
        ("network", ["eth0", "192.0.2.2/24", "4 B/s", "10.0.0.1@tcp"]),
        ("ntp", ["not synchronised, off by 0.5 s"]),
        ("ostpool", ["flash", "fs1-OST0000"]),
        ("snapshot", ["nightly-1", "not mounted"]),
        ("stats", ["healthy", "90 %", "75 % of 1k", "dd.0", "disconn", "10.0.0.1@tcp"]),
        ("uptime", ["17.5", "today"]),
    ],
)
def test_a_daemons_page_says_what_matters(daemon: str, seen: list[str]) -> None:
    shown = text(html(panels_of(daemon, PAYLOADS[daemon], {})))

    assert [one for one in seen if one not in shown] == []


def test_each_daemon_with_panels_of_its_own_is_tested() -> None:
    assert BY_DAEMON.keys() <= PAYLOADS.keys()


def poisoned(value: Any) -> Any:
    """Return a value with each of its texts hostile."""
    match value:
        case str():
            return EVIL
        case list():
            return [poisoned(one) for one in value]
        case dict():
            return {name: poisoned(one) for name, one in value.items()} | {EVIL: EVIL}
    return value


@pytest.mark.parametrize("daemon", PAYLOADS)
def test_hostile_text_is_only_ever_text(daemon: str) -> None:
    shown = html(panels_of(daemon, poisoned(copy.deepcopy(PAYLOADS[daemon])), {EVIL: "bytes"}))

    assert "<script" not in shown
    assert "<img" not in shown


@pytest.mark.parametrize("daemon", BY_DAEMON)
def test_a_value_of_another_shape_is_shown_as_any_daemons(daemon: str) -> None:
    other = {"something": {"else": 1}}

    assert panels_of(daemon, other, {}) == generic(other, {})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in a value that can be changed."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.append((value, key))
        if isinstance(inner, dict | list):
            found += places(inner)
    return found


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(PAYLOADS)), st.data(), values)
def test_no_value_breaks_a_page(daemon: str, data: Any, odd: Any) -> None:
    changed = copy.deepcopy(PAYLOADS[daemon])
    holder, key = data.draw(st.sampled_from(places({"all": changed})))
    holder[key] = odd

    html(panels_of(daemon, changed, {}))
    html(panels_of(daemon, odd, {"a": "bytes"}))


@pytest.mark.parametrize("daemon", sorted(PAYLOADS))
def test_a_number_beyond_any_measure_breaks_no_page(daemon: str) -> None:
    for place, _ in enumerate(places({"all": PAYLOADS[daemon]})):
        everything = {"all": copy.deepcopy(PAYLOADS[daemon])}
        holder, key = places(everything)[place]
        holder[key] = 10**400

        html(panels_of(daemon, everything["all"], {}))


def test_what_is_too_long_is_cut_and_counted() -> None:
    payload = copy.deepcopy(PAYLOADS["network"])
    payload["network_interfaces"] *= MOST_ROWS
    table = panels_of("network", payload, {})[0]
    log = panels_of("journal", PAYLOADS["journal"] * (MOST_LINES + 5), {})[0]

    assert isinstance(table, Table)
    assert (len(table.rows), table.beyond) == (MOST_ROWS, MOST_ROWS)
    assert isinstance(log, Log)
    assert (len(log.lines), log.beyond) == (MOST_LINES, 5)
    assert f"{MOST_ROWS} more are not shown" in text(html((table,)))


def test_a_journal_without_news_says_so() -> None:
    assert "nothing was sent lately" in html(panels_of("journal", None, {}))
