"""Daemon ``device``: a made-up machine of files, the tree's rules, ZFS, and hearing of changes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.plugin import DaemonContext, DaemonFault
from emf_plugins_host.devices import daemon as device_daemon
from emf_plugins_host.devices.block import BlockDevice, block_devices, ordered, split_name
from emf_plugins_host.devices.changes import watch_devices, watch_mounts
from emf_plugins_host.devices.daemon import Device, DevicesSettings, Scanner, parse_blkid
from emf_plugins_host.devices.mgs import parse_names
from emf_plugins_host.devices.tree import Dataset, Pool, device_tree
from emf_plugins_host.devices.zfs import parse_status, pools, vdev_json
from emf_plugins_host.mountinfo import Mount
from emf_plugins_host.netlink_messages import NetlinkError
from tests.host.programs import Programs
from tests.host.samples import first_value

pytestmark = pytest.mark.anyio

VG, LV = "V" * 32, "L" * 32
GIBIBYTE = 1024**3


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long for threads and programs: the machine may be loaded."""
    monkeypatch.setattr(device_daemon, "SCAN_WITHIN_S", 60)
    monkeypatch.setattr(device_daemon, "BLKID_WITHIN_S", 60)


class Machine:
    """The folders /sys, /dev, /run/udev and /proc of a made-up machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("sys/class/block", "dev/disk/by-id", "dev/mapper", "proc/self", "run"):
            (root / name).mkdir(parents=True)
        (root / "proc/self/mountinfo").write_text("")

    def device(
        self,
        name: str,
        number: str,
        where: str = "devices/pci0",
        *,
        size: int = GIBIBYTE,
        members: tuple[str, ...] = (),
        **files: str,
    ) -> Path:
        folder = self.root / "sys" / where / name
        (folder / "slaves").mkdir(parents=True)
        (folder / "dev").write_text(f"{number}\n")
        (folder / "size").write_text(f"{size // 512}\n")
        (folder / "ro").write_text("0\n")
        for file, text in files.items():
            path = folder / file.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{text}\n")
        (self.root / "sys/class/block" / name).symlink_to(folder)
        for member in members:
            target = (self.root / "sys/class/block" / member).resolve()
            (folder / "slaves" / member).symlink_to(target)
        (self.root / "dev" / name).write_text("")
        return folder

    def link(self, link: str, name: str) -> None:
        path = self.root / "dev" / link
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(Path(*[".."] * link.count("/")) / name)

    def udev(self, number: str, **properties: str) -> None:
        folder = self.root / "run/udev/data"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"E:{name}={value}" for name, value in properties.items()]
        (folder / f"b{number}").write_text("\n".join(["S:disk/by-id/x", *lines, ""]))

    def tree(self, *mounts: Mount, pools: tuple[Pool, ...] = (), loops: bool = False) -> Any:
        return device_tree(block_devices(self.root, loops=loops), mounts, pools)["Root"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


def walk(node: Any, depth: int = 0) -> Iterator[str]:
    """Yield a line for each node."""
    for child in node["children"]:
        ((kind, fields),) = child.items()
        name = fields.get("name") or fields.get("uuid") or fields.get("paths", ["?"])[-1]
        yield f"{'  ' * depth}{kind} {name}"
        yield from walk(fields, depth + 1)


def test_a_disk_has_the_ancestors_fields(machine: Machine) -> None:
    machine.device("sdb", "8:16", "devices/platform/host3/block", size=5368709120)
    machine.link("disk/by-id/scsi-3600140", "sdb")
    machine.udev(
        "8:16", ID_SERIAL="3600140550e41a841", IML_SCSI_80="SLIO-ORG ost12 50e4", ID_FS_TYPE="ext4"
    )

    assert machine.tree() == {
        "children": [
            {
                "ScsiDevice": {
                    "serial": "3600140550e41a841",
                    "scsi80": "SLIO-ORG ost12 50e4",
                    "major": "8",
                    "minor": "16",
                    "devpath": "/devices/platform/host3/block/sdb",
                    "size": 5368709120,
                    "filesystem_type": "ext4",
                    "fs_uuid": None,
                    "fs_label": None,
                    "paths": ["/dev/disk/by-id/scsi-3600140", "/dev/sdb"],
                    "mount": None,
                    "children": [],
                }
            }
        ]
    }


def test_a_disk_without_udevs_help_still_has_its_serial_numbers(machine: Machine) -> None:
    folder = machine.device("sda", "8:0", device__wwid="naa.6001405", device__vendor="SLIO-ORG")
    (folder / "device/model").write_text("ost12   \n")
    (folder / "device/vpd_pg80").write_bytes(b"\0\x80\0\x0450e4")
    ((disk,),) = (node.values() for node in machine.tree()["children"])

    assert (disk["serial"], disk["scsi80"]) == ("naa.6001405", "SLIO-ORG ost12 50e4")


def test_everything_hangs_where_it_belongs(machine: Machine) -> None:
    machine.device("sda", "8:0")
    machine.device("sda1", "8:1", "devices/pci0/sda", partition="1")
    machine.device("sdb", "8:16")
    machine.device("sdc", "8:32")
    machine.device(
        "dm-0",
        "252:0",
        "devices/virtual/block",
        members=("sdb", "sdc"),
        dm__uuid="mpath-3600140",
        dm__name="mpatha",
    )
    machine.device(
        "dm-1",
        "252:1",
        "devices/virtual/block",
        members=("dm-0",),
        dm__uuid="part1-mpath-3600140",
        dm__name="mpatha1",
    )
    machine.device("sdd", "8:48")
    machine.device("sde", "8:64")
    machine.device(
        "md0", "9:0", "devices/virtual/block", members=("sdd", "sde"), md__uuid="aaaa:bbbb"
    )
    machine.device(
        "dm-2",
        "252:2",
        "devices/virtual/block",
        members=("sda1", "md0"),
        dm__uuid=f"LVM-{VG}{LV}",
        dm__name="vg--1-home",
    )
    machine.link("mapper/vg--1-home", "dm-2")
    machine.link("vg-1/home", "dm-2")
    pool = Pool(7, "tank", "ONLINE", "ONLINE", 1, {}, frozenset({"/dev/sdf"}))
    machine.device("sdf", "8:80")

    assert list(walk(machine.tree(pools=(pool,)))) == [
        "ScsiDevice /dev/sda",
        "  Partition /dev/sda1",
        "    VolumeGroup vg-1",
        "      LogicalVolume home",
        "ScsiDevice /dev/sdb",
        "  Mpath /dev/dm-0",
        "    Partition /dev/dm-1",
        "ScsiDevice /dev/sdc",
        "  Mpath /dev/dm-0",
        "    Partition /dev/dm-1",
        "ScsiDevice /dev/sdd",
        "  MdRaid aaaa:bbbb",
        "    VolumeGroup vg-1",
        "      LogicalVolume home",
        "ScsiDevice /dev/sde",
        "  MdRaid aaaa:bbbb",
        "    VolumeGroup vg-1",
        "      LogicalVolume home",
        "ScsiDevice /dev/sdf",
        "  Zpool tank",
    ]


def test_a_group_has_its_size_and_hides_its_volumes_inner_parts(machine: Machine) -> None:
    machine.device("sda", "8:0", size=4 * GIBIBYTE)
    machine.device(
        "dm-0",
        "252:0",
        "devices/virtual/block",
        members=("sda",),
        dm__uuid=f"LVM-{VG}{'I' * 32}-tdata",
        dm__name="vg-pool_tdata",
    )
    machine.device(
        "dm-1",
        "252:1",
        "devices/virtual/block",
        members=("dm-0",),
        dm__uuid=f"LVM-{VG}{LV}",
        dm__name="vg-thin",
    )
    ((disk,),) = (node.values() for node in machine.tree()["children"])
    (group,) = (node["VolumeGroup"] for node in disk["children"])

    assert (group["name"], group["uuid"], group["size"]) == ("vg", VG, 4 * GIBIBYTE)
    assert [node["LogicalVolume"]["name"] for node in group["children"]] == ["thin"]
    assert group["children"][0]["LogicalVolume"]["uuid"] == LV


@pytest.mark.parametrize(
    ("name", "number", "files"),
    [
        ("sda", "8:0", {"size": "0"}),
        ("sda", "8:0", {"ro": "1"}),
        ("sr0", "11:0", {}),
        ("ram0", "1:0", {}),
        ("fd0", "2:0", {}),
        ("loop0", "7:0", {}),
    ],
)
def test_what_nothing_can_be_stored_on_is_left_out(
    machine: Machine, name: str, number: str, files: dict[str, str]
) -> None:
    folder = machine.device(name, number)
    for file, text in files.items():
        (folder / file).write_text(text)

    assert machine.tree()["children"] == []


def test_a_bios_boot_partition_is_left_out(machine: Machine) -> None:
    machine.device("sda", "8:0")
    machine.device("sda1", "8:1", "devices/pci0/sda", partition="1")
    machine.udev("8:1", ID_PART_ENTRY_TYPE="21686148-6449-6e6f-744e-656564454649")

    assert list(walk(machine.tree())) == ["ScsiDevice /dev/sda"]


def test_loop_devices_are_shown_where_that_is_wished(machine: Machine) -> None:
    machine.device("loop0", "7:0")

    assert list(walk(machine.tree(loops=True))) == ["ScsiDevice /dev/loop0"]


def test_a_mount_belongs_to_the_device_that_is_its_source(machine: Machine) -> None:
    machine.device("sda", "8:0")
    machine.device("sdb", "8:16")
    machine.link("disk/by-id/b", "sdb")
    by_path = Mount("/dev/disk/by-id/b", "/mnt/b", "xfs", "rw", "0:99", "/")
    by_number = Mount("/dev/root", "/", "ext4", "rw", "8:0", "/")
    bind = Mount("/dev/root", "/srv", "ext4", "rw", "8:0", "/srv")
    first, second = (
        node["ScsiDevice"] for node in machine.tree(bind, by_number, by_path)["children"]
    )

    assert first["mount"]["target"] == "/"
    assert second["mount"] == {
        "source": "/dev/disk/by-id/b",
        "target": "/mnt/b",
        "fs_type": "xfs",
        "opts": "rw",
    }


def test_a_device_that_vanishes_during_the_scan_costs_only_itself(machine: Machine) -> None:
    machine.device("sda", "8:0")
    folder = machine.device("sdb", "8:16")
    (folder / "size").unlink()
    (machine.root / "sys/class/block/sdc").symlink_to(machine.root / "sys/gone")

    assert list(walk(machine.tree())) == ["ScsiDevice /dev/sda"]


def test_a_circle_of_devices_ends() -> None:
    one = BlockDevice("9:1", "md1", "/a", 1, False, ("/dev/md1",), md_uuid="1", members=("9:2",))
    two = BlockDevice("9:2", "md2", "/b", 1, False, ("/dev/md2",), md_uuid="2", members=("9:1",))
    disk = BlockDevice("9:3", "sda", "/c", 1, False, ("/dev/sda",))
    three = BlockDevice(
        "9:4", "md3", "/d", 1, False, ("/dev/md3",), md_uuid="3", members=("9:3", "9:4")
    )

    assert list(walk(device_tree([one, two, disk, three], [])["Root"])) == [
        "ScsiDevice /dev/sda",
        "  MdRaid 3",
        "    MdRaid 3",
    ]


def test_paths_are_in_the_managers_order() -> None:
    given_paths = [
        "/elsewhere",
        "/dev/sda",
        "/dev/disk/by-path/p",
        "/dev/disk/by-id/b",
        "/dev/disk/by-id/a",
        "/dev/mapper/m",
        "/dev/sda",
    ]
    assert ordered(given_paths) == (
        "/dev/mapper/m",
        "/dev/disk/by-id/a",
        "/dev/disk/by-id/b",
        "/dev/disk/by-path/p",
        "/dev/sda",
        "/elsewhere",
    )


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("vg-lv", ("vg", "lv")),
        ("my--vg-my--lv", ("my-vg", "my-lv")),
        ("vg-thin-tpool", ("vg", "thin")),
        ("odd", ("odd", "")),
    ],
)
def test_a_mapped_name_is_taken_apart(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


STATUS = """  pool: tank
 state: ONLINE
