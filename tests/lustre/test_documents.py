"""The tables of the Lustre page: the rows are what the entry points offer, the tests exist."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lustre.md").read_text()
ROWS = [
    [cell.strip() for cell in line.split(" |")]
    for line in PAGE.splitlines()
    if line.startswith("|")
]


def offered(hook: str) -> dict[str, set[str]]:
    """Return the names of what each entry point offers."""
    found = {}
    for entry in entry_points(group="emf_agent.plugins"):
        if not entry.name.startswith("lustre."):
            continue
        module = entry.load()
        settings = [module.emf_settings()()] if hasattr(module, "emf_settings") else []
        values: list[Any] = getattr(module, hook)(*settings) if hasattr(module, hook) else []
        made = values if hook == "emf_actions" else [factory() for factory in values]
        found[entry.name] = {one.name for one in made}
    return found


def names(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_.]+)`", text))


def column(number: int) -> dict[str, set[str]]:
    """Return a column of the table of entry points."""
    rows = (row for row in ROWS if row[0].startswith("| `lustre."))
    return {name: names(row[number]) for row in rows for name in names(row[0])}


def test_the_table_of_entry_points_has_their_actions() -> None:
    assert column(1) == offered("emf_actions")


def test_the_table_of_entry_points_has_their_daemons() -> None:
    assert column(2) == offered("emf_daemons")


def test_each_action_has_its_row_and_each_row_its_action() -> None:
    listed = [name for row in ROWS if re.fullmatch(r"\| \d+", row[0]) for name in names(row[1])]

    assert len(listed) == len(set(listed))
    assert set(listed) == set().union(*offered("emf_actions").values())


def test_each_daemon_has_its_row_and_each_row_its_daemon() -> None:
    header = next(place for place, row in enumerate(ROWS) if row[0] == "| daemon")
    listed = set()
    for row in ROWS[header + 2 :]:
        if not re.fullmatch(r"\| `[a-z]+`", row[0]):
            break
        listed |= names(row[0])

    assert listed == set().union(*offered("emf_daemons").values())


def test_each_test_the_page_names_exists() -> None:
    files = [*(ROOT / "tests").rglob("test_*.py")]
    written = {
        name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text())
    } | {file.stem for file in files}

    rows = "\n".join(" ".join(row) for row in ROWS)
    assert set(re.findall(r"\b(test_[a-z0-9_]+)", rows)) - written == set()
