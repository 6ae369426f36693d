"""Network interfaces as values, out of the kernel's netlink messages. No I/O here.

Counters are summed the way the kernel sums them for /proc/net/dev (``net/core/net-procfs.c``).
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6
from typing import Annotated

from typing_extensions import TypedDict

from emf_agent.plugin import Counter
from emf_plugins_host.netlink_messages import NetlinkError, attributes

__all__ = ["Bond", "Link", "Received", "Sent", "Stats", "Vlan", "addresses", "links"]

IFF_UP, IFF_LOOPBACK, IFF_SLAVE = 0x1, 0x8, 0x800
ARPHRD_ETHER, ARPHRD_INFINIBAND = 1, 32
ADDRESS_IS_IP = frozenset({768, 769, 776, 778, 823})
"""Hardware types of tunnels, whose "hardware address" is an IP address."""
INTERFACE = struct.Struct("=BxHiII")
ADDRESS = struct.Struct("=BBBBi")
COUNTERS = struct.Struct("=23Q")

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_STATS64, IFLA_CARRIER, IFLA_LINK_NETNSID = 16, 18, 23, 33, 37
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_BOND_MODE, IFLA_BOND_ACTIVE_SLAVE, IFLA_BOND_MIIMON = 1, 2, 3
IFLA_BOND_SLAVE_STATE, IFLA_BOND_SLAVE_MII_STATUS, IFLA_BOND_SLAVE_FAILURES = 1, 2, 3
IFLA_VLAN_ID, IFLA_VLAN_PROTOCOL = 1, 5
IFA_ADDRESS, IFA_LOCAL = 1, 2

OPERATIONAL = (
    "unknown",
    "notpresent",
    "down",
    "lowerlayerdown",
    "testing",
    "dormant",
    "up",
)
BOND_MODES = (
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
)
MEMBER_STATES = ("active", "backup")
MII_STATES = ("up", "going down", "down", "going back")
VLAN_PROTOCOLS = {0x8100: "802.1Q", 0x88A8: "802.1ad"}


class Received(TypedDict):
    """Counters of what came in, since the interface exists."""

    bytes: Annotated[int, Counter("bytes")]
    packets: Annotated[int, Counter("packets")]
    errs: Annotated[int, Counter("errors")]
    drop: Annotated[int, Counter("packets")]
    fifo: int
    frame: int
    compressed: int
    multicast: int


class Sent(TypedDict):
    """Counters of what went out, since the interface exists."""

    bytes: Annotated[int, Counter("bytes")]
    packets: Annotated[int, Counter("packets")]
    errs: Annotated[int, Counter("errors")]
    drop: Annotated[int, Counter("packets")]
    fifo: int
    colls: int
    carrier: int
    compressed: int


class Stats(TypedDict):
    """The sixteen numbers of a line of /proc/net/dev."""

    rx: Received
    tx: Sent


@dataclass(frozen=True)
class Bond:
    """What a bonding interface says of itself."""

    mode: str
    active_index: int | None
    """Index of the member in use, in the modes that have one."""
    miimon_ms: int


@dataclass(frozen=True)
class Member:
    """What a bond says of a member."""

    state: str
    mii: str
    failures: int


@dataclass(frozen=True)
class Vlan:
    """The tag of a VLAN interface."""

    id: int
    protocol: str


@dataclass(frozen=True)
class Link:
    """One interface."""

    index: int
    name: str
    hardware: int
    flags: int
    mac_address: str | None
    mtu: int | None
    operational: str
    carrier: bool | None
    kind: str | None
    """``bond``, ``vlan``, ``bridge``, ``veth``...; None for a physical one."""
    master_index: int | None
    parent_index: int | None
    stats: Stats | None
    bond: Bond | None
    member: Member | None
    vlan: Vlan | None

    @property
    def is_up(self) -> bool:
        """Tell whether the administrator wants it up."""
        return bool(self.flags & IFF_UP)

    @property
    def is_loopback(self) -> bool:
        """Tell whether it is ``lo``."""
        return bool(self.flags & IFF_LOOPBACK)

    @property
    def is_slave(self) -> bool:
        """Tell whether it is a member of a bond."""
        return bool(self.flags & IFF_SLAVE)

    @property
    def type(self) -> str | None:
        """Return LNet's name of the network it can carry: ``tcp``, ``o2ib``, or None."""
        return {ARPHRD_ETHER: "tcp", ARPHRD_INFINIBAND: "o2ib"}.get(self.hardware)


