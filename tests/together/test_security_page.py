"""The security page names tests that exist, every requirement, and every hostile wheel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emf_agent.allowlist import parse_allowlist
from emf_agent.settings import load_settings
from tests.together.hostile import HOSTILE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
NAMED = sorted(set(re.findall(r"`([a-z_/]+)::(test_\w+)`", PAGE)))
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("module", "name"), NAMED, ids=[name for _, name in NAMED])
def test_each_test_that_the_page_names_is_there(module: str, name: str) -> None:
    text = (ROOT / "tests" / f"{module}.py").read_text()

    assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE)


def test_every_requirement_has_its_row() -> None:
    assert re.findall(r"^\| R(\d+) \|", PAGE, re.MULTILINE) == [str(n) for n in range(1, 32)]


def test_every_hostile_wheel_has_its_row() -> None:
    table = PAGE.partition("| A wheel with |")[2].partition("\n\n")[0]

    assert len(table.splitlines()) - 2 == len(HOSTILE)


def test_the_examples_are_valid(tmp_path: Path) -> None:
    policy, configuration = BLOCKS
    (tmp_path / "agent.toml").write_text(configuration)

    assert parse_allowlist(policy.encode(), "page").plugin
    found = load_settings(tmp_path / "agent.toml", tmp_path, environment={})
    assert found.policy.rule[0].argument == "unit"
