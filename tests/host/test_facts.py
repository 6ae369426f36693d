"""Daemon ``host``: parsers, hung mounts, and this machine."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_plugins_host.facts import proc
from emf_plugins_host.facts.daemon import Host
from emf_plugins_host.facts.file_systems import FileSystems, worth_showing
from emf_plugins_host.facts.hardware import cpu, hardware
from emf_plugins_host.facts.sensors import sensors
from emf_plugins_host.mountinfo import Mount, mounts, swaps
from emf_plugins_host.probe import Answer, Failed, Probe, Stuck, Threads
from tests.host.samples import first_value

pytestmark = pytest.mark.anyio

MOUNTINFO = r"""22 28 0:20 / /proc rw,nosuid shared:5 - proc proc rw
28 1 253:1 / / rw,relatime shared:1 - xfs /dev/sda1 rw,attr2,inode64,noquota
40 28 253:1 /srv /mnt/bind rw,relatime shared:9 - xfs /dev/sda1 rw,attr2,inode64,noquota
41 28 0:50 / /mnt/with\040space ro,relatime - nfs4 server:/a\134b rw,vers=4.2
42 28 0:51 / /sys/fs/cgroup rw - tmpfs tmpfs rw
43 28 0:52 / /home rw - fuse.sshfs me@there: rw,user_id=0
"""


def test_mounts_have_their_names_and_options_back() -> None:
    found = mounts(MOUNTINFO)

    assert [one.target for one in found] == [
        "/proc",
        "/",
        "/mnt/bind",
        "/mnt/with space",
        "/sys/fs/cgroup",
        "/home",
    ]
    assert found[1].opts == "rw,relatime,attr2,inode64,noquota"
    assert found[3] == Mount(
        "server:/a\\b", "/mnt/with space", "nfs4", "ro,relatime,vers=4.2", "0:50", "/"
    )


def test_swap_is_listed_as_findmnt_does() -> None:
    text = "Filename Type Size Used Priority\n/dev/dm-1 partition 2097148 0 -2\n"

    assert swaps(text) == [Mount("/dev/dm-1", "swap", "swap", "pri=-2", "0:0", "/")]


@given(st.text(max_size=300))
def test_any_text_is_read_as_mounts(text: str) -> None:
    assert len(mounts(text)) <= text.count(" - ")


def test_only_file_systems_with_data_are_shown_and_each_once() -> None:
    assert [one.target for one in worth_showing(mounts(MOUNTINFO))] == [
        "/",
        "/mnt/with space",
        "/home",
    ]


class HangingServer:
    """Answers for every mount but one, until it is let go."""

    def __init__(self, hangs_at: str) -> None:
        self.hangs_at = hangs_at
        self.asked: list[str] = []
        self.let_go = threading.Event()
        self.answered = threading.Event()

    def __call__(self, target: str) -> os.statvfs_result:
        self.asked.append(target)
        if target == self.hangs_at:
            self.let_go.wait(60)
            self.answered.set()
        return os.statvfs("/")


async def test_a_hung_mount_blocks_nobody_and_says_since_when() -> None:
    server = HangingServer("/mnt/with space")
    file_systems = FileSystems(statvfs=server, answer_within_s=0.2)
    try:
        first = await file_systems.usage(mounts(MOUNTINFO))
        second = await file_systems.usage(mounts(MOUNTINFO))
    finally:
        server.let_go.set()

    by_target = {one["target"]: one for one in first}
    assert by_target["/"]["size"] == os.statvfs("/").f_blocks * os.statvfs("/").f_frsize
    assert "size" not in by_target["/mnt/with space"]
    assert by_target["/mnt/with space"]["stuck_since"].endswith("+00:00")
    assert second[1] == first[1]
    assert server.asked.count("/mnt/with space") == 1, "one thread hangs, not one more each time"


async def test_a_mount_that_answers_again_is_shown_again() -> None:
    server = HangingServer("/")
    file_systems = FileSystems(statvfs=server, answer_within_s=0.05)
    root = [one for one in mounts(MOUNTINFO) if one.target == "/"]
    (hung,) = await file_systems.usage(root)
    server.let_go.set()
    shown = hung
    with anyio.fail_after(30):
        while "size" not in shown:
            (shown,) = await file_systems.usage(root)

    assert "stuck_since" in hung
    assert "stuck_since" not in shown


async def test_a_mount_that_cannot_be_asked_says_why() -> None:
    def refuse(_: str) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    (shown,) = await FileSystems(statvfs=refuse, answer_within_s=30).usage(
        [Mount("/dev/sda1", "/", "xfs", "ro", "8:1", "/")]
    )

    assert shown["error"] == "Input/output error"
    assert shown["read_only"] is True


async def test_a_probe_tells_an_answer_from_an_error() -> None:
    threads = Threads()

    def fail() -> int:
        raise PermissionError(13, "Permission denied")

    assert await Probe(lambda: 5, threads).within(30) == Answer(5)
    assert await Probe(fail, threads).within(30) == Failed("Permission denied")
    assert await Probe(lambda: int("x"), threads).within(30) == Failed(
        "ValueError: invalid literal for int() with base 10: 'x'"
    )


async def test_threads_are_risked_only_up_to_a_bound() -> None:
    threads = Threads()
    let_go = threading.Event()
    probes = [Probe(lambda: let_go.wait(60), threads) for _ in range(33)]
    try:
        said = [await probe.within(0) for probe in probes]
    finally:
        let_go.set()

    assert [isinstance(one, Stuck) for one in said] == [True] * 32 + [False]


def test_load_memory_and_pressure_are_numbers() -> None:
    assert proc.load("0.32 0.29 0.20 3/120 4711\n") == {
        "one": 0.32,
        "five": 0.29,
        "fifteen": 0.2,
        "running": 3,
        "threads": 120,
    }
    memory = proc.memory("MemTotal:  1000 kB\nMemAvailable: 500 kB\nHugePages_Total: 3\n")
    assert (memory["total"], memory["available"], memory["hugepages_total"]) == (
        1024_000,
        512_000,
        3,
    )
    text = (
        "some avg10=1.50 avg60=0.10 avg300=0.00 total=12\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"
    )
    assert proc.pressure(text) == {
        "some": {"avg10": 1.5, "avg60": 0.1, "avg300": 0.0, "total_us": 12},
        "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total_us": 3},
    }
    times = proc.cpu_times("cpu  100 200 300 400 500 600 700 800 0 0\ncpu0 1 2\n")
    assert times is not None
    assert times["steal"] == 8.0
    assert proc.boot_seconds("ctxt 5\nbtime 1700000000\n") == 1_700_000_000
    assert proc.cpu_model("processor\t: 0\nmodel name\t: AMD  EPYC\n") == "AMD EPYC"


@given(st.text(max_size=200))
def test_any_text_of_proc_is_read_or_left_out(text: str) -> None:
    assert proc.load(text) is None or text
    assert proc.cpu_times(text) is None or text
    assert proc.uptime_seconds(text) is None or text
    proc.memory(text)
    proc.pressure(text)
    proc.cpu_model(text)


def test_the_firmwares_table_is_read_where_there_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "class/dmi/id"
    folder.mkdir(parents=True)
    (folder / "sys_vendor").write_text("Dell Inc.\n")
    (folder / "product_name").write_text("PowerEdge R650\n")

    found = hardware(tmp_path)
    assert (found["vendor"], found["product"], found["serial"]) == (
        "Dell Inc.",
        "PowerEdge R650",
        None,
    )


def test_cores_and_sockets_are_counted(tmp_path: Path) -> None:
    for number in range(8):
        topology = tmp_path / f"devices/system/cpu/cpu{number}/topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text(str(number // 4))
        (topology / "core_id").write_text(str(number // 2 % 2))
    (tmp_path / "devices/system/cpu/cpu7/online").write_text("0\n")

    found = cpu(tmp_path, "")
    assert (found["sockets"], found["cores"], found["threads"]) == (2, 4, 7)


def test_sensors_come_in_their_units(tmp_path: Path) -> None:
    chip = tmp_path / "class/hwmon/hwmon0"
    chip.mkdir(parents=True)
    for name, text in {
        "name": "coretemp",
        "temp1_input": "45000",
        "temp1_label": "Package id 0",
        "temp1_crit": "100000",
        "temp1_alarm": "0",
        "fan2_input": "5400",
        "in0_input": "not now",
        "odd7_input": "1",
    }.items():
        (chip / name).write_text(text + "\n")

    assert sensors(tmp_path) == [
        {"chip": "coretemp", "label": "fan2", "unit": "rpm", "value": 5400.0},
        {
            "chip": "coretemp",
            "label": "Package id 0",
            "unit": "celsius",
            "value": 45.0,
            "critical": 100.0,
            "alarm": False,
        },
    ]


async def test_this_machine_is_described() -> None:
    host = await first_value(Host())

    assert host["kernel"]["release"] == os.uname().release
    assert host["memory_bytes"]["total"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert any(one["target"] == "/" for one in host["file_systems"])


async def test_a_bare_system_is_described_without_what_it_lacks(tmp_path: Path) -> None:
    host = await first_value(Host(root=tmp_path))

    assert host["boot_time"] is None
    assert host["load"] is None
    assert host["pressure"] == {}
    assert host["file_systems"] == []
