"""Daemon ``network``: from the kernel's bytes, and of this machine against ``ip``."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from emf_agent.plugin.daemon import payload_adapter
from emf_plugins_host.netlink_messages import RTM_GETLINK, NetlinkError
from emf_plugins_host.network import lnet
from emf_plugins_host.network.daemon import MOST_INTERFACES, Network
from emf_plugins_host.network.interfaces import link
from emf_plugins_host.network.lnet import parse_lnet
from tests.host.programs import Programs
from tests.host.samples import first_value

pytestmark = pytest.mark.anyio

ETHER, LOOPBACK, INFINIBAND = 1, 772, 32
UP, SLAVE, LO = 0x1, 0x800, 0x8
COUNTERS = tuple(range(1, 24))


def attribute(kind: int, value: bytes) -> bytes:
    whole = struct.pack("=HH", 4 + len(value), kind) + value
    return whole + bytes(-len(whole) % 4)


def number(kind: int, value: int, size: int = 4) -> bytes:
    return attribute(kind, value.to_bytes(size, "little"))


def interface(
    index: int,
    name: str,
    *more: bytes,
    hardware: int = ETHER,
    flags: int = UP,
    mac: str = "52:54:00:12:34:56",
) -> bytes:
    return (
        struct.pack("=BxHiII", 0, hardware, index, flags, 0)
        + attribute(3, name.encode() + b"\0")
        + attribute(1, bytes.fromhex(mac.replace(":", "")))
        + number(4, 1500)
        + number(16, 6, 1)
        + number(33, 1, 1)
        + attribute(23, struct.pack("=23Q", *COUNTERS) + bytes(8))
        + b"".join(more)
    )


def kind(name: str, data: bytes = b"", slave: bytes = b"") -> bytes:
    nest = attribute(1, name.encode() + b"\0") if name else b""
    return attribute(18, nest + (attribute(2, data) if data else b"") + slave)


def address(index: int, text: str, prefix: int) -> bytes:
    parsed = ip_address(text)
    family = 2 if parsed.version == 4 else 10
    return struct.pack("=BBBBi", family, prefix, 0, 0, index) + attribute(1, parsed.packed)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long for programs: the machine may be loaded."""
    monkeypatch.setattr(lnet, "ANSWER_WITHIN_S", 60)


class Kernel:
    """Lists what it was given."""

    def __init__(self, links: list[bytes], addresses: list[bytes] | None = None) -> None:
        self._links = links
        self._addresses = addresses or []

    def __call__(self, kind: int) -> list[bytes]:
        return self._links if kind == RTM_GETLINK else self._addresses


async def test_an_interface_has_the_ancestors_fields(programs: Programs, tmp_path: Path) -> None:
    kernel = Kernel(
        [interface(1, "lo", hardware=LOOPBACK, flags=LO | UP), interface(2, "eth0")],
        [
            address(1, "127.0.0.1", 8),
            address(2, "10.0.2.15", 24),
            address(2, "fe80::5054:ff:fe12:3456", 64),
        ],
    )
    payload = await Network(dump=kernel, sys=tmp_path).update_session()

    assert payload["lnet_data"] == {"net": []}
    assert payload["network_interfaces"] == [
        {
            "interface": "eth0",
            "mac_address": "52:54:00:12:34:56",
            "interface_type": "tcp",
            "inet4_address": ["10.0.2.15/24"],
            "inet6_address": ["fe80::5054:ff:fe12:3456/64"],
            "stats": {
                "rx": {
                    "bytes": 3,
                    "packets": 1,
                    "errs": 5,
                    "drop": 7 + 16,
                    "fifo": 15,
                    "frame": 11 + 12 + 13 + 14,
                    "compressed": 22,
                    "multicast": 9,
                },
                "tx": {
                    "bytes": 4,
                    "packets": 2,
                    "errs": 6,
                    "drop": 8,
                    "fifo": 19,
                    "colls": 10,
                    "carrier": 18 + 17 + 20 + 21,
                    "compressed": 23,
                },
            },
            "is_up": True,
            "is_slave": False,
            "mtu": 1500,
            "operational": "up",
            "carrier": True,
        }
    ]


