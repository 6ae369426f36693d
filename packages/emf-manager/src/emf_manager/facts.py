"""Facts: what a node is, flat and by name, from what the manager holds of it.

The values of daemons are read by their shape, whatever bundle they come from, and anything that
does not have it yields nothing: a node says what it likes, and may only lose facts by it. What
the manager itself knows (name, role, labels, state) always wins over what a node says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import JsonValue

from emf_manager.records import Node

__all__ = ["SOURCES", "Fact", "Facts", "facts_of_node", "facts_of_value"]

Scalar = str | int | float | bool
Fact = Scalar | tuple[Scalar, ...]
"""A list-valued fact matches when any of its elements does."""
Facts = Mapping[str, Fact]

MOST = 4096
"""Elements of one list that are looked at; a longer one has lost its mind."""
LONGEST = 1024
"""Characters of one fact that are kept."""
LARGEST = 1e30
"""Larger numbers are no measurement, and cannot be compared with others."""
STATES = {"new": "never", "online": "connected"}
LUSTRE_KINDS = {"MGT": "mgs", "MGS": "mgs", "MDT": "mds", "OST": "oss"}


def facts_of_node(node: Node, said: Iterable[Facts]) -> dict[str, Fact]:
    """Return every fact of a node; ``said`` are those of its daemons' values."""
    facts: dict[str, Fact] = {}
    for some in said:
        facts.update(some)
    state = "waiting" if node.waiting else STATES.get(node.state, "silent")
    own: dict[str, Fact | None] = {
        "fqdn": node.fqdn,
        "name": node.fqdn.partition(".")[0],
        "role": node.role,
        "state": state,
        "agent.version": node.agent_version,
        "agent.protocol": node.protocol,
        "agent.mode": node.mode,
        **{f"label.{name}": value for name, value in node.labels.items()},
    }
    facts.update({name: value for name, value in own.items() if value is not None})
    return facts


def facts_of_value(daemon: str, body: JsonValue) -> Facts:
    """Return the facts in a daemon's value; none where the daemon or the shape says nothing."""
    read = SOURCES.get(daemon)
    return {} if read is None else {name: fact for name, fact in read(body).items() if fact != ()}


def host(body: JsonValue) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    for name, path in HOST.items():
        found: Any = body
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if (fact := scalar(found)) is not None:
            facts[name] = fact
    return facts


HOST: dict[str, tuple[str, ...]] = {
    "hostname": ("hostname",),
    "boot.time": ("boot_time",),
    "uptime_s": ("uptime_seconds",),
    "os.name": ("os", "id"),
    "os.version": ("os", "version"),
    "os.title": ("os", "name"),
    "kernel": ("kernel", "release"),
    "machine": ("kernel", "machine"),
    "hardware.vendor": ("hardware", "vendor"),
    "hardware.product": ("hardware", "product"),
    "hardware.serial": ("hardware", "serial"),
    "hardware.bios": ("hardware", "bios_version"),
    "cpu.model": ("cpu", "model"),
    "cpu.sockets": ("cpu", "sockets"),
    "cpu.cores": ("cpu", "cores"),
    "cpu.threads": ("cpu", "threads"),
    "memory.total": ("memory_bytes", "total"),
    "memory.available": ("memory_bytes", "available"),
    "swap.total": ("memory_bytes", "swap_total"),
    "load.one": ("load", "one"),
}


def agent(body: JsonValue) -> dict[str, Fact]:
    plugins = [one for one in members(body, "plugins") if isinstance(one, dict)]
    by_state: dict[str, list[Scalar | None]] = {}
    for plugin in plugins:
        by_state.setdefault(str(plugin.get("state")), []).append(scalar(plugin.get("name")))
    loaded = by_state.pop("loaded", [])
    others = [name for names in by_state.values() for name in names]
    return {"plugin": several(loaded), "plugin.not_loaded": several(others)}


def stats(body: JsonValue) -> dict[str, Fact]:
    """Read the Lustre targets that a server has, from its tagged records."""
    targets: dict[str, str] = {}
    for record in body[:MOST] if isinstance(body, list) else ():
        tagged = record.get("Target") if isinstance(record, dict) else None
        for one in tagged.values() if isinstance(tagged, dict) else ():
            if isinstance(one, dict):
                name, kind = one.get("target"), one.get("kind")
                if isinstance(name, str) and kind in LUSTRE_KINDS:
                    targets[name] = LUSTRE_KINDS[str(kind)]
    systems = [name.rpartition("-")[0] for name in targets if "-" in name]
    return {
        "lustre.target": several(targets),
        "lustre.filesystem": several(systems),
        "lustre.role": several(targets.values()),
    }


def network(body: JsonValue) -> dict[str, Fact]:
    names = [one.get("interface") for one in members(body, "network_interfaces") if is_up(one)]
    lnet = body.get("lnet_data") if isinstance(body, dict) else None
    nets = [net for net in members(lnet, "net") if isinstance(net, dict)]
    locals_ = [ni for net in nets for ni in members(net, "local NI(s)") if isinstance(ni, dict)]
    kinds = [net.get("net type") for net in nets if net.get("net type") != "lo"]
    nids = [ni.get("nid") for ni in locals_ if ni.get("nid") != "0@lo"]
    return {
        "network.up": several(map(scalar, names)),
        "lnet.net": several(map(scalar, kinds)),
        "lnet.nid": several(map(scalar, nids)),
    }


def is_up(interface: Any) -> bool:
    return isinstance(interface, dict) and interface.get("is_up") is True


def corosync(body: JsonValue) -> dict[str, Fact]:
    """Read who is in the cluster: ``[<own id>, {"nodes": [{"name", "id", "standby"…}]}]``."""
    if not isinstance(body, list) or len(body) != 2:
        return {}
    nodes = [one for one in members(body[1], "nodes") if isinstance(one, dict)]
    full = [one for one in nodes if one.get("type", "Member") == "Member"]
    facts: dict[str, Fact] = {"ha.member": several(scalar(one.get("name")) for one in full)}
    mine = next((one for one in full if one.get("id") == body[0]), {})
    for name in ("online", "standby", "maintenance", "is_dc"):
        if isinstance(value := mine.get(name), bool):
            facts[f"ha.{name}"] = value
    return facts


SOURCES: dict[str, Callable[[JsonValue], dict[str, Fact]]] = {
    "agent": agent,
    "corosync": corosync,
    "host": host,
    "network": network,
    "stats": stats,
}
"""By daemon, how its value is read."""


def members(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found[:MOST] if isinstance(found, list) else []


def scalar(value: Any) -> Scalar | None:
    """Return a value that can be a fact; a text is cut, an empty one or a huge number is none."""
    if isinstance(value, str):
        return value[:LONGEST] or None
    return value if isinstance(value, bool | int | float) and abs(value) <= LARGEST else None


def several(values: Iterable[Scalar | None]) -> tuple[Scalar, ...]:
    return tuple(sorted({value for value in values if value is not None}, key=str))
