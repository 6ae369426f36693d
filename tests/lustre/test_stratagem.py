"""Stratagem: scans, lists of FIDs, and the task actions, against a simulated node."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from emf_agent.command import CommandFailedError, CommandNotFoundError
from emf_agent.errors import ActionError, ManagerRefusedError, ManagerUnreachableError
from emf_plugins_lustre.stratagem.actions import stratagem_actions
from emf_plugins_lustre.stratagem.settings import StratagemSettings
from emf_plugins_lustre.testing.node import SimulatedNode
from emf_plugins_lustre.testing.scenario import SimulatedFile
from tests.lustre.calls import ActionDesk
from tests.lustre.mailbox_fakes import FakeMailboxes
from tests.lustre.one_loop import anyio_backend

__all__ = ["anyio_backend"]
pytestmark = pytest.mark.anyio

MISSING = "[0x9:0x9:0x0]"
SCAN = {
    "flist_type": "none",
    "summarize_size": True,
    "device": {"path": "/dev/mapper/mdt0", "groups": ["sizes", "warn_fids"]},
    "groups": [
        {
            "name": "sizes",
            "rules": [
                {
                    "action": "LAT_COUNTER_INC",
                    "expression": "< size 1048576",
                    "argument": "SIZE_<_1M",
                    "counter_name": None,
                }
            ],
        },
        {
            "name": "warn_fids",
            "rules": [
                {
                    "action": "LAT_SHELL_CMD_FID",
                    "expression": "< atime - sys_time 432000000",
                    "argument": "fids_expiring_soon",
                    "counter_name": "expiring",
                }
            ],
        },
    ],
}


def fid(number: int) -> str:
    return f"[0x200000bd1:{number:#x}:0x0]"


def item(text: str, data: Any = None) -> dict[str, Any]:
    return {"fid": text, "data": data if data is not None else {}}


class Site:
    """A node with a mounted file system that has some files, and a manager's mailboxes."""

    def __init__(self, node: SimulatedNode, folder: Path) -> None:
        self.node = node
        self.root = folder / "fs1"
        self.root.mkdir()
        self.scans = folder / "scans"
        self.scans.mkdir()
        self.manager = FakeMailboxes()
        with node.state() as state:
            state.node["mounts"] = [
                {
                    "target": str(self.root),
                    "source": "10.0.0.1@tcp:/fs1",
                    "fstype": "lustre",
                    "options": "rw",
                }
            ]
            state.cluster["pools"]["fs1"] = {"flash": ["fs1-OST0000"]}
        self.settings = StratagemSettings(
            scan_folder=self.scans,
            mpi_folder=node.programs,
            large_file_bytes=1000,
            patience_s=0,
        )
        self.desk = ActionDesk(stratagem_actions(self.settings, self.manager.door))

    def add(self, number: int, path: str, size: int = 10, **more: Any) -> None:
        self.node.add_file(fid(number), SimulatedFile(path=path, size=size, **more))
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)

    def files(self) -> dict[str, Any]:
        with self.node.state() as state:
            files: dict[str, Any] = state.cluster["files"]["fs1"]
            return files

    async def task(self, name: str, task: Any, *items: Any, dry_run: bool = False) -> Any:
        return await self.desk.call(f"action.{name}", ["fs1", task, list(items)], dry_run=dry_run)


@pytest.fixture
def site(simulated_node: SimulatedNode, tmp_path: Path) -> Site:
    return Site(simulated_node, tmp_path)


async def test_a_scan_returns_its_folder_its_counters_and_its_lists(site: Site) -> None:
    site.add(1, "a/b", groups=("warn_fids",))
    site.add(2, "c")
    folder, result, lists = await site.desk.call("start_scan_stratagem", SCAN)
    assert folder.endswith("/")
    assert result["group_counters"][0]["counters"][0]["count"] == 2
    assert lists == [[f"{folder}warn_fids/expiring", "warn_fids-fids_expiring_soon"]]
    assert oct(Path(folder).parent.stat().st_mode & 0o777) == "0o700"


async def test_a_scan_that_fails_leaves_nothing(site: Site) -> None:
    site.node.fail_program("lipe_scan", status=255, stderr="no such device")
    with pytest.raises(CommandFailedError, match="exit code: 255"):
        await site.desk.call("start_scan_stratagem", SCAN)
    assert list(site.scans.iterdir()) == []


