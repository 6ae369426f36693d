"""The bundle's page in the documentation: complete, and each row's test exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.host.test_entry_points import actions, daemons

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs/host.md").read_text(encoding="utf-8")
NEW_ACTIONS = {"list_units", "unit_log", "crm"}
NEW_DAEMONS = {"host", "clock"}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def named(cell: str) -> str:
    match = re.fullmatch(r"`(\w+)`", cell)
    assert match, cell
    return match[1]


TESTS = {
    name
    for file in HERE.glob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
}


def test_every_action_of_the_ancestor_has_its_row_in_order() -> None:
    table = rows("Conformance: actions")

    assert [row[0] for row in table] == [str(number) for number in range(1, 30)]
    listed = {named(row[1]) for row in table}
    assert listed == {one.name for one in actions()} - NEW_ACTIONS


def test_every_daemon_of_the_ancestor_has_its_row() -> None:
    listed = {named(row[0]) for row in rows("Conformance: daemons")}

    assert listed == {one.name for one in daemons()} - NEW_DAEMONS


@pytest.mark.parametrize(
    "row",
    [*rows("Conformance: actions"), *rows("Conformance: daemons")],
    ids=lambda row: " ".join(row[:2]),
)
def test_each_row_names_a_test_that_exists(row: list[str]) -> None:
    assert named(row[-1]) in TESTS


@pytest.mark.parametrize(
    "name", sorted({one.name for one in actions()} | {one.name for one in daemons()})
)
def test_everything_the_bundle_offers_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_page_says_rightly_what_is_not_idempotent() -> None:
    changing = {one.name for one in actions() if one.dry_run and not one.idempotent}

    assert changing == {"restart_unit", "change_mcast_port", "crm_attribute", "pcs", "crm"}


def test_the_page_says_rightly_what_is_detached() -> None:
    sentence = PAGE.partition("may take\n")[0].rpartition("- ")[2]

    assert set(re.findall(r"`(\w+)`", sentence)) == {one.name for one in actions() if one.detached}


def test_what_can_be_tried_first_is_what_changes_something() -> None:
    reading = re.compile(r"(get_|is_|list_|action_check|kernel_|package_|unit_log)")

    for one in actions():
        assert one.dry_run == (reading.match(one.name) is None), one.name


def test_what_changes_nothing_says_so() -> None:
    for one in actions():
        assert one.read_only != one.dry_run, one.name
