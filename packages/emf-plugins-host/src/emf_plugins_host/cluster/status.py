"""What ``crm_mon`` prints as XML, as values. Unknown elements and attributes are passed over.

Both forms are read: ``--output-as=xml`` of today and ``--as-xml`` of old.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from typing_extensions import TypedDict

from emf_plugins_host.cluster.xml_text import Element, XmlError, attribute, parse_xml

__all__ = ["Ban", "Cluster", "Node", "Resource", "parse_bans", "parse_cluster", "parse_node_id"]

NodeType = Literal["Unknown", "Member", "Remote", "Ping"]
NODE_TYPES: dict[str, NodeType] = {
    "unknown": "Unknown",
    "member": "Member",
    "remote": "Remote",
    "ping": "Ping",
}
NODE_ID = "Local node ID "


class Node(TypedDict):
    """A node of the cluster."""

    name: str
    id: str
    online: bool
    standby: bool
    standby_onfail: bool
    maintenance: bool
    pending: bool
    unclean: bool
    shutdown: bool
    expected_up: bool
    is_dc: bool
    resources_running: int
    type: NodeType


class Resource(TypedDict):
    """A resource, or an instance of a cloned one (``id:0``)."""

    id: str
    resource_agent: str
    role: str
    active: bool
    orphaned: bool
    managed: bool
    failed: bool
    failure_ignored: bool
    nodes_running_on: int
    active_node_name: str | None
    active_node_id: str | None


class Ban(TypedDict):
    """A rule that keeps a resource from a node."""

    id: str
    resource: str
    node: str
    weight: int
    master_only: bool


class Cluster(TypedDict):
    """The cluster as this node sees it."""

    nodes: list[Node]
    resources: list[Resource]
    bans: list[Ban]
    resource_mounts: dict[str, str]


def parse_cluster(text: str) -> Cluster:
    """Return nodes and resources.

    Raises:
        XmlError: it is no XML, or an attribute that must be there is not, with its name.

    """
    root = parse_xml(text, "crm_mon")
    return {
        "nodes": [node(one) for one in root.iterfind("nodes/node")],
        "resources": [
            resource(one, name)
            for section in root.iterfind("resources")
            for one, name in walk(section)
        ],
        "bans": [],
        "resource_mounts": {},
    }


def walk(section: Element) -> Iterator[tuple[Element, str]]:
    """Yield the resources with their names: in groups and bundles, and numbered inside a clone."""
    for one in section:
        if one.tag == "resource":
            yield one, attribute(one, "id")
        elif one.tag == "clone":
            seen: dict[str, int] = {}
            for inner, name in walk(one):
                plain = name.partition(":")[0]
                number = seen.get(plain, 0)
                seen[plain] = number + 1
                yield inner, f"{plain}:{number}"
        else:
            yield from walk(one)


def node(one: Element) -> Node:
    """Return a node."""
    kind = attribute(one, "type")
    if kind not in NODE_TYPES:
        raise XmlError(f"<node> has a type of {kind!r}, which is none of {', '.join(NODE_TYPES)}")
    return {
        "name": attribute(one, "name"),
        "id": attribute(one, "id"),
        "online": flag(one, "online"),
        "standby": flag(one, "standby"),
        "standby_onfail": flag(one, "standby_onfail"),
        "maintenance": flag(one, "maintenance"),
        "pending": flag(one, "pending"),
        "unclean": flag(one, "unclean"),
        "shutdown": flag(one, "shutdown"),
        "expected_up": flag(one, "expected_up"),
        "is_dc": flag(one, "is_dc"),
        "resources_running": number(one, "resources_running"),
        "type": NODE_TYPES[kind],
    }


def resource(one: Element, name: str) -> Resource:
    """Return a resource; the node it is active on is the last one named."""
    active = one.findall("node")[-1:]
    return {
        "id": name,
        "resource_agent": attribute(one, "resource_agent"),
        "role": attribute(one, "role"),
        "active": flag(one, "active"),
        "orphaned": flag(one, "orphaned"),
        "managed": flag(one, "managed"),
        "failed": flag(one, "failed"),
        "failure_ignored": flag(one, "failure_ignored"),
        "nodes_running_on": number(one, "nodes_running_on"),
        "active_node_name": active[0].get("name") if active else None,
        "active_node_id": active[0].get("id") if active else None,
    }


def parse_bans(text: str) -> list[Ban]:
    """Return the rules that keep resources from nodes; raises XmlError."""
    return [ban(one) for one in parse_xml(text, "crm_mon").iterfind("bans/ban")]


def ban(one: Element) -> Ban:
    """Return a rule; its last word was renamed in pacemaker 2.1."""
    renamed = "master_only" if one.get("master_only") is not None else "promoted-only"
    return {
        "id": attribute(one, "id"),
        "resource": attribute(one, "resource"),
        "node": attribute(one, "node"),
        "weight": number(one, "weight"),
        "master_only": flag(one, renamed),
    }


def flag(one: Element, name: str) -> bool:
    """Return an attribute that is ``true`` or ``false``."""
    value = attribute(one, name)
    if value not in ("true", "false"):
        raise XmlError(f"<{one.tag}> has {name}={value!r}, which is neither true nor false")
    return value == "true"


def number(one: Element, name: str) -> int:
    """Return an attribute that is a whole number."""
    value = attribute(one, name)
    try:
        return int(value)
    except ValueError:
        raise XmlError(f"<{one.tag}> has {name}={value!r}, which is no number") from None


def parse_node_id(output: str) -> str | None:
    """Return this node's id out of ``corosync-cfgtool -s``; None where it does not say."""
    for line in output.splitlines():
        if line.startswith(NODE_ID):
            return line.removeprefix(NODE_ID).partition(",")[0].strip()
    return None
