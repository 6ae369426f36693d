"""Panels of the daemon ``device``: block devices as a tree, and what is mounted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from emf_manager.web.figures import quantity
from emf_manager.web.panels.blocks import (
    MOST_ROWS,
    Block,
    Branch,
    Cell,
    Head,
    Mark,
    Shape,
    Table,
    Tree,
    Words,
    cut,
    words,
)

__all__ = ["devices"]

KINDS = {
    "ScsiDevice": "disk",
    "Partition": "partition",
    "MdRaid": "RAID",
    "Mpath": "multipath",
    "VolumeGroup": "volume group",
    "LogicalVolume": "logical volume",
    "Zpool": "pool",
    "Dataset": "dataset",
}
QUIET = frozenset({"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "securityfs"})
"""File systems that nobody keeps anything in, shown last."""
DEEPEST = 16


class Mounted(Shape):
    """Where something is mounted."""

    source: str = ""
    target: str = ""
    fs_type: str = ""
    opts: str = ""


class Device(Shape):
    """Anything in the tree: what it has of these."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    name: str | None = None
    dm_name: str | None = None
    serial: str | None = None
    guid: str | None = None
    size: float | None = None
    filesystem_type: str | None = None
    fs_label: str | None = None
    kind: str | None = None
    state: str | None = None
    health: str | None = None
    paths: tuple[str, ...] = ()
    mount: Any = None
    children: tuple[dict[str, Any], ...] = ()


PAYLOAD: TypeAdapter[tuple[tuple[dict[str, Any], tuple[Mounted, ...]], Any]] = TypeAdapter(
    tuple[tuple[dict[str, Any], tuple[Mounted, ...]], Any]
)


def devices(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    (tree, mounts), _ = PAYLOAD.validate_python(payload)
    root = Device.model_validate(tree.get("Root", {}))
    planted = Planting()
    branches = planted.all(root.children, 0)
    rows, beyond = cut(
        (
            words(one.target, code=True),
            words(one.source, code=True),
            words(one.fs_type),
            Words(one.opts[:120], code=True, title=one.opts),
        )
        for one in sorted(mounts, key=lambda one: (one.fs_type in QUIET, one.target))
    )
    heads = (Head("Mounted at"), Head("From"), Head("Type"), Head("Options"))
    return (
        Tree("Block devices", branches, empty="no block device", beyond=planted.beyond),
        Table("Mounts", heads, rows, beyond=beyond),
    )


class Planting:
    """Makes branches, so many at most."""

    def __init__(self) -> None:
        self.left = MOST_ROWS
        self.beyond = 0

    def all(self, tagged: tuple[dict[str, Any], ...], depth: int) -> tuple[Branch, ...]:
        """Return branches for devices, each an object with its class as its one member."""
        found = (self.one(tag, inner, depth) for each in tagged for tag, inner in each.items())
        return tuple(branch for branch in found if branch is not None)

    def one(self, tag: str, inner: Any, depth: int) -> Branch | None:
        """Return a branch; None where it is one too many."""
        if self.left <= 0 or depth > DEEPEST:
            self.beyond += 1
            return None
        self.left -= 1
        try:
            device = Device.model_validate(inner)
        except ValidationError:
            return Branch((Words(tag), Mark("cannot be read", "warn")))
        return Branch(cells(tag, device), self.all(device.children, depth + 1))


def cells(tag: str, device: Device) -> tuple[Cell, ...]:
    paths = sorted(device.paths, key=len)
    name = device.name or device.dm_name or (paths[0] if paths else device.guid or "?")
    shown: list[Cell] = [
        Words(name, code=True, title=", ".join(paths)[:2000]),
        Words(KINDS.get(tag, tag)),
    ]
    if device.size:
        shown.append(Words(quantity(device.size, "bytes")))
    if state := device.health or device.state:
        shown.append(Mark(state, "ok" if state.upper() in {"ONLINE", "ACTIVE"} else "bad"))
    if device.filesystem_type:
        label = f" “{device.fs_label}”" if device.fs_label else ""
        shown.append(Words(f"{device.filesystem_type}{label}"))
    if isinstance(device.mount, Mapping) and isinstance(target := device.mount.get("target"), str):
        shown.append(Words(f"at {target}", code=True))
    if device.serial:
        shown.append(Words(f"serial {device.serial}"))
    return tuple(shown)
