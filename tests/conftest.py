"""The bundle guard: what is installed is what the matrix cell says, and what is collected."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

pytest_plugins = ["emf_agent.testing"]

ROOMS = {"host": "emf-plugins-host", "lustre": "emf-plugins-lustre"}
"""A bundle's tests live in the room of its name; each room needs its distribution."""
CELLS = {
    "core": frozenset[str](),
    "host": frozenset({"host"}),
    "lustre": frozenset({"lustre"}),
    "full": frozenset({"host", "lustre"}),
}


def installed_bundles() -> frozenset[str]:
    """Return the bundles whose distribution is installed here."""
    found = set()
    for bundle, name in ROOMS.items():
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        found.add(bundle)
    return frozenset(found)


def cell_fault(cell: str, installed: frozenset[str]) -> str | None:
    """Return why this environment is not the cell it claims to be, or None."""
    if cell not in CELLS:
        return f"EMF_BUNDLE={cell} is no bundle set; known are {', '.join(CELLS)}"
    if CELLS[cell] != installed:
        return (
            f"EMF_BUNDLE={cell} wants the bundles {sorted(CELLS[cell])}, installed are "
            f"{sorted(installed)}; remake the environment (hatch env remove)"
        )
    return None


def pytest_configure(config: pytest.Config) -> None:
    """Stop where the environment is not what the matrix says."""
    cell = os.environ.get("EMF_BUNDLE")
    if cell is not None and (fault := cell_fault(cell, installed_bundles())):
        pytest.exit(fault, returncode=4)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Generator[None, None, None]:
    """Give each test the log back as pytest set it up: programs under test configure it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def pytest_report_header() -> str:
    """Say what is tested."""
    return f"bundles: {', '.join(sorted(installed_bundles())) or 'none'}"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the rooms of bundles that are not here; ``together/full`` needs them all."""
    here = Path(__file__).parent
    installed = installed_bundles()
    missing = [here / bundle for bundle in ROOMS if bundle not in installed]
    if missing:
        missing.append(here / "together" / "full")
    return True if any(collection_path.is_relative_to(room) for room in missing) else None