def links(payloads: Iterable[bytes]) -> list[Link]:
    """Return the interfaces of an ``RTM_GETLINK`` dump, in the kernel's order.

    Raises:
        NetlinkError: a message has not the shape of an interface.

    """
    return [link(payload) for payload in payloads]


def link(payload: bytes) -> Link:
    """Take one ``RTM_NEWLINK`` message apart."""
    try:
        _, hardware, index, flags, _ = INTERFACE.unpack_from(payload)
        given = attributes(payload, INTERFACE.size)
        information = attributes(given.get(IFLA_LINKINFO, b""))
        kind = optional_text(information.get(IFLA_INFO_KIND))
        data = attributes(information.get(IFLA_INFO_DATA, b""))
        carrier = given.get(IFLA_CARRIER)
        return Link(
            index=index,
            name=text(given[IFLA_IFNAME]),
            hardware=hardware,
            flags=flags,
            mac_address=hardware_address(hardware, given.get(IFLA_ADDRESS, b"")),
            mtu=optional_number(given.get(IFLA_MTU)),
            operational=named(OPERATIONAL, given.get(IFLA_OPERSTATE)),
            carrier=None if carrier is None else carrier != b"\0",
            kind=kind,
            master_index=optional_number(given.get(IFLA_MASTER)),
            parent_index=parent_index(index, given),
            stats=stats(given.get(IFLA_STATS64)),
            bond=bond(data) if kind == "bond" else None,
            member=member(information),
            vlan=vlan(data) if kind == "vlan" else None,
        )
    except (KeyError, struct.error) as error:
        raise NetlinkError(f"an interface of the kernel's list cannot be read: {error}") from error


def parent_index(index: int, given: dict[int, bytes]) -> int | None:
    """Return the interface below; one in another network namespace has no meaning here."""
    parent = optional_number(given.get(IFLA_LINK))
    return None if parent in (0, index) or IFLA_LINK_NETNSID in given else parent


def bond(data: dict[int, bytes]) -> Bond:
    """Take a bond's own data apart."""
    return Bond(
        mode=named(BOND_MODES, data.get(IFLA_BOND_MODE)),
        active_index=optional_number(data.get(IFLA_BOND_ACTIVE_SLAVE)),
        miimon_ms=optional_number(data.get(IFLA_BOND_MIIMON)) or 0,
    )


def member(information: dict[int, bytes]) -> Member | None:
    """Take apart what a bond says of this member of it."""
    if optional_text(information.get(IFLA_INFO_SLAVE_KIND)) != "bond":
        return None
    data = attributes(information.get(IFLA_INFO_SLAVE_DATA, b""))
    return Member(
        state=named(MEMBER_STATES, data.get(IFLA_BOND_SLAVE_STATE)),
        mii=named(MII_STATES, data.get(IFLA_BOND_SLAVE_MII_STATUS)),
        failures=optional_number(data.get(IFLA_BOND_SLAVE_FAILURES)) or 0,
    )


def vlan(data: dict[int, bytes]) -> Vlan:
    """Take a VLAN's data apart; the protocol is in network order."""
    protocol = int.from_bytes(data.get(IFLA_VLAN_PROTOCOL, b""), "big")
    return Vlan(
        id=optional_number(data.get(IFLA_VLAN_ID)) or 0,
        protocol=VLAN_PROTOCOLS.get(protocol, f"0x{protocol:04x}"),
    )


