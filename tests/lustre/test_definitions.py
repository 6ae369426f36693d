"""Every ancestor action is offered under its name, can be described, and declares what it must."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import pytest

from emf_agent.plugin import Action

ANCESTOR_ACTIONS = {
    "lustre.client": {
        "mount",
        "mount_many",
        "unmount",
        "unmount_many",
        "add_fstab_entry",
        "remove_fstab_entry",
    },
    "lustre.targets": {"lctl", "create_ldev_conf"},
    "lustre.pools": {
        "ostpool_create",
        "ostpool_wait",
        "ostpool_destroy",
        "ostpool_add",
        "ostpool_remove",
    },
    "lustre.snapshots": {
        "snapshot_create",
        "snapshot_destroy",
        "snapshot_mount",
        "snapshot_unmount",
    },
    "lustre.hotpools": {"create_lamigo_conf", "create_lpurge_conf"},
    "lustre.stratagem": {
        "start_scan_stratagem",
        "stream_fidlists_stratagem",
        "action.mirror.extend",
        "action.mirror.resync",
        "action.mirror.split",
        "action.stratagem.warning",
        "action.stratagem.purge",
        "action.stratagem.filesync",
        "action.stratagem.cloudsync",
    },
    "lustre.postoffice": {"postoffice_add", "postoffice_remove"},
}
DAEMONS = {
    "lustre.pools": {"ostpool"},
    "lustre.snapshots": {"snapshot"},
    "lustre.postoffice": {"postoffice"},
}
DESTRUCTIVE = {
    "ostpool_destroy": "pool:fs1.flash",
    "snapshot_destroy": "snapshot:fs1",
    "action.stratagem.purge": "files:fs1",
    "action.mirror.split": "files:fs1",
}


def plugin(name: str) -> Any:
    (entry,) = entry_points(group="emf_agent.plugins", name=name)
    assert entry.dist is not None
    assert entry.dist.name == "emf-plugins-lustre"
    return entry.load()


def settings_of(module: Any) -> Any:
    return module.emf_settings()() if hasattr(module, "emf_settings") else None


def actions_of(name: str) -> dict[str, Action[..., Any]]:
    module = plugin(name)
    settings = settings_of(module)
    found = module.emf_actions(settings) if settings is not None else module.emf_actions()
    return {one.name: one for one in found}


ALL = {name: one for room in ANCESTOR_ACTIONS for name, one in actions_of(room).items()}


def test_the_ancestor_had_thirty_lustre_actions() -> None:
    assert sum(map(len, ANCESTOR_ACTIONS.values())) == 30


@pytest.mark.parametrize("room", ANCESTOR_ACTIONS)
def test_a_room_offers_the_ancestors_actions_and_no_others(room: str) -> None:
    assert set(actions_of(room)) == ANCESTOR_ACTIONS[room]


@pytest.mark.parametrize("room", DAEMONS)
def test_a_room_offers_the_ancestors_daemons(room: str) -> None:
    module = plugin(room)
    settings = settings_of(module)
    factories = module.emf_daemons(settings) if settings is not None else module.emf_daemons()
    assert {factory().name for factory in factories} == DAEMONS[room]


@pytest.mark.parametrize("name", ALL)
def test_an_action_has_no_faults_in_its_definition(name: str) -> None:
    assert ALL[name].faults() == ()


@pytest.mark.parametrize("name", sorted(ALL))
def test_an_action_declares_a_dry_run(name: str) -> None:
    assert ALL[name].dry_run


def test_what_changes_nothing_says_so() -> None:
    assert {name for name, one in ALL.items() if one.read_only} == {"ostpool_wait"}


@pytest.mark.parametrize("name", DESTRUCTIVE)
def test_a_destructive_action_locks_its_target(name: str) -> None:
    one = ALL[name]
    values = {
        "filesystem": "fs1",
        "fsname": "fs1",
        "name": "flash",
        "file_system": "fs1",
    }
    bound = {key: value for key, value in values.items() if key in one.args_schema()["properties"]}
    assert DESTRUCTIVE[name] in one.lock_names(bound)
