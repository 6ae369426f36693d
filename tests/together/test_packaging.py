"""Names, versions, entry points and bounds of the four distributions fit together."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.conftest import CELLS, cell_fault

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PACKAGES = sorted((ROOT / "packages").iterdir())


def project(package: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    return loaded


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
class TestEachDistribution:
    def test_is_named_after_its_folder_and_typed(self, package: Path) -> None:
        (import_package,) = (package / "src").iterdir()

        assert project(package)["name"] == package.name
        assert (import_package / "py.typed").exists()
        assert (package / "README.md").exists()

    def test_is_for_every_python_we_test_and_not_for_upload(self, package: Path) -> None:
        assert project(package)["requires-python"] == ">=3.10"
        assert project(package)["license"] == "MIT"
        assert "Private :: Do Not Upload" in project(package)["classifiers"]

    def test_bounds_the_core_by_a_range_that_admits_the_one_beside_it(self, package: Path) -> None:
        core = Version(project(ROOT / "packages" / "emf-agent-core")["version"])
        for text in project(package)["dependencies"]:
            requirement = Requirement(text)
            if requirement.name == "emf-agent-core":
                assert core in requirement.specifier
                assert Version(f"{core.major}.{core.minor + 1}") not in requirement.specifier
                return
        assert package.name == "emf-agent-core"

    def test_names_modules_that_exist(self, package: Path) -> None:
        points = project(package).get("entry-points", {}).get("emf_agent.plugins", {})
        for name, value in points.items():
            module = package / "src" / Path(*value.split("."))
            assert module.with_suffix(".py").exists(), f"{name} = {value}"

    def test_ships_role_files_that_name_plugins(self, package: Path) -> None:
        for file in package.glob("src/*/roles/*.toml"):
            role = tomllib.loads(file.read_text())
            assert role["role"] == file.stem
            assert role["summary"]
            assert role["plugins"]


def test_the_root_is_no_distribution() -> None:
    with pytest.raises(PackageNotFoundError):
        distribution("packages")


@pytest.mark.parametrize("cell", CELLS)
def test_the_guard_knows_a_cell_from_every_other(cell: str) -> None:
    assert cell_fault(cell, CELLS[cell]) is None
    for other, bundles in CELLS.items():
        if other != cell:
            assert "wants the bundles" in str(cell_fault(cell, bundles))


def test_the_guard_refuses_an_unknown_cell() -> None:
    assert "no bundle set" in str(cell_fault("all", frozenset()))
