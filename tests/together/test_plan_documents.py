"""The plans in the docs and among the examples are plans, and what is said of them holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emf_manager.api.plan_check import STEP_OPTIONS
from emf_manager.plans.document import read_plan

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plans.md").read_text(encoding="utf-8")
DOCUMENTS = {
    "docs/plans.md": re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0],
    **{
        path.name: path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "examples" / "plans").glob("*.yml"))
    },
}


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_each_example_is_read_without_a_fault(text: str) -> None:
    plan = read_plan(text, options=STEP_OPTIONS, given={"servers": "oss[01-02]"})

    assert list(plan.jobs) == ["look", "restart", "prove"]


def test_the_page_names_everything_that_a_step_can_ask_for() -> None:
    named = set(re.findall(r"`([a-z_]+)`", PAGE))

    assert {name.removesuffix("_s") for name in STEP_OPTIONS} <= named
