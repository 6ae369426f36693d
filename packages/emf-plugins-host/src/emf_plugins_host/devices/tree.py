"""The tree of block devices in the manager's shape. Pure: devices, mounts and pools in, JSON out.

Rules: host plugins, section 12.4. One is mended: an array is attached to its members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue
from typing_extensions import TypedDict

from emf_plugins_host.devices.block import BlockDevice
from emf_plugins_host.mountinfo import Mount

__all__ = ["Dataset", "MountRow", "Pool", "device_tree", "mount_row"]

Node = dict[str, JsonValue]


class MountRow(TypedDict):
    """A mount as the manager wants it."""

    source: str
    target: str
    fs_type: str
    opts: str


@dataclass(frozen=True)
class Dataset:
    """A ZFS data set."""

    guid: int
    name: str
    kind: str
    props: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pool:
    """A ZFS pool."""

    guid: int
    name: str
    health: str
    state: str
    size: int
    vdev: Node
    leaf_paths: frozenset[str]
    props: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[Dataset, ...] = ()


def device_tree(
    devices: Iterable[BlockDevice], mounts: Sequence[Mount], pools: Sequence[Pool] = ()
) -> Node:
    """Return the tree."""
    return Forest([one for one in devices if one.is_shown], mounts, pools).root()


def mount_row(mount: Mount) -> MountRow:
    """Return a mount as it goes on the wire."""
    return {
        "source": mount.source,
        "target": mount.target,
        "fs_type": mount.fs_type,
        "opts": mount.opts,
    }


def mount_node(mount: Mount) -> Node:
    """Return a mount as a part of a tree."""
    return {name: str(value) for name, value in mount_row(mount).items()}


class Forest:
    """Knows who hangs on whom."""

    def __init__(
        self, devices: list[BlockDevice], mounts: Sequence[Mount], pools: Sequence[Pool]
    ) -> None:
        self._devices = sorted(devices, key=lambda one: one.devpath)
        self._by_number = {one.number: one for one in devices}
        self._pools = pools
        self._by_source: dict[str, Mount] = {}
        self._by_device: dict[str, Mount] = {}
        for mount in mounts:
            self._by_source.setdefault(mount.source, mount)
            if mount.root == "/":
                self._by_device.setdefault(mount.device, mount)

    def root(self) -> Node:
        """Return the whole tree."""
        disks = [one for one in self._devices if kind_of(one) == "ScsiDevice"]
        return {"Root": {"children": [self._node(one, ()) for one in disks]}}

    def _node(self, device: BlockDevice, above: tuple[str, ...]) -> JsonValue:
        """Return a device with what hangs on it; ``above`` keeps a circle from being walked."""
        kind = kind_of(device)
        common: Node = {
            "major": device.major,
            "minor": device.minor,
            "size": device.size,
            "filesystem_type": device.file_system.type,
            "fs_uuid": device.file_system.uuid,
            "fs_label": device.file_system.label,
            "paths": list(device.paths),
            "mount": self._mount(device),
            "children": self._children(device, above),
        }
        if kind == "MdRaid":
            return {kind: {"uuid": device.md_uuid, **common}}
        if kind == "LogicalVolume":
            assert device.volume is not None
            named: Node = {"name": device.volume.lv_name, "uuid": device.volume.lv_uuid}
            return {kind: {**named, "devpath": device.devpath, **common}}
        whole: Node = {
            "serial": device.serial,
            "scsi80": device.scsi80,
            "devpath": device.devpath,
            **common,
        }
        if kind == "Partition":
            whole["partition_number"] = device.partition_number
        if kind == "Mpath":
            whole["dm_name"] = device.dm_name
        return {kind: whole}

    def _mount(self, device: BlockDevice) -> JsonValue:
        for path in device.paths:
            if path in self._by_source:
                return mount_node(self._by_source[path])
        # The root file system may be mounted from /dev/root, which is no path of anything.
        mount = self._by_device.get(device.number)
        return None if mount is None else mount_node(mount)

    def _children(self, device: BlockDevice, above: tuple[str, ...]) -> list[JsonValue]:
        if device.number in above:
            return []
        line = (*above, device.number)
        found = [self._node(one, line) for one in self._on(device, is_part_of)]
        found += [self._node(one, line) for one in self._on(device, is_mapped_or_array_of)]
        found += self._groups_on(device, line)
        found += [self._pool(pool) for pool in self._pools if pool.leaf_paths & set(device.paths)]
        return found

    def _on(
        self, device: BlockDevice, belongs: Callable[[BlockDevice, BlockDevice], bool]
    ) -> list[BlockDevice]:
        return [one for one in self._devices if belongs(one, device)]

    def _groups_on(self, device: BlockDevice, line: tuple[str, ...]) -> list[JsonValue]:
        """Return the volume groups that the device is a physical volume of."""
        groups: dict[str, list[BlockDevice]] = {}
        for one in self._devices:
            if one.volume is not None:
                groups.setdefault(one.volume.vg_uuid, []).append(one)
        found: list[JsonValue] = []
        for uuid, volumes in groups.items():
            physical = self._physical(volumes)
            if device.number not in physical:
                continue
            sizes = [self._by_number[one].size for one in physical if one in self._by_number]
            shown = [one for one in volumes if one.volume is not None and not one.volume.internal]
            name = volumes[0].volume.vg_name if volumes[0].volume is not None else ""
            found.append(
                {
                    "VolumeGroup": {
                        "name": name,
                        "uuid": uuid,
                        "size": sum(sizes),
                        "children": [self._node(one, line) for one in shown],
                    }
                }
            )
        return found

    def _physical(self, volumes: Iterable[BlockDevice]) -> list[str]:
        """Return the devices that the volumes of one group lie on; volumes lie on volumes, too."""
        found: dict[str, None] = {}
        for one in volumes:
            for number in one.members:
                below = self._by_number.get(number)
                if below is None or below.volume is None:
                    found[number] = None
        return list(found)

    def _pool(self, pool: Pool) -> JsonValue:
        datasets: list[JsonValue] = [
            {
                "Dataset": {
                    "guid": one.guid,
                    "name": one.name,
                    "kind": one.kind,
                    "props": properties(one.props),
                    "mount": self._named_mount(one.name),
                }
            }
            for one in pool.datasets
        ]
        return {
            "Zpool": {
                "guid": pool.guid,
                "name": pool.name,
                "health": pool.health,
                "state": pool.state,
                "size": pool.size,
                "vdev": pool.vdev,
                "props": properties(pool.props),
                "children": datasets,
                "mount": self._named_mount(pool.name),
            }
        }

    def _named_mount(self, name: str) -> JsonValue:
        mount = self._by_source.get(name)
        return None if mount is None else mount_node(mount)


def kind_of(device: BlockDevice) -> str:
    """Return the class of a device, by the first rule that fits."""
    if device.volume is not None:
        return "LogicalVolume"
    if device.md_uuid is not None:
        return "MdRaid"
    if device.is_multipath:
        return "Mpath"
    if device.partition_of is not None:
        return "Partition"
    return "ScsiDevice"


def is_part_of(one: BlockDevice, disk: BlockDevice) -> bool:
    """Tell whether a device is a partition of another."""
    return kind_of(one) == "Partition" and one.partition_of == disk.number


def is_mapped_or_array_of(one: BlockDevice, member: BlockDevice) -> bool:
    """Tell whether a device is a multipath map or an array that another is a member of."""
    return kind_of(one) in ("Mpath", "MdRaid") and member.number in one.members


def properties(props: Mapping[str, str]) -> list[JsonValue]:
    """Return properties as the manager wants them."""
    return [{"name": name, "value": value} for name, value in sorted(props.items())]