async def test_a_scan_without_a_result_is_an_error(site: Site) -> None:
    program = site.node.programs / "lipe_scan"
    program.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(ActionError, match=r"left no result\.json: No such file"):
        await site.desk.call("start_scan_stratagem", SCAN)
    program.write_text('#!/bin/sh\nmkdir -p "$4"; echo "[]" >"$4/result.json"\n')
    with pytest.raises(ActionError, match=r"lipe_scan: result\.json: the whole"):
        await site.desk.call("start_scan_stratagem", SCAN)
    assert list(site.scans.iterdir()) == []


async def test_old_scans_are_removed_and_strangers_are_not(site: Site) -> None:
    old, fresh, other = (site.scans / name for name in ("emf-scan-old", "emf-scan-new", "other"))
    for folder in (old, fresh, other):
        (folder / "scan").mkdir(parents=True)
    long_ago = time.time() - 10 * site.settings.keep_scans_s
    os.utime(old, (long_ago, long_ago))
    os.utime(other, (long_ago, long_ago))
    await site.desk.call("start_scan_stratagem", SCAN)
    assert (old.exists(), fresh.exists(), other.exists()) == (False, True, True)


async def test_a_dry_run_of_a_scan_scans_nothing(site: Site) -> None:
    assert await site.desk.call("start_scan_stratagem", SCAN, dry_run=True) == [
        "",
        {"group_counters": []},
        [],
    ]
    assert site.desk.logged == "would scan /dev/mapper/mdt0 for sizes, warn_fids"
    assert site.node.calls("lipe_scan") == []


async def scanned(site: Site, *numbers: int) -> list[list[str]]:
    for number in numbers:
        site.add(number, f"f{number}", groups=("warn_fids",))
    lists = (await site.desk.call("start_scan_stratagem", SCAN))[2]
    return [[path, f"7d1c-{mailbox}"] for path, mailbox in lists]


async def test_lists_reach_their_mailboxes(site: Site) -> None:
    lists = await scanned(site, 1, 2, 3)
    assert await site.desk.call("stream_fidlists_stratagem", lists) is None
    mailbox = "7d1c-warn_fids-fids_expiring_soon"
    assert site.manager.fids(mailbox) == [fid(1), fid(2), fid(3)]
    assert site.manager.lines[f"mailbox {mailbox}"][0] == f'{{ "fid": "{fid(1)}" }}'.encode()
    assert len(site.manager.ends) == 1


async def test_a_list_that_was_sent_is_not_stored_twice(site: Site) -> None:
    lists = await scanned(site, 1, 2)
    await site.desk.call("stream_fidlists_stratagem", lists)
    await site.desk.call("stream_fidlists_stratagem", lists)
    assert len(site.manager.fids(lists[0][1])) == 2


async def test_a_list_that_cannot_be_sent_is_an_error_with_its_mailbox(site: Site) -> None:
    lists = await scanned(site, 1)
    site.manager.unknown.add("mb9")
    with pytest.raises(ActionError, match="not all was delivered: mb9: the manager has no mailbox"):
        await site.desk.call("stream_fidlists_stratagem", [*lists, [lists[0][0], "mb9"]])
    assert len(site.manager.fids(lists[0][1])) == 1
    site.manager.away = True
    with pytest.raises(ActionError, match="did not answer"):
        await site.desk.call("stream_fidlists_stratagem", lists)


async def test_lines_that_are_no_fids_are_an_error_and_cost_no_others(site: Site) -> None:
    lists = await scanned(site, 1)
    Path(lists[0][0], "1").write_text(f"nonsense\n{fid(2)}\n\n")
    with pytest.raises(ActionError, match=r"1 lines are no FIDs \(1:1\)"):
        await site.desk.call("stream_fidlists_stratagem", lists)
    assert site.manager.fids(lists[0][1]) == [fid(1), fid(2)]


@pytest.mark.parametrize("path", ["/etc", "{scans}", "{scans}/other", "{scans}/emf-scan-x/../.."])
async def test_only_what_a_scan_left_is_sent(site: Site, path: str) -> None:
    (site.scans / "other").mkdir()
    lists = [[path.format(scans=site.scans), "mb1"]]
    for dry_run in (True, False):
        with pytest.raises(ActionError, match="not below a folder that a scan left"):
            await site.desk.call("stream_fidlists_stratagem", lists, dry_run=dry_run)
    assert site.manager.chunks == []


