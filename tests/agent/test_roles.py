"""Roles: read from the bundles' files without importing them, merged over bundles."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from emf_agent.errors import ConfigurationError
from emf_agent.roles import Role, find_roles
from tests.agent.distributions import Site, importing


@pytest.fixture
def site(tmp_path: Path) -> Generator[Site, None, None]:
    made = Site(tmp_path / "site")
    with importing(made):
        yield made


def ship(site: Site, package: str, name: str, text: str) -> None:
    folder = site.folder / package / "roles"
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "__init__.py").write_text("raise AssertionError('imported')")
    (folder / name).write_text(text)


def test_a_role_is_the_sum_of_what_the_bundles_say(site: Site) -> None:
    ship(site, "bundle_a", "oss.toml", 'role = "oss"\nsummary = "S"\nplugins = ["a", "b"]')
    ship(site, "bundle_b", "oss.toml", 'role = "oss"\nsummary = "T"\nplugins = ["b", "c"]')
    ship(site, "bundle_b", "mds.toml", 'role = "mds"\nsummary = "M"\nplugins = []')

    found = find_roles(["bundle_b.x.plugin", "bundle_a:plugin", "bundle_a.other", "nowhere.x"])

    assert found == {
        "mds": Role("mds", "M", ()),
        "oss": Role("oss", "S", ("a", "b", "c")),
    }
    assert "bundle_a" not in sys.modules


def test_every_wrong_role_file_is_told_at_once(site: Site) -> None:
    ship(site, "bundle_a", "1.toml", "role = ")
    ship(site, "bundle_a", "2.toml", 'role = "all"\nsummary = "S"\nplugins = []')
    ship(site, "bundle_a", "3.toml", 'role = "x"\nsummry = "S"\nplugins = []')
    (site.folder / "bundle_a/roles/4.toml").write_bytes(b"\xff")
    (site.folder / "bundle_a/roles/5.toml").write_bytes(b"#" * 70_000)

    with pytest.raises(ConfigurationError) as raised:
        find_roles(["bundle_a"])

    assert [f"{number}.toml" in fault for number, fault in enumerate(raised.value.faults, 1)] == [
        True
    ] * 5