@pytest.mark.parametrize(
    ("hardware", "type_"), [(ETHER, "tcp"), (INFINIBAND, "o2ib"), (778, None)], ids=str
)
def test_the_type_is_the_lnet_network_it_can_carry(hardware: int, type_: str | None) -> None:
    assert link(interface(2, "x0", hardware=hardware)).type == type_


@pytest.mark.parametrize("name", ["docker_gwbridge", "bond0.100", "br-lan", "veth1@if2"])
async def test_names_come_out_as_they_are(name: str, programs: Programs, tmp_path: Path) -> None:
    payload = await Network(dump=Kernel([interface(2, name)]), sys=tmp_path).update_session()

    assert payload["network_interfaces"][0]["interface"] == name


async def test_a_bond_shows_its_members_which_the_list_leaves_out(
    programs: Programs, tmp_path: Path
) -> None:
    (tmp_path / "class/net/eth1").mkdir(parents=True)
    (tmp_path / "class/net/eth1/speed").write_text("25000\n")
    member = kind("", slave=attribute(4, b"bond\0") + attribute(5, number(1, 0, 1) + number(3, 4)))
    vlan = kind("vlan", number(1, 7, 2) + attribute(5, b"\x81\x00"))
    kernel = Kernel(
        [
            interface(4, "bond0", kind("bond", number(1, 1, 1) + number(2, 5) + number(3, 100))),
            interface(5, "eth1", number(10, 4), member, flags=UP | SLAVE),
            interface(6, "bond0.7", number(5, 4), vlan),
        ]
    )
    payload = await Network(dump=kernel, sys=tmp_path).update_session()

    bond, tagged = payload["network_interfaces"]
    assert bond["bond"] == {
        "mode": "active-backup",
        "active": "eth1",
        "miimon_ms": 100,
        "members": [
            {
                "interface": "eth1",
                "mac_address": "52:54:00:12:34:56",
                "state": "active",
                "mii_status": "unknown",
                "link_failures": 4,
                "is_up": True,
                "speed_mbit": 25000,
                "stats": bond["stats"],
            }
        ],
    }
    assert tagged["vlan"] == {"id": 7, "protocol": "802.1Q", "link": "bond0"}


@pytest.mark.parametrize("speed", ["-1", "4294967295", "", "fast"])
async def test_an_unknown_speed_is_left_out(speed: str, programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "class/net/eth0").mkdir(parents=True)
    (tmp_path / "class/net/eth0/speed").write_text(speed)
    payload = await Network(dump=Kernel([interface(2, "eth0")]), sys=tmp_path).update_session()

    assert "speed_mbit" not in payload["network_interfaces"][0]


async def test_infiniband_ports_come_with_their_counters(
    programs: Programs, tmp_path: Path
) -> None:
    port = tmp_path / "class/infiniband/mlx5_0/ports/1"
    (port / "counters").mkdir(parents=True)
    (port / "gids").mkdir()
    (port / "state").write_text("4: ACTIVE\n")
    (port / "phys_state").write_text("5: LinkUp\n")
    (port / "link_layer").write_text("InfiniBand\n")
    (port / "rate").write_text("100 Gb/sec (4X EDR)\n")
    (port / "gids/0").write_text("fe80:0000:0000:0000:b859:9f03:00d4:1234\n")
    (port / "counters/port_rcv_data").write_text("12345\n")
    (port / "counters/odd").write_text("n/a\n")
    payload = await Network(dump=Kernel([]), sys=tmp_path).update_session()

    assert payload["infiniband"] == [
        {
            "device": "mlx5_0",
            "port": 1,
            "state": "ACTIVE",
            "physical_state": "LinkUp",
            "link_layer": "InfiniBand",
            "rate": "100 Gb/sec (4X EDR)",
            "guid": "b8599f0300d41234",
            "counters": {"port_rcv_data": 12345},
        }
    ]


