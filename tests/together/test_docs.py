"""What the docs say is true: examples parse and run, tables come from the code, links lead."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from emf_agent import wire
from emf_agent.plugin import Action, Daemon
from emf_agent.plugin.daemon import payload_adapter

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PARSERS: dict[str, Any] = {
    "from-agent": lambda text: wire.parse_envelope(text).unreadable == (),
    "from-manager": lambda text: wire.parse_manager_messages(text).unreadable == (),
    "post-answer": wire.parse_envelope_answer,
    "order": lambda text: wire.parse_action_body(json.loads(text)),
    "report": lambda text: wire.parse_action_report(json.loads(text)),
    "enrol": wire.EnrolRequest.model_validate_json,
    "enrol-answer": wire.EnrolAnswer.model_validate_json,
}
EXAMPLES = re.findall(r"```json (\S+)\n(.*?)```", (DOCS / "protocol.md").read_text(), re.DOTALL)


def module_from(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=[kind for kind, _ in EXAMPLES])
def test_each_example_of_the_protocol_parses(kind: str, text: str) -> None:
    assert PARSERS[kind](text.encode())


def test_every_message_type_has_an_example() -> None:
    page = (DOCS / "protocol.md").read_text()
    for name in vars(wire).values():
        tag = getattr(name, "model_fields", {}).get("type")
        if tag is not None:
            assert f'"type": "{tag.default}"' in page


def test_the_transition_table_is_that_of_the_rules() -> None:
    page = (DOCS / "architecture.md").read_text()
    transitions = module_from(DOCS / "transitions.py", "transitions")

    assert transitions.written(page) == page, "run: python docs/transitions.py --write"


def test_the_reference_of_the_api_is_that_of_its_document() -> None:
    page = (DOCS / "api.md").read_text()
    reference = module_from(DOCS / "api.py", "api_reference")

    assert reference.written(page) == page, "run: python docs/api.py --write"


def test_the_plugin_of_the_guide_is_a_plugin(tmp_path: Path) -> None:
    page = (DOCS / "plugin-author.md").read_text()
    (code,) = re.findall(r"```python\n# emf_plugin_motd/plugin.py\n(.*?)```", page, re.DOTALL)
    assert len(code.splitlines()) <= 45
    file = tmp_path / "motd_of_the_guide.py"
    file.write_text(code)
    try:
        plugin = module_from(file, "motd_of_the_guide")
        sys.modules["motd_of_the_guide"] = plugin
        (action,) = plugin.emf_actions()
        (daemon,) = plugin.emf_daemons()
        assert isinstance(action, Action)
        assert action.faults() == ()
        assert issubclass(daemon, Daemon)
        assert payload_adapter(daemon).json_schema() == {"type": "string"}
    finally:
        sys.modules.pop("motd_of_the_guide", None)


WEAK_POINTS = (DOCS / "weak-points.md").read_text()
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"def (test_\w+)\(", path.read_text())
}


@pytest.mark.parametrize(
    ("row", "named"),
    re.findall(r"^\| (W-\w+|\d+) \|.*\|(.*)\|$", WEAK_POINTS, re.MULTILINE),
    ids=lambda text: "" if "test_" in text else text,
)
def test_each_weak_point_is_held_by_tests_that_exist(row: str, named: str) -> None:
    names = re.findall(r"`(test_\w+)`", named)
    assert names, f"{row} names no test"
    assert set(names) <= TESTS, f"{row} names tests that are gone"


def test_no_weak_point_is_left_out() -> None:
    rows = re.findall(r"^\| (W-\w+|\d+) \|", WEAK_POINTS, re.MULTILINE)
    assert rows == [
        *(f"W-A{number}" for number in range(1, 19)),
        *(f"W-M{number}" for number in range(1, 13)),
        *(str(number) for number in range(1, 11)),
    ]


PAGES = [*DOCS.glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "packages").glob("*/README.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_table_of_floors_names_every_room_of_the_agent_once() -> None:
    page = (DOCS / "architecture.md").read_text()
    table = page[page.index("| floor |") : page.index("Rules and planners")]
    rows = [row.split("|") for row in table.splitlines()[2:] if row.startswith("|")]
    named = [room for cells in rows for room in re.findall(r"`(\w+)`", cells[2])]
    package = ROOT / "packages" / "emf-agent-core" / "src" / "emf_agent"
    rooms = {
        path.stem
        for path in package.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"__init__", "__main__", "testing"}

    assert sorted(named) == sorted(rooms)
