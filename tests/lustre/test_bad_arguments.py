"""What does not fit an action's signature is refused before anything runs, with its field."""

from __future__ import annotations

from typing import Any

import pytest

from emf_agent.plugin import ArgumentsError
from tests.lustre.test_definitions import ALL

SPEC = "10.0.0.1@tcp:/fs1"
MOUNT = {"mountspec": SPEC, "mountpoint": "/mnt/fs1", "persist": True}
POOL = {"filesystem": "fs1", "name": "flash"}
LAMIGO = {
    "fs": "fs1",
    "mdt": 16,
    "user": "cl1",
    "hot_pool": "fast",
    "cold_pool": "slow",
    "min_age": 1,
    "mountpoint": "/mnt/fs1",
    "mailbox_extend": "a",
    "mailbox_resync": "b",
}
LPURGE = {"fs": "fs1", "pool": "p", "ost": 16, "freehi": 9, "freelo": 6, "mailbox": "mb1"}
ITEM = {"fid": "[0x1:0x1:0x0]", "data": {}}
SCAN = {
    "flist_type": "none",
    "summarize_size": True,
    "device": {"path": "/dev/mdt", "groups": []},
    "groups": [],
}

CASES: list[tuple[str, Any, str]] = [
    ("mount", {"mountspec": SPEC, "mountpoint": "/m"}, "missing field `persist`"),
    ("mount", {**MOUNT, "mountspec": "fs1"}, "mountspec"),
    ("mount", {**MOUNT, "mountspec": f"-o{SPEC}"}, "mountspec"),
    ("mount", {**MOUNT, "mountspec": "10.0.0.1@tcp:/toolongname"}, "mountspec"),
    ("mount", {**MOUNT, "mountpoint": "mnt"}, "not an absolute path"),
    ("mount", {**MOUNT, "mountpoint": "/mnt/../etc"}, "not an absolute path"),
    ("mount", {**MOUNT, "mountpoint": "/"}, "is not a place"),
    ("mount", {**MOUNT, "mountpoint": "/a\nb"}, "control character"),
    ("mount", {**MOUNT, "persist": "yes"}, "persist"),
    ("mount_many", {}, "missing field `mounts`"),
    ("mount_many", [{"mountspec": SPEC, "mountpoint": "/m"}], "persist"),
    ("unmount", None, "missing field `mountspec`"),
    ("unmount_many", [["/m"]], r"mounts\.0"),
    ("add_fstab_entry", 7, "takes 3 arguments"),
    ("remove_fstab_entry", {"mountspec": SPEC, "mountpoint": "/m"}, "missing field `persist`"),
    ("lctl", "list_nids", "arguments"),
    ("lctl", ["get_param", 7], r"arguments\.1"),
    ("create_ldev_conf", [{"primary": "a", "label": "b"}], "device"),
    ("create_ldev_conf", [{"primary": "a b", "label": "b", "device": "c"}], "primary"),
    ("create_ldev_conf", [{"primary": "a", "label": "#", "device": "c"}], "label"),
    ("create_ldev_conf", [{"primary": "a", "label": "b", "device": "c\nd"}], "device"),
    ("create_ldev_conf", [{"primary": "a", "label": "b", "device": "c", "fs_type": "xfs"}], "fs_t"),
    ("ostpool_create", {"filesystem": "fs1"}, "missing field `name`"),
    ("ostpool_create", {**POOL, "name": "-f"}, "name"),
    ("ostpool_create", {**POOL, "name": "a.b"}, "name"),
    ("ostpool_create", {**POOL, "name": "sixteencharacter"}, "name"),
    ("ostpool_wait", {**POOL, "filesystem": "--all"}, "filesystem"),
    ("ostpool_destroy", "fs1.flash", "takes 2 arguments"),
    ("ostpool_add", POOL, "missing field `ost`"),
    ("ostpool_add", {**POOL, "ost": "OST0001"}, "ost"),
    ("ostpool_remove", POOL, "missing field `ost`"),
    ("snapshot_create", {"fsname": "fs1", "name": "s1"}, "missing field `use_barrier`"),
    (
        "snapshot_create",
        {"fsname": "fs1", "name": "s1", "use_barrier": True, "comment": "a\nb"},
        "comment",
    ),
    ("snapshot_destroy", {"fsname": "fs1", "name": "s1"}, "missing field `force`"),
    ("snapshot_mount", {"fsname": "fs1", "name": "--all"}, "name"),
    ("snapshot_unmount", {"fsname": "fs1"}, "missing field `name`"),
    ("create_lamigo_conf", {**LAMIGO, "mdt": -1}, "mdt"),
    ("create_lamigo_conf", {**LAMIGO, "user": "../x"}, "user"),
    ("create_lamigo_conf", {**LAMIGO, "mailbox_extend": "a/b"}, "mailbox_extend"),
    ("create_lamigo_conf", {**LAMIGO, "heatfn": "a\nb=c"}, "heatfn"),
    ("create_lpurge_conf", {**LPURGE, "freehi": 300}, "freehi: .* less than or equal to 255"),
    ("create_lpurge_conf", {**LPURGE, "ost": "16"}, "ost"),
    ("postoffice_add", None, "mailbox"),
    ("postoffice_add", "a/../b", "mailbox"),
    ("postoffice_add", "a b", "mailbox"),
    ("postoffice_remove", ["mb1"], "mailbox"),
    ("start_scan_stratagem", {**SCAN, "device": "/dev/mdt"}, "device"),
    ("start_scan_stratagem", {**SCAN, "groups": [{"name": "a"}]}, r"groups\.0\.rules"),
    ("stream_fidlists_stratagem", ["/tmp/x"], r"lists\.0"),
    ("stream_fidlists_stratagem", [["/tmp/x", "a b"]], r"lists\.0\.1"),
    ("action.mirror.extend", ["fs1", {}], "invalid length 2, expected 3"),
    ("action.mirror.extend", ["fs1", {"pool": 7}, [ITEM]], r"task\.pool"),
    ("action.mirror.resync", ["fs1", {}, [{"fid": "[0x1:0x1:0x0]"}]], r"items\.0\.data"),
    ("action.mirror.split", ["a b c", {}, []], "file_system"),
    ("action.stratagem.warning", ["fs1", None, []], "task"),
    ("action.stratagem.purge", ["fs1", {}, [{"data": {}}]], r"items\.0\.fid"),
    ("action.stratagem.filesync", ["fs1", {"remote": "/r", "action": "push"}, []], "or 'Pull'"),
    ("action.stratagem.filesync", ["fs1", {"remote": "r", "action": "Push"}, []], "remote"),
    ("action.stratagem.cloudsync", ["fs1", {"remote": "-x", "action": "Pull"}, []], "remote"),
    ("action.stratagem.cloudsync", ["fs1", {"action": "Pull"}, []], "task.remote"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "fault"), CASES)
def test_bad_arguments_are_refused_by_field(name: str, args: Any, fault: str) -> None:
    with pytest.raises(ArgumentsError, match=fault):
        ALL[name].bind(args)


def test_every_action_is_tried_with_bad_arguments() -> None:
    assert {name for name, _, _ in CASES} == set(ALL)
