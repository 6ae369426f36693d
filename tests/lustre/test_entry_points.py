"""The agent takes every entry point of the bundle, and roles name only those there are."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import pytest

from emf_agent.discovery.offer import offer_of
from emf_agent.plugin import ENTRY_POINT_GROUP, NodeFacts
from emf_agent.roles import find_roles
from emf_agent.settings import Settings

NODE = NodeFacts(
    fqdn="mds1.example", kernel="5.14.0", machine="x86_64", os_id="rhel", os_like=("fedora",)
)


def ours() -> dict[str, EntryPoint]:
    found = entry_points(group=ENTRY_POINT_GROUP)
    return {one.name: one for one in found if one.dist and one.dist.name == "emf-plugins-lustre"}


def test_there_is_an_entry_point_for_each_of_the_bundles_rooms() -> None:
    rooms = "client targets pools snapshots hotpools stratagem stats postoffice"
    assert set(ours()) == {f"lustre.{room}" for room in rooms.split()}


@pytest.mark.parametrize("name", ours())
def test_an_entry_point_names_a_module_of_wiring_in_its_own_room(name: str) -> None:
    assert ours()[name].value == f"emf_plugins_lustre.{name.removeprefix('lustre.')}.plugin"


@pytest.mark.parametrize("name", ours())
def test_the_agent_takes_what_it_offers_without_any_configuration(name: str) -> None:
    offer = offer_of(ours()[name].load(), name, Settings(), NODE)
    assert offer.actions or offer.daemons


@pytest.mark.parametrize("role", ["mgs", "mds", "oss", "client"])
def test_a_role_names_only_entry_points_of_the_bundle_and_always_statistics(role: str) -> None:
    plugins = find_roles(["emf_plugins_lustre.client.plugin"])[role].plugins
    assert set(plugins) <= set(ours())
    assert "lustre.stats" in plugins


def test_every_entry_point_is_in_a_role() -> None:
    roles = find_roles(["emf_plugins_lustre.client.plugin"]).values()
    assert {plugin for role in roles for plugin in role.plugins} == set(ours())