async def test_a_link_out_of_a_scan_is_not_followed(site: Site) -> None:
    folder = site.scans / "emf-scan-x"
    folder.mkdir()
    (folder / "out").symlink_to("/etc")
    with pytest.raises(ActionError, match="not below a folder that a scan left"):
        await site.desk.call("stream_fidlists_stratagem", [[str(folder / "out"), "mb1"]])


async def test_mirrors_are_made_brought_up_to_date_and_taken_away(site: Site) -> None:
    site.add(1, "a", stale=True)
    assert await site.task("mirror.extend", {"pool": "flash"}, item(fid(1))) == []
    assert site.files()[fid(1)]["mirrors"] == ["flash"]
    assert await site.task("mirror.resync", {}, item(fid(1))) == []
    assert site.files()[fid(1)]["stale"] is False
    assert await site.task("mirror.split", {"pool": "flash"}, item(fid(1))) == []
    assert site.files()[fid(1)]["mirrors"] == []


async def test_striping_goes_to_lfs_word_by_word(site: Site) -> None:
    site.add(1, "a")
    task = {"pool": "flash", "striping": "-c 2 -S 4M"}
    assert await site.task("mirror.extend", task, item(fid(1))) == []
    path = f"{site.root}/.lustre/fid/{fid(1)}"
    expected = ["mirror", "extend", "-N", "-p", "flash", "-c", "2", "-S", "4M", path]
    assert site.node.calls("lfs")[-1] == expected


@pytest.mark.parametrize("name", ["mirror.extend", "mirror.resync", "mirror.split"])
async def test_a_file_that_fails_is_returned_with_its_number(site: Site, name: str) -> None:
    site.add(1, "a", mirrors=("flash",))
    failed = await site.task(
        name, {"pool": "flash"}, item(fid(1)), item(MISSING, {"a": 1}), item("no fid", [2])
    )
    assert failed == [
        {"fid": MISSING, "data": {"a": 1}, "errno": 2},
        {"fid": "no fid", "data": [2], "errno": 22},
    ]


async def test_without_lfs_every_file_fails(site: Site) -> None:
    site.add(1, "a")
    site.node.remove_program("lfs")
    failed = await site.task("mirror.resync", {}, item(fid(1)))
    assert [one["errno"] for one in failed] == [2]


@pytest.mark.parametrize(
    ("name", "task", "error"),
    [
        ("mirror.extend", {}, "^task argument pool missing$"),
        ("mirror.split", {}, "^task argument pool missing$"),
        ("mirror.split", {"pool": "-x"}, "is no name of a pool"),
        ("mirror.extend", {"pool": "p", "striping": "/etc/passwd"}, "no option and no value"),
        ("mirror.extend", {"pool": "p", "striping": "2"}, "not with an option"),
        ("stratagem.warning", {}, "task argument report_name missing"),
        ("stratagem.warning", {"report_name": "../x"}, "no plain name of a file"),
    ],
)
async def test_task_arguments_are_checked(site: Site, name: str, task: Any, error: str) -> None:
    with pytest.raises(ActionError, match=error):
        await site.task(name, task, item(fid(1)))


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("mirror.resync", {}),
        ("stratagem.warning", {"report_name": "r.txt"}),
        ("stratagem.purge", {}),
        ("stratagem.filesync", {"remote": "/r", "action": "Push"}),
        ("stratagem.cloudsync", {"remote": "s3", "action": "Push"}),
    ],
)
async def test_a_file_system_that_is_not_mounted_is_named_with_those_that_are(
    site: Site, name: str, task: Any
) -> None:
    with pytest.raises(ActionError, match=r"fs9: no client mount of it .*mounts here: fs1 on /"):
        await site.desk.call(f"action.{name}", ["fs9", task, []])


async def test_a_path_below_the_mount_point_names_the_file_system(site: Site) -> None:
    site.add(1, "a")
    args = [str(site.root / "some" / "folder"), {}, [item(fid(1))]]
    assert await site.desk.call("action.stratagem.purge", args) == []