config:

\tNAME               STATE     READ WRITE CKSUM
\ttank               ONLINE       0     0     0
\t  mirror-0         ONLINE       0     0     0
\t    /dev/sda1      ONLINE       0     0     0
\t    replacing-1    DEGRADED     0     0     0
\t      /dev/sdb1    OFFLINE      0     0     0
\t      /dev/sdc1    ONLINE       0     0     0  (resilvering)
\t  raidz1-1         ONLINE       0     0     0
\t    /files/a       ONLINE       0     0     0
\tlogs
\t  /dev/sdd1        ONLINE       0     0     0
\tcache
\t  /dev/sde1        ONLINE       0     0     0
\tspares
\t  /dev/sdf1        AVAIL

errors: No known data errors
"""


def test_a_pools_devices_are_a_tree() -> None:
    by_path = parse_status(STATUS, "tank")
    guids = STATUS
    for number, name in enumerate(
        ("/dev/sda1", "/dev/sdb1", "/dev/sdc1", "/files/a", "/dev/sdd1", "/dev/sde1", "/dev/sdf1"),
        11,
    ):
        guids = guids.replace(name, str(number))
    tree: Any = vdev_json(by_path, parse_status(guids, "tank"))["Root"]
    mirror, raid, log = tree["children"]

    assert mirror["Mirror"]["children"][0]["Disk"] == {
        "guid": 11,
        "state": "ONLINE",
        "path": "/dev/sda1",
        "dev_id": None,
        "phys_path": None,
        "whole_disk": None,
        "is_log": False,
    }
    replacing = mirror["Mirror"]["children"][1]["Replacing"]["children"]
    assert [one["Disk"]["guid"] for one in replacing] == [12, 13]
    assert raid["RaidZ"]["children"] == [
        {"File": {"guid": 14, "state": "ONLINE", "path": "/files/a", "is_log": False}}
    ]
    assert log["Disk"]["is_log"] is True
    assert [tree[name][0]["Disk"]["path"] for name in ("cache", "spares")] == [
        "/dev/sde1",
        "/dev/sdf1",
    ]


@given(st.text("\t /ab\nconfig:-", max_size=200))
def test_any_status_is_a_tree(text: str) -> None:
    vdev_json(parse_status(text, "a"), parse_status(text, "a"))


async def test_pools_come_with_their_data_sets(programs: Programs, machine: Machine) -> None:
    (programs.folder / ".status").write_text(STATUS)
    programs.script(
        "zpool",
        f"""case "$1" in
  list) printf '77\\ttank\\tONLINE\\t1000\\n' ;;
  status) cat {programs.folder}/.status ;;
  get) printf 'ashift\\t12\\n' ;;