async def test_lnet_data_has_the_networks_and_forgets_unknown_keys(
    programs: Programs, tmp_path: Path
) -> None:
    programs.add(
        "lnetctl",
        stdout="net:\n"
        "    - net type: lo\n"
        "      local NI(s):\n"
        "        - nid: 0@lo\n"
        "          status: up\n"
        "    - net type: o2ib\n"
        "      local NI(s):\n"
        "        - nid: 10.1.1.5@o2ib\n"
        "          status: down\n"
        "          shiny: new\n"
        "          interfaces:\n"
        "              0: ib0\n",
    )
    payload = await Network(dump=Kernel([]), sys=tmp_path).update_session()

    assert payload["lnet_data"] == {
        "net": [
            {
                "net type": "lo",
                "local NI(s)": [{"nid": "0@lo", "status": "up", "interfaces": None}],
            },
            {
                "net type": "o2ib",
                "local NI(s)": [
                    {"nid": "10.1.1.5@o2ib", "status": "down", "interfaces": {"0": "ib0"}}
                ],
            },
        ]
    }
    assert programs.calls("lnetctl") == [["net", "show"]]


async def test_an_unloaded_lnet_costs_nothing_but_its_own_data(
    programs: Programs, tmp_path: Path
) -> None:
    programs.add("lnetctl", stdout="show:\n    - net:\n          errno: -100\n", code=1)
    payload = await Network(dump=Kernel([interface(2, "eth0")]), sys=tmp_path).update_session()

    assert payload["lnet_data"] == {"net": []}
    assert len(payload["network_interfaces"]) == 1


async def test_an_lnet_that_hangs_costs_nothing_but_its_own_data(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lnet, "ANSWER_WITHIN_S", 0.1)
    programs.script("lnetctl", "exec sleep 600\n")
    payload = await Network(dump=Kernel([interface(2, "eth0")]), sys=tmp_path).update_session()

    assert payload["lnet_data"] == {"net": []}
    assert "timed out after 0.1 s" in payload["lnet_error"]
    assert len(payload["network_interfaces"]) == 1


@pytest.mark.parametrize(
    "text",
    ["", "net:", "net: 5", "[1, 2", "- 1\n- 2\n", "net:\n    - 7\n    - local NI(s): 3\n"],
    ids=repr,
)
def test_odd_lnet_output_is_no_lnet_data(text: str) -> None:
    assert parse_lnet(text) == {"net": []}


@pytest.mark.slow
async def test_ten_thousand_interfaces_fit_into_a_message(
    programs: Programs, tmp_path: Path
) -> None:
    """Slow: it decodes ten thousand messages twice."""
    kernel = Kernel([interface(number, f"eth{number}") for number in range(2, 10_102)])
    daemon = Network(dump=kernel, sys=tmp_path)
    payload = await daemon.update_session()

    assert len(payload["network_interfaces"]) == MOST_INTERFACES
    assert payload["omitted"] == 100
    encoded = payload_adapter(Network).dump_json(payload, warnings="error")
    assert len(encoded) < 7 * 1024 * 1024


async def test_an_interface_without_a_name_is_an_error_that_says_so(
    programs: Programs, tmp_path: Path
) -> None:
    kernel = Kernel([struct.pack("=BxHiII", 0, ETHER, 2, UP, 0)])
    with pytest.raises(NetlinkError, match="an interface of the kernel's list cannot be read"):
        await Network(dump=kernel, sys=tmp_path).update_session()


@pytest.mark.skipif(shutil.which("ip") is None, reason="compares with ip(8), which is not here")
async def test_this_machines_interfaces_are_those_of_ip() -> None:
    said = subprocess.run(
        ["ip", "-json", "address"], check=True, capture_output=True, text=True, timeout=60
    )
    shown = (await first_value(Network()))["network_interfaces"]

    assert [one["interface"] for one in shown] == [
        one["ifname"]
        for one in json.loads(said.stdout)
        if not {"LOOPBACK", "SLAVE"} & set(one["flags"])
    ]
    for ours, theirs in zip(
        shown, (o for o in json.loads(said.stdout) if "LOOPBACK" not in o["flags"]), strict=True
    ):
        assert ours["mac_address"] == theirs.get("address")
        assert ours["mtu"] == theirs["mtu"]
        assert ours["is_up"] == ("UP" in theirs["flags"])
        assert ours["inet4_address"] + ours["inet6_address"] == [
            f"{one['local']}/{one['prefixlen']}" for one in theirs["addr_info"]
        ]