async def test_purge_deletes_and_returns_what_stayed(site: Site) -> None:
    site.add(1, "a")
    site.add(2, "b", busy=True)
    failed = await site.task("stratagem.purge", {}, item(fid(1)), item(fid(2)), item(MISSING))
    assert failed == [
        {"fid": fid(2), "data": {}, "errno": 16},
        {"fid": MISSING, "data": {}, "errno": 2},
    ]
    assert not (site.root / "a").exists()
    assert list(site.files()) == [fid(2)]


async def test_purge_tries_singly_where_lfs_does_not_say_which_failed(site: Site) -> None:
    site.add(1, "a")
    site.add(2, "b")
    site.node.fail_program("lfs", "rmfid", fid(1), fid(2), status=5, stderr="lost the MDT", times=1)
    assert await site.task("stratagem.purge", {}, item(fid(1)), item(fid(2))) == []
    assert site.files() == {}
    site.add(3, "c")
    site.node.fail_program("lfs", "rmfid", status=5, stderr="lost the MDT")
    failed = await site.task("stratagem.purge", {}, item(fid(3)))
    assert failed == [{"fid": fid(3), "data": {}, "errno": 5}]


@pytest.mark.parametrize(
    ("name", "task", "said"),
    [
        ("mirror.extend", {"pool": "flash"}, "would mirror {root}/a"),
        ("mirror.resync", {}, "would resync {root}/a"),
        ("mirror.split", {"pool": "flash"}, "would split from flash {root}/a"),
        ("stratagem.purge", {}, "would delete {root}/a"),
        ("stratagem.filesync", {"remote": "/r", "action": "Push"}, "would copy to /r: {root}/a"),
        ("stratagem.cloudsync", {"remote": "s3", "action": "Pull"}, "would pull from s3: {root}/a"),
        ("stratagem.warning", {"report_name": "r"}, "would report {root}/a in r"),
    ],
)
async def test_a_dry_run_says_what_it_would_touch_and_changes_nothing(
    site: Site, name: str, task: Any, said: str
) -> None:
    site.add(1, "a")
    before = site.files()
    failed = await site.task(name, task, item(fid(1)), item(MISSING), dry_run=True)
    assert failed == [{"fid": MISSING, "data": {}, "errno": 2}]
    assert site.desk.logged.startswith(said.format(root=site.root))
    assert site.files() == before
    assert {call[0] for call in site.node.calls("lfs")} == {"fid2path"}
    assert site.manager.chunks == []


async def test_a_warning_reports_paths_by_the_link_the_scan_noted(site: Site) -> None:
    site.add(1, "top/a")
    site.add(2, "other")
    site.node.add_file(fid(7), SimulatedFile(path="top"))
    links = [{"pfid": MISSING, "name": "x"}, {"pfid": fid(7), "name": "b"}]
    failed = await site.task(
        "stratagem.warning",
        {"report_name": "r1.txt"},
        item(fid(1), links),
        item(fid(2), "no links"),
        item(MISSING, [{"pfid": MISSING, "name": "x"}]),
    )
    assert failed == [{"fid": MISSING, "data": [{"pfid": MISSING, "name": "x"}], "errno": 2}]
    lines = [f"{site.root}/top/b".encode(), f"{site.root}/other".encode()]
    assert site.manager.lines["report r1.txt"] == lines


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ManagerUnreachableError("https://m", "away"), id="away"),
        pytest.param(ManagerRefusedError("https://m", 403, "no"), id="refused"),
    ],
)
async def test_a_report_that_is_not_complete_is_an_error(
    site: Site, error: ManagerUnreachableError | ManagerRefusedError
) -> None:
    site.add(1, "a")
    site.manager.failures.append(error)
    with pytest.raises(type(error)):
        await site.task("stratagem.warning", {"report_name": "r"}, item(fid(1)))


async def test_a_name_with_a_newline_is_found_and_reported_on_one_line(site: Site) -> None:
    site.node.add_file(fid(1), SimulatedFile(path="a\nb"))
    site.node.add_file(fid(2), SimulatedFile(path="c"))
    task = {"report_name": "r"}
    assert await site.task("stratagem.warning", task, item(fid(1)), item(fid(2))) == []
    lines = [f"{site.root}/a\\nb".encode(), f"{site.root}/c".encode()]
    assert site.manager.lines["report r"] == lines