def stats(data: bytes | None) -> Stats | None:
    """Return the counters of ``struct rtnl_link_stats64``, which newer kernels make longer."""
    if data is None or len(data) < COUNTERS.size:
        return None
    (
        rx_packets,
        tx_packets,
        rx_bytes,
        tx_bytes,
        rx_errors,
        tx_errors,
        rx_dropped,
        tx_dropped,
        multicast,
        collisions,
        rx_length,
        rx_over,
        rx_crc,
        rx_frame,
        rx_fifo,
        rx_missed,
        tx_aborted,
        tx_carrier,
        tx_fifo,
        tx_heartbeat,
        tx_window,
        rx_compressed,
        tx_compressed,
    ) = COUNTERS.unpack_from(data)
    return {
        "rx": {
            "bytes": rx_bytes,
            "packets": rx_packets,
            "errs": rx_errors,
            "drop": rx_dropped + rx_missed,
            "fifo": rx_fifo,
            "frame": rx_length + rx_over + rx_crc + rx_frame,
            "compressed": rx_compressed,
            "multicast": multicast,
        },
        "tx": {
            "bytes": tx_bytes,
            "packets": tx_packets,
            "errs": tx_errors,
            "drop": tx_dropped,
            "fifo": tx_fifo,
            "colls": collisions,
            "carrier": tx_carrier + tx_aborted + tx_window + tx_heartbeat,
            "compressed": tx_compressed,
        },
    }


@dataclass(frozen=True)
class Addresses:
    """The addresses of one interface, each as ``address/prefix``."""

    inet4: tuple[str, ...] = ()
    inet6: tuple[str, ...] = ()


def addresses(payloads: Iterable[bytes]) -> dict[int, Addresses]:
    """Return the addresses of an ``RTM_GETADDR`` dump by the interface's index.

    Raises:
        NetlinkError: a message has not the shape of an address.

    """
    found: dict[int, Addresses] = {}
    for payload in payloads:
        try:
            family, prefix, _, _, index = ADDRESS.unpack_from(payload)
            given = attributes(payload, ADDRESS.size)
            raw = given.get(IFA_LOCAL, given.get(IFA_ADDRESS, b""))
            before = found.get(index, Addresses())
            if family == AF_INET:
                shown = f"{IPv4Address(raw)}/{prefix}"
                found[index] = Addresses((*before.inet4, shown), before.inet6)
            elif family == AF_INET6:
                shown = f"{IPv6Address(raw)}/{prefix}"
                found[index] = Addresses(before.inet4, (*before.inet6, shown))
        except (struct.error, ValueError) as error:
            raise NetlinkError(
                f"an address of the kernel's list cannot be read: {error}"
            ) from error
    return found


def hardware_address(hardware: int, raw: bytes) -> str | None:
    """Return it as ``ip`` shows it; None where there is none."""
    if not raw:
        return None
    if hardware in ADDRESS_IS_IP and len(raw) in (4, 16):
        return str(IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw))
    return raw.hex(":")


def text(raw: bytes) -> str:
    """Return a name; bytes that are no UTF-8 are shown escaped."""
    return raw.rstrip(b"\0").decode("utf-8", "backslashreplace")


def optional_text(raw: bytes | None) -> str | None:
    """Return a name where there is one."""
    return None if raw is None else text(raw)


def optional_number(raw: bytes | None) -> int | None:
    """Return an unsigned number of 1, 2, 4 or 8 bytes where there is one."""
    return None if raw is None else int.from_bytes(raw, sys.byteorder)


def named(names: tuple[str, ...], raw: bytes | None) -> str:
    """Return the name of an enumeration's value; the number for one we do not know."""
    number = optional_number(raw)
    if number is None:
        return "unknown"
    return names[number] if number < len(names) else str(number)