esac
""",
    )
    programs.script(
        "zfs",
        """case "$1" in
  list) printf '1\\ttank\\tfilesystem\\n2\\ttank/ost0\\tfilesystem\\n' ;;
  get) printf 'tank/ost0\\tlustre:svname\\tfs1-OST0000\\n' ;;
esac
""",
    )
    (found,) = await pools()
    machine.device("sda", "8:0")
    machine.device("sda1", "8:1", "devices/pci0/sda", partition="1")
    mounted = Mount("tank/ost0", "/mnt/ost0", "zfs", "rw", "0:1", "/")
    partition = machine.tree(mounted, pools=(found,))["children"][0]["ScsiDevice"]["children"][0]
    (zpool,) = (node["Zpool"] for node in partition["Partition"]["children"])

    assert (zpool["guid"], zpool["name"], zpool["size"]) == (77, "tank", 1000)
    assert zpool["props"] == [{"name": "ashift", "value": "12"}]
    assert zpool["children"] == [
        {
            "Dataset": {
                "guid": 2,
                "name": "tank/ost0",
                "kind": "filesystem",
                "props": [{"name": "lustre:svname", "value": "fs1-OST0000"}],
                "mount": {
                    "source": "tank/ost0",
                    "target": "/mnt/ost0",
                    "fs_type": "zfs",
                    "opts": "rw",
                },
            }
        }
    ]
    assert found.datasets == (
        Dataset(2, "tank/ost0", "filesystem", {"lustre:svname": "fs1-OST0000"}),
    )


async def test_a_broken_zfs_costs_nothing_but_its_pools(programs: Programs) -> None:
    assert await pools() == []
    programs.add("zpool", stderr="The ZFS modules are not loaded.\n", code=1)
    assert await pools() == []


def test_the_file_systems_of_an_mgs_are_named_without_its_own_parts() -> None:
    text = "mgs.MGS.live.fs1\nmgs.MGS.live.params\nmgs.MGS.live.nodemap\nerror: x\n"

    assert parse_names(text) == ["fs1"]


@pytest.mark.parametrize("text", ["", "rubbish", "=", "TYPE=ext4\n\nUUID=1"])
def test_what_blkid_should_not_print_is_nothing(text: str) -> None:
    assert parse_blkid(text) == {}


# the daemon


def scanner(machine: Machine) -> Scanner:
    return Scanner(DevicesSettings(), machine.root)


async def test_the_payload_is_a_pair_of_devices_and_file_systems(
    machine: Machine, programs: Programs
) -> None:
    machine.device("sda", "8:0")
    (machine.root / "proc/self/mountinfo").write_text("28 1 8:0 / / rw - ext4 /dev/sda rw\n")
    (machine.root / "proc/swaps").write_text("Filename\n/dev/sdb partition 1 0 -2\n")
    programs.add("lctl", stdout="mgs.MGS.live.fs1\n")
    programs.add("blkid", stdout="DEVNAME=/dev/sda\nUUID=u\nBLOCK_SIZE=4096\nTYPE=ext4\n\n")
    (tree, mounts), names = await first_value(Device(scanner(machine)))

    (disk,) = (node["ScsiDevice"] for node in tree["Root"]["children"])
    assert (disk["filesystem_type"], disk["fs_uuid"], disk["fs_label"]) == ("ext4", "u", None)
    assert mounts == [
        {"source": "/dev/sda", "target": "/", "fs_type": "ext4", "opts": "rw"},
        {"source": "/dev/sdb", "target": "swap", "fs_type": "swap", "opts": "pri=-2"},
    ]
    assert names == ["fs1"]


class Bell:
    """Events of devices as a test sends them."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setblocking(False)

    def __call__(self) -> socket.socket:
        return self._ours

    def ring(self) -> None:
        self._theirs.send(b"add@/devices/y\0ACTION=add\0SUBSYSTEM=block\0")

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