async def test_filesync_pushes_small_files_with_rsync_and_large_ones_in_parallel(
    site: Site, tmp_path: Path
) -> None:
    site.add(1, "d/small")
    site.add(2, "d/large", size=5000)
    task = {"remote": str(tmp_path / "out"), "action": "Push", "more": "ignored"}
    failed = await site.task("stratagem.filesync", task, item(fid(1)), item(fid(2)), item(MISSING))
    assert failed == [{"fid": MISSING, "data": {}, "errno": 2}]
    assert (tmp_path / "out/d/small").read_bytes() == b"x" * 10
    assert (tmp_path / "out/d/large").stat().st_size == 5000
    source, destination = site.root / "d/small", tmp_path / "out/d/small"
    assert site.node.calls("rsync") == [["-a", "-t", "--", str(source), str(destination)]]
    words = "--allow-run-as-root -c 4 --hostfile /etc/iml/filesync-hostfile dsync -S"
    assert site.node.calls("mpirun")[0][:7] == words.split()


async def test_filesync_pulls(site: Site, tmp_path: Path) -> None:
    site.add(1, "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_bytes(b"newer")
    task = {"remote": str(tmp_path / "out"), "action": "Pull"}
    assert await site.task("stratagem.filesync", task, item(fid(1))) == []
    assert (site.root / "a").read_bytes() == b"newer"


async def test_a_copy_that_fails_is_returned_with_its_status(site: Site, tmp_path: Path) -> None:
    site.add(1, "a")
    site.add(2, "b")
    site.add(3, "large", size=5000)
    (site.root / "b").unlink()
    site.node.fail_program("rsync", str(site.root / "a"), status=23)
    site.node.fail_program("mpirun", status=7)
    task = {"remote": str(tmp_path / "out"), "action": "Push"}
    items = [item(fid(number)) for number in (1, 2, 3)]
    failed = await site.task("stratagem.filesync", task, *items)
    assert [(one["fid"], one["errno"]) for one in failed] == [
        (fid(1), 23),
        (fid(2), 2),
        (fid(3), 7),
    ]


async def test_without_rsync_the_batch_fails(site: Site, tmp_path: Path) -> None:
    site.add(1, "a")
    site.node.remove_program("rsync")
    task = {"remote": str(tmp_path / "out"), "action": "Push"}
    with pytest.raises(CommandNotFoundError, match="rsync"):
        await site.task("stratagem.filesync", task, item(fid(1)))


async def test_cloudsync_pushes_and_pulls_by_object_name(site: Site) -> None:
    site.add(1, "d_1/a")
    assert (
        await site.task("stratagem.cloudsync", {"remote": "s3", "action": "Push"}, item(fid(1)))
        == []
    )
    local = str(site.root / "d_1/a")
    assert site.node.calls("stgm_cloudsync") == [["push", local, "s3:d__1_a"]]
    (site.root / "d_1/a").unlink()
    assert (
        await site.task("stratagem.cloudsync", {"remote": "s3", "action": "Pull"}, item(fid(1)))
        == []
    )
    assert (site.root / "d_1/a").read_bytes() == b"x" * 10


async def test_an_object_copy_that_fails_or_is_killed_is_returned(site: Site) -> None:
    site.add(1, "a")
    task = {"remote": "s3", "action": "Pull"}
    failed = await site.task("stratagem.cloudsync", task, item(fid(1)), item(MISSING))
    assert [(one["fid"], one["errno"]) for one in failed] == [(fid(1), 1), (MISSING, 2)]
    (site.node.programs / "stgm_cloudsync").write_text("#!/bin/sh\nkill -9 $$\n")
    failed = await site.task("stratagem.cloudsync", task, item(fid(1)))
    assert [one["errno"] for one in failed] == [1]


async def test_a_name_that_is_no_utf8_is_reported_as_it_is_and_shown_as_far_as_it_can(
    site: Site,
) -> None:
    with site.node.state() as state:
        strange = SimulatedFile(path="x").model_dump(mode="json") | {"path": "caf\udce9"}
        state.cluster["files"]["fs1"] = {fid(1): strange}
    task = {"report_name": "r"}
    assert await site.task("stratagem.warning", task, item(fid(1)), dry_run=True) == []
    assert await site.task("stratagem.purge", {}, item(fid(1)), dry_run=True) == []
    assert site.desk.logged.count("caf\ufffd") == 2
    assert await site.task("stratagem.warning", task, item(fid(1))) == []
    assert site.manager.lines["report r"] == [os.fsencode(site.root / "caf") + b"\xe9"]
