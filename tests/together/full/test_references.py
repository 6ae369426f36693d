"""``docs/reference/`` is what the code says; where it is stale, the test tells how to renew it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says(reference: ModuleType) -> None:
    assert reference.stale() == [], "run: hatch run docs:reference --write"


def test_every_command_and_every_offer_has_its_section(reference: ModuleType) -> None:
    pages = reference.pages()

    assert "## `emf run NODESET ACTION [ARGS_JSON]`" in pages["emf.md"]
    assert "## `emf-manager token create`" in pages["emf-manager.md"]
    assert "## `emf-agent plugin lock`" in pages["emf-agent.md"]
    assert "### action `start_unit`" in pages["host.md"]
    assert "### daemon `stats`" in pages["lustre.md"]