@pytest.fixture
def bell() -> Iterator[Bell]:
    made = Bell()
    yield made
    made.close()


class Watched:
    """A daemon whose watch runs, and what its updates say."""

    def __init__(self, daemon: Device) -> None:
        self._daemon = daemon
        self._woken = anyio.Event()
        daemon.context = DaemonContext(wake=lambda: self._woken.set())

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        """Return the first value that is wanted, of those that the daemon woke for."""
        with anyio.fail_after(60):
            while True:
                await self._woken.wait()
                self._woken = anyio.Event()
                value = await self._daemon.update_session()
                if wanted(value):
                    return value


def disks(value: Any) -> list[Any]:
    (tree, _), _ = value
    found: list[Any] = tree["Root"]["children"]
    return found


async def test_devices_are_read_again_only_after_a_change(
    machine: Machine, programs: Programs, bell: Bell
) -> None:
    daemon = Device(scanner(machine), events=bell)
    assert disks(await daemon.start_session()) == []
    machine.device("sda", "8:0")
    assert disks(await daemon.update_session()) == []

    async with anyio.create_task_group() as tasks:
        watched = Watched(daemon)
        tasks.start_soon(daemon.watch_session)
        assert len(disks(await watched.until(lambda value: len(disks(value)) == 1))) == 1
        machine.device("sdb", "8:16")
        bell.ring()
        assert len(disks(await watched.until(lambda value: len(disks(value)) == 2))) == 2
        tasks.cancel_scope.cancel()


