"""Panels of the daemon ``network``: interfaces with their traffic, and LNet's networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from emf_manager.web.figures import NONE, quantity
from emf_manager.web.panels.blocks import (
    Block,
    Cell,
    Curve,
    Facts,
    Head,
    Mark,
    Shape,
    Table,
    Words,
    cut,
    words,
)

__all__ = ["network"]


class Received(Shape):
    """What came in."""

    bytes: int = 0
    packets: int = 0
    errs: int = 0
    drop: int = 0


class Stats(Shape):
    """What came in and went out; both have these four."""

    rx: Received = Received()
    tx: Received = Received()


class Interface(Shape):
    """An interface."""

    interface: str
    mac_address: str | None = None
    inet4_address: tuple[str, ...] = ()
    inet6_address: tuple[str, ...] = ()
    stats: Stats | None = None
    is_up: bool = False
    mtu: int | None = None
    operational: str | None = None
    speed_mbit: int | None = None
    kind: str | None = None


class Infiniband(Shape):
    """A port of InfiniBand."""

    device: str = ""
    port: int | None = None
    state: str | None = None
    rate: str | None = None


class Network(Shape):
    """The payload."""

    network_interfaces: tuple[Interface, ...]
    lnet_data: dict[str, Any] = Field(default_factory=dict)
    lnet_error: str | None = None
    infiniband: tuple[Infiniband, ...] = ()
    omitted: int = 0


HEADS = (
    Head("Interface"),
    Head("State"),
    Head("Addresses"),
    Head("In"),
    Head("Out"),
    Head("Errors", number=True),
    Head("Dropped", number=True),
    Head("MTU", number=True),
    Head("Hardware address"),
)


def network(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    read = Network.model_validate(payload)
    ordered = sorted(read.network_interfaces, key=lambda one: (not one.is_up, one.interface))
    rows, beyond = cut(map(row, ordered))
    interfaces = Table("Interfaces", HEADS, rows, beyond=beyond + read.omitted)
    return (interfaces, *lnet(read.lnet_data), *unknown_lnet(read), *infiniband(read))


def unknown_lnet(read: Network) -> Iterable[Block]:
    if read.lnet_error:
        yield Facts("LNet", (("not known", Mark(read.lnet_error, "warn")),))


def infiniband(read: Network) -> Iterable[Block]:
    if read.infiniband:
        heads = (Head("Device"), Head("Port", number=True), Head("State"), Head("Rate"))
        rows, beyond = cut(
            (
                words(one.device, code=True),
                words(one.port),
                Mark(one.state or NONE, "ok" if one.state == "ACTIVE" else "bad"),
                words(one.rate),
            )
            for one in read.infiniband
        )
        yield Table("InfiniBand", heads, rows, beyond=beyond)


def row(one: Interface) -> tuple[Cell, ...]:
    stats = one.stats or Stats()
    base = f"network_interfaces[{one.interface}].stats"
    addresses = [*one.inet4_address, *one.inet6_address]
    return (
        Words(one.interface, code=True, title=one.kind or ""),
        state(one),
        Words(", ".join(addresses[:8]) or NONE, code=bool(addresses)),
        Curve(f"{base}.rx.bytes", text=quantity(stats.rx.bytes, "bytes")),
        Curve(f"{base}.tx.bytes", text=quantity(stats.tx.bytes, "bytes")),
        counted(stats.rx.errs + stats.tx.errs),
        counted(stats.rx.drop + stats.tx.drop),
        words(one.mtu),
        words(one.mac_address, code=True),
    )


def counted(number: int) -> Cell:
    text = quantity(number)
    return Mark(text, "warn") if number else Words(text)


def state(one: Interface) -> Mark:
    word = one.operational or ("up" if one.is_up else "down")
    if word == "up" or (one.is_up and word == "unknown"):
        speed = f" · {one.speed_mbit / 1000:g} Gbit/s" if one.speed_mbit else ""
        return Mark(f"up{speed}", "ok")
    return Mark(word, "bad" if one.is_up else "idle")


def lnet(data: dict[str, Any]) -> Iterable[Block]:
    """Return LNet's networks, in whatever detail ``lnetctl`` told them."""
    nets = data.get("net")
    if not isinstance(nets, list) or not nets:
        return
    rows = [
        nid_row(net, nid)
        for net in nets
        if isinstance(net, dict) and isinstance(local := net.get("local NI(s)"), list)
        for nid in local
        if isinstance(nid, dict)
    ]
    shown, beyond = cut(rows)
    heads = (Head("Network"), Head("NID"), Head("State"), Head("Over"))
    yield Table("LNet", heads, shown, beyond=beyond)


def nid_row(net: dict[str, Any], nid: dict[str, Any]) -> tuple[Cell, ...]:
    status = nid.get("status")
    over = nid.get("interfaces")
    names = over.values() if isinstance(over, dict) else over if isinstance(over, list) else ()
    return (
        words(net.get("net type"), code=True),
        words(nid.get("nid"), code=True),
        Mark(str(status or NONE), "ok" if status == "up" else "idle" if not status else "bad"),
        words(", ".join(str(name) for name in names), code=True),
    )
