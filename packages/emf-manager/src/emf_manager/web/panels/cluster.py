"""Panels of the daemon ``corosync``: nodes and resources of the cluster, worst first."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from emf_manager.web.panels.blocks import (
    Block,
    Cell,
    Facts,
    Head,
    Mark,
    Shape,
    Table,
    Words,
    cut,
    words,
)

__all__ = ["cluster"]


class Node(Shape):
    """A node of the cluster."""

    name: str
    online: bool = False
    standby: bool = False
    maintenance: bool = False
    pending: bool = False
    unclean: bool = False
    shutdown: bool = False
    is_dc: bool = False
    resources_running: int = 0
    type: str = ""


class Resource(Shape):
    """A resource, or one instance of it."""

    id: str
    resource_agent: str = ""
    role: str = ""
    active: bool = False
    orphaned: bool = False
    managed: bool = True
    failed: bool = False
    active_node_name: str | None = None


class Ban(Shape):
    """A rule that keeps a resource from a node."""

    id: str = ""
    resource: str = ""
    node: str = ""
    weight: int = 0


class Cluster(Shape):
    """The payload."""

    nodes: tuple[Node, ...]
    resources: tuple[Resource, ...]
    bans: tuple[Ban, ...] = ()
    resource_mounts: dict[str, str] = Field(default_factory=dict)


def cluster(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    if payload is None:
        return (Facts("Cluster", (("cluster", Words("this node is in no cluster")),)),)
    read = Cluster.model_validate(payload)
    nodes, more_nodes = cut(map(node_row, sorted(read.nodes, key=lambda n: (n.online, n.name))))
    ordered = sorted(read.resources, key=lambda r: (not r.failed, r.active, r.id))
    resources, more = cut(resource_row(one, read.resource_mounts) for one in ordered)
    bans, more_bans = cut(
        (words(b.resource, code=True), words(b.node, code=True), words(b.weight), words(b.id))
        for b in read.bans
    )
    node_heads = (Head("Node"), Head("State"), Head("Resources", number=True), Head("Kind"))
    heads = (
        Head("Resource"), Head("State"), Head("Runs on"), Head("Role"), Head("Agent"), Head("Mount")
    )  # fmt: skip
    ban_heads = (Head("Resource"), Head("Kept from"), Head("Weight", number=True), Head("Rule"))
    return (
        Table("Nodes of the cluster", node_heads, nodes, beyond=more_nodes),
        Table("Resources", heads, resources, beyond=more),
        *((Table("Bans", ban_heads, bans, beyond=more_bans),) if bans else ()),
    )


def node_row(one: Node) -> tuple[Cell, ...]:
    said = [
        word
        for word, holds in (
            ("unclean", one.unclean),
            ("standby", one.standby),
            ("maintenance", one.maintenance),
            ("pending", one.pending),
            ("shutting down", one.shutdown),
        )
        if holds
    ]
    state = ", ".join(["online" if one.online else "offline", *said])
    tone = Mark(state, "bad" if not one.online or one.unclean else "warn" if said else "ok")
    kind = f"{one.type.lower()}{', coordinator' if one.is_dc else ''}"
    return (words(one.name, code=True), tone, words(one.resources_running), words(kind))


def resource_row(one: Resource, mounts: dict[str, str]) -> tuple[Cell, ...]:
    if one.failed:
        state = Mark("failed", "bad")
    elif not one.managed:
        state = Mark("not managed", "warn")
    elif one.orphaned:
        state = Mark("orphaned", "warn")
    else:
        state = Mark("active", "ok") if one.active else Mark("stopped", "idle")
    return (
        words(one.id, code=True),
        state,
        words(one.active_node_name, code=True),
        words(one.role),
        words(one.resource_agent, code=True),
        words(mounts.get(one.id), code=True),
    )