async def test_a_change_of_an_mgs_alone_is_sent(machine: Machine, programs: Programs) -> None:
    daemon = Device(scanner(machine))
    assert (await daemon.start_session())[1] == []
    programs.add("lctl", stdout="mgs.MGS.live.fs1\n")
    assert (await daemon.update_session())[1] == ["fs1"]


async def test_a_machine_without_a_mount_table_is_a_fault_until_it_has_one(
    machine: Machine, programs: Programs, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Device, "interval_s", 0.05)
    (machine.root / "proc/self/mountinfo").unlink()
    daemon = Device(scanner(machine), events=bell)
    with pytest.raises(DaemonFault, match="the devices cannot be read: No such file"):
        await daemon.start_session()
    with pytest.raises(DaemonFault, match="the devices cannot be read"):
        await daemon.update_session()
    (machine.root / "proc/self/mountinfo").write_text("")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.watch_session)
        with anyio.fail_after(60):
            while daemon._fault is not None:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert await daemon.update_session()


class Doorbell:
    """Rings and counts."""

    def __init__(self) -> None:
        self.rung = anyio.Event()
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        self.rung.set()

    async def wait(self) -> None:
        with anyio.fail_after(60):
            await self.rung.wait()
        self.rung = anyio.Event()


async def test_events_of_block_devices_are_heard_and_others_are_not() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    bell = Doorbell()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch_devices, bell, lambda: ours)
        await bell.wait()
        theirs.send(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=net\0")
        theirs.send(b"add@/devices/y\0ACTION=add\0SUBSYSTEM=block\0")
        theirs.send(b"add@/devices/z\0ACTION=add\0SUBSYSTEM=block\0")
        await bell.wait()
        tasks.cancel_scope.cancel()
    theirs.close()

    assert bell.count == 2, "once at the beginning, and once for a flock of events"


async def test_a_process_that_may_not_listen_reads_devices_from_time_to_time(
    machine: Machine, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> socket.socket:
        raise NetlinkError("cannot listen to device events: Operation not permitted")

    monkeypatch.setattr(Device, "interval_s", 0.05)
    daemon = Device(scanner(machine), events=refuse)
    await daemon.start_session()
    async with anyio.create_task_group() as tasks:
        watched = Watched(daemon)
        tasks.start_soon(daemon.watch_session)
        await watched.until(lambda value: not disks(value))
        machine.device("sda", "8:0")
        assert disks(await watched.until(lambda value: bool(disks(value))))
        tasks.cancel_scope.cancel()


async def test_watching_the_mounts_begins_with_a_look_and_can_be_cancelled() -> None:
    bell = Doorbell()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch_mounts, bell)
        await bell.wait()
        tasks.cancel_scope.cancel()

    assert bell.count >= 1
