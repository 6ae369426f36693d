"""Daemon ``network``: interfaces, addresses, counters, bonds, VLANs, InfiniBand, LNet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import anyio.to_thread
from typing_extensions import NotRequired, TypedDict

from emf_agent.command import CommandTimeoutError
from emf_agent.plugin import Daemon, SeriesKey
from emf_plugins_host import netlink
from emf_plugins_host.netlink_messages import RTM_GETADDR, RTM_GETLINK
from emf_plugins_host.network.interfaces import Addresses, Link, Stats, addresses, links
from emf_plugins_host.network.lnet import LnetData, lnet_data
from emf_plugins_host.network.sysfs import InfinibandPort, Speed, infiniband_ports, link_speed

__all__ = ["Network", "NetworkPayload"]

MOST_INTERFACES = 10_000
"""About 6 MB as JSON; a message may have 7."""


class BondMember(TypedDict):
    """A member of a bond, which the list of interfaces leaves out."""

    interface: Annotated[str, SeriesKey()]
    mac_address: str | None
    state: str
    """``active`` or ``backup``."""
    mii_status: str
    link_failures: int
    is_up: bool
    speed_mbit: int | None
    stats: Stats | None


class BondPayload(TypedDict):
    """A bonding interface."""

    mode: str
    active: str | None
    miimon_ms: int
    members: list[BondMember]


class VlanPayload(TypedDict):
    """A VLAN's tag, and the interface below it."""

    id: int
    protocol: str
    link: str | None


class Interface(TypedDict):
    """An interface; the first eight fields are the ancestor's."""

    interface: Annotated[str, SeriesKey()]
    mac_address: str | None
    interface_type: str | None
    inet4_address: list[str]
    inet6_address: list[str]
    stats: Stats | None
    is_up: bool
    is_slave: bool
    mtu: int | None
    operational: str
    carrier: bool | None
    kind: NotRequired[str]
    master: NotRequired[str]
    speed_mbit: NotRequired[int]
    duplex: NotRequired[str]
    bond: NotRequired[BondPayload]
    vlan: NotRequired[VlanPayload]


class NetworkPayload(TypedDict):
    """What the daemon sends."""

    network_interfaces: list[Interface]
    lnet_data: LnetData
    lnet_error: NotRequired[str]
    """Why LNet's networks are not known now; the list is empty then."""
    infiniband: NotRequired[list[InfinibandPort]]
    omitted: NotRequired[int]
    """Interfaces beyond the bound on a message, which are not in the list."""


class Network(Daemon):
    """Interfaces with addresses, counters, speed, bonds and VLANs; InfiniBand; LNet."""

    name: ClassVar[str] = "network"

    def __init__(self, *, dump: netlink.Dump = netlink.dump, sys: Path = Path("/sys")) -> None:
        self._dump = dump
        self._sys = sys

    async def update_session(self) -> NetworkPayload:
        """Return all of it, as it is now.

        Raises:
            NetlinkError: the kernel does not answer, or what it says cannot be read.

        """
        payload = await anyio.to_thread.run_sync(self._collect, abandon_on_cancel=True)
        try:
            payload["lnet_data"] = await lnet_data()
        except CommandTimeoutError as error:
            payload["lnet_error"] = str(error)
        return payload

    def _collect(self) -> NetworkPayload:
        found = links(self._dump(RTM_GETLINK))
        payload = network_payload(
            found,
            addresses(self._dump(RTM_GETADDR)),
            {link.index: link_speed(self._sys, link.name) for link in found if has_speed(link)},
        )
        ports = infiniband_ports(self._sys)
        if ports:
            payload["infiniband"] = ports
        return payload


def has_speed(link: Link) -> bool:
    """Tell whether asking for a speed makes sense: hardware, or a bond of hardware."""
    return link.kind in (None, "bond") and not link.is_loopback and link.carrier is not False


def network_payload(
    found: Iterable[Link], given: Mapping[int, Addresses], speeds: Mapping[int, Speed]
) -> NetworkPayload:
    """Put interfaces, addresses and speeds together; loopback and members of bonds are left out."""
    by_index = {link.index: link for link in found}
    members: dict[int, list[Link]] = {}
    for link in by_index.values():
        if link.is_slave and link.master_index is not None:
            members.setdefault(link.master_index, []).append(link)
    shown = [link for link in by_index.values() if not link.is_loopback and not link.is_slave]
    interfaces = []
    for link in shown[:MOST_INTERFACES]:
        own = given.get(link.index, Addresses())
        one = interface(link, own, speeds.get(link.index))
        master = by_index.get(link.master_index or 0)
        if master is not None:
            one["master"] = master.name
        if link.bond is not None:
            one["bond"] = bond(link, members.get(link.index, []), by_index, speeds)
        if link.vlan is not None:
            parent = by_index.get(link.parent_index or 0)
            one["vlan"] = {
                "id": link.vlan.id,
                "protocol": link.vlan.protocol,
                "link": None if parent is None else parent.name,
            }
        interfaces.append(one)
    payload: NetworkPayload = {"network_interfaces": interfaces, "lnet_data": {"net": []}}
    if len(shown) > MOST_INTERFACES:
        payload["omitted"] = len(shown) - MOST_INTERFACES
    return payload


def interface(link: Link, own: Addresses, speed: Speed | None) -> Interface:
    """Return what an interface says of itself."""
    one: Interface = {
        "interface": link.name,
        "mac_address": link.mac_address,
        "interface_type": link.type,
        "inet4_address": list(own.inet4),
        "inet6_address": list(own.inet6),
        "stats": link.stats,
        "is_up": link.is_up,
        "is_slave": link.is_slave,
        "mtu": link.mtu,
        "operational": link.operational,
        "carrier": link.carrier,
    }
    if link.kind is not None:
        one["kind"] = link.kind
    if speed is not None and speed.mbit is not None:
        one["speed_mbit"] = speed.mbit
    if speed is not None and speed.duplex is not None:
        one["duplex"] = speed.duplex
    return one


def bond(
    link: Link, members: list[Link], by_index: Mapping[int, Link], speeds: Mapping[int, Speed]
) -> BondPayload:
    """Return a bond with its members."""
    assert link.bond is not None
    active = by_index.get(link.bond.active_index or 0)
    return {
        "mode": link.bond.mode,
        "active": None if active is None else active.name,
        "miimon_ms": link.bond.miimon_ms,
        "members": [bond_member(one, speeds.get(one.index)) for one in members],
    }


def bond_member(link: Link, speed: Speed | None) -> BondMember:
    """Return a member of a bond."""
    return {
        "interface": link.name,
        "mac_address": link.mac_address,
        "state": link.member.state if link.member else "unknown",
        "mii_status": link.member.mii if link.member else "unknown",
        "link_failures": link.member.failures if link.member else 0,
        "is_up": link.is_up,
        "speed_mbit": None if speed is None else speed.mbit,
        "stats": link.stats,
    }
