"""Daemons ``network``, ``device`` and ``host``, with real interfaces, mounts and loop devices."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

from tests.host.sandbox.machine import Inside
from tests.sandbox import Machine

pytestmark = pytest.mark.sandbox


def interfaces(inside: Inside) -> dict[str, Any]:
    (payload,) = inside.daemon("network")
    return {one["interface"]: one for one in payload["network_interfaces"]}


def test_bridge_and_veth_are_shown_as_ip_shows_them(machine: Machine, inside: Inside) -> None:
    for words in (
        "link add br-lan type bridge",
        "link add veth_a type veth peer name veth.b",
        "link set veth_a master br-lan",
        "address add 10.9.8.7/24 dev br-lan",
        "address add fd00::7/64 dev br-lan nodad",
        "link set br-lan up",
        "link set veth_a up",
        "link set veth.b up",
    ):
        machine.run("ip", *words.split())
    shown = interfaces(inside)
    for theirs in json.loads(machine.run("ip", "-json", "-details", "address")):
        if "LOOPBACK" in theirs["flags"]:
            continue
        ours = shown.pop(theirs["ifname"])
        assert ours["mac_address"] == theirs["address"]
        assert ours["is_up"] == ("UP" in theirs["flags"])
        assert ours["operational"] == theirs["operstate"].lower()
        assert ours["kind"] == theirs["linkinfo"]["info_kind"]
        assert ours.get("master") == theirs.get("master")
        assert ours["inet4_address"] + ours["inet6_address"] == [
            f"{one['local']}/{one['prefixlen']}" for one in theirs["addr_info"]
        ]
    assert shown == {}
    machine.run("ip", "link", "delete", "br-lan")
    machine.run("ip", "link", "delete", "veth_a")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("bond", ["link add bond0 type bond mode active-backup", "link set v1 down",
                  "link set v1 master bond0", "link set bond0 up"]),
        ("vlan", ["link add link v1 name v1.100 type vlan id 100", "link set v1.100 up"]),
    ],
)  # fmt: skip
def test_bonds_and_vlans_are_shown_where_the_kernel_has_them(
    machine: Machine, inside: Inside, kind: str, words: list[str]
) -> None:
    machine.run("ip", "link", "add", "v1", "type", "veth", "peer", "name", "v2")
    try:
        first = machine.run("sh", "-c", f"ip {words[0]} && echo made", check=False)
        if "made" not in first:
            pytest.skip(f"this kernel has no {kind} interfaces")
        for line in words[1:]:
            machine.run("ip", *line.split())
        shown = interfaces(inside)
    finally:
        machine.run("ip", "link", "delete", "v1")
        machine.run("ip", "link", "delete", "bond0", check=False)
    if kind == "bond":
        assert [one["interface"] for one in shown["bond0"]["bond"]["members"]] == ["v1"]
        assert shown["bond0"]["bond"]["mode"] == "active-backup"
    else:
        assert shown["v1.100"]["vlan"] == {"id": 100, "protocol": "802.1Q", "link": "v1"}


@pytest.fixture
def thousand(machine: Machine) -> Generator[Machine, None, None]:
    pairs = "".join(
        f"link add many{number} type veth peer name more{number}\n" for number in range(500)
    )
    machine.run("ip", "-batch", "-", stdin=pairs)
    yield machine
    gone = "".join(f"link delete many{number}\n" for number in range(500))
    machine.run("ip", "-batch", "-", stdin=gone)


def test_a_thousand_interfaces_are_all_shown(thousand: Machine, inside: Inside) -> None:
    assert len([name for name in interfaces(inside) if name[:4] in ("many", "more")]) == 1000


def test_a_mount_is_told_when_it_is_made(machine: Machine, inside: Inside) -> None:
    machine.run("mkdir", "-p", "/mnt/told")
    values = inside.daemon(
        "device", 3, during=[["mount", "-t", "tmpfs", "-o", "size=1m", "told", "/mnt/told"]]
    )
    (_, mounts), names = values[-1]
    machine.run("umount", "/mnt/told")

    assert [one["source"] for one in mounts if one["target"] == "/mnt/told"] == ["told"]
    assert names == []


def test_a_loop_device_is_told_with_its_file_system(machine: Machine, inside: Inside) -> None:
    attach = """
set -e
truncate -s 16M /tmp/disk
mkfs.ext4 -q -L told /tmp/disk
free=$(losetup -f); number=${free#/dev/loop}
[ -e "$free" ] || mknod "$free" b 7 "$number"
losetup "$free" /tmp/disk
echo "$free"
"""
    made = machine.run("sh", "-c", attach, check=False).split()
    if not made:
        pytest.skip("no loop device can be attached here")
    try:
        ((tree, _), _) = inside.daemon("device", include_loop=True)[0]
    finally:
        machine.run("losetup", "-d", made[-1])
    (disk,) = (
        node["ScsiDevice"]
        for node in tree["Root"]["children"]
        if made[-1] in node["ScsiDevice"]["paths"]
    )
    assert disk["size"] == 16 * 1024 * 1024
    assert (disk["filesystem_type"], disk["fs_label"]) == ("ext4", "told")


def test_the_host_is_described(machine: Machine, inside: Inside) -> None:
    (host,) = inside.daemon("host")

    assert host["machine_id"] == machine.run("cat", "/etc/machine-id").strip()
    assert host["hostname"] == machine.run("hostname").strip()
    shown = [one["target"] for one in host["file_systems"]]
    listed = machine.run("df", "--output=target").splitlines()[1:]
    assert "/" in shown
    assert set(shown) <= set(listed)
