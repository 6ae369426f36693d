"""Mounted file systems and how full they are; one that hangs is said to, and blocks nobody."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated

import anyio
from typing_extensions import NotRequired, TypedDict

from emf_agent.plugin import Gauge, SeriesKey
from emf_plugins_host.mountinfo import Mount
from emf_plugins_host.probe import Answer, Failed, Probe, Stuck, Threads

__all__ = ["FileSystem", "FileSystems", "worth_showing"]

ANSWER_WITHIN_S = 0.4
MOST = 1000
PSEUDO_DEVICE = "0"
"""Major number of what has no block device."""
SHOWN_WITHOUT_DEVICE = frozenset(
    {
        *("9p", "afs", "beegfs", "btrfs", "ceph", "cifs", "gfs2", "glusterfs", "gpfs", "lustre"),
        *("nfs", "nfs4", "ocfs2", "orangefs", "overlay", "panfs", "smb3", "tmpfs", "virtiofs"),
        *("wekafs", "zfs"),
    }
)
KERNEL_FOLDERS = ("/proc/", "/sys/")
Statvfs = Callable[[str], os.statvfs_result]


class FileSystem(TypedDict):
    """A mounted file system, sizes in bytes; without sizes where it did not answer."""

    target: Annotated[str, SeriesKey()]
    source: str
    fs_type: str
    read_only: bool
    size: NotRequired[Annotated[int, Gauge("bytes")]]
    free: NotRequired[Annotated[int, Gauge("bytes")]]
    available: NotRequired[Annotated[int, Gauge("bytes")]]
    """What a user who is not root may still write."""
    inodes: NotRequired[int]
    inodes_free: NotRequired[Annotated[int, Gauge("inodes")]]
    stuck_since: NotRequired[str]
    """It has not answered since then (UTC)."""
    error: NotRequired[str]


class FileSystems:
    """Asks each file system; lives longer than a session, since a hung question does."""

    def __init__(
        self, *, statvfs: Statvfs = os.statvfs, answer_within_s: float = ANSWER_WITHIN_S
    ) -> None:
        self._statvfs = statvfs
        self._answer_within_s = answer_within_s
        self._threads = Threads()
        self._probes: dict[tuple[str, str], Probe[os.statvfs_result]] = {}

    async def usage(self, mounts: Iterable[Mount]) -> list[FileSystem]:
        """Return each file system once, in the order of the mounts."""
        shown = worth_showing(mounts)
        keys = [(mount.device, mount.target) for mount in shown]
        self._probes = {
            key: self._probes.get(key) or Probe(partial(self._statvfs, key[1]), self._threads)
            for key in keys
        }
        found: dict[int, FileSystem] = {}

        async def ask(position: int, mount: Mount, probe: Probe[os.statvfs_result]) -> None:
            found[position] = described(mount, await probe.within(self._answer_within_s))

        async with anyio.create_task_group() as tasks:
            for position, (key, mount) in enumerate(zip(keys, shown, strict=True)):
                tasks.start_soon(ask, position, mount, self._probes[key])
        return [found[position] for position in sorted(found)]


def worth_showing(mounts: Iterable[Mount]) -> list[Mount]:
    """Return one mount of each file system that holds data: the last on its target, no bind mounts.

    Kernel interfaces (proc, sysfs, cgroup...) hold none.
    """
    on_top = {mount.target: mount for mount in mounts}
    by_device: dict[tuple[str, str], Mount] = {}
    for mount in on_top.values():
        major = mount.device.partition(":")[0]
        with_data = mount.fs_type in SHOWN_WITHOUT_DEVICE or mount.fs_type.startswith("fuse.")
        if (major == PSEUDO_DEVICE and not with_data) or mount.target.startswith(KERNEL_FOLDERS):
            continue
        key = (mount.device, mount.root if mount.fs_type == "btrfs" else "")
        by_device.setdefault(key, mount)
    return list(by_device.values())[:MOST]


def described(mount: Mount, result: object) -> FileSystem:
    """Return a file system with what its probe said."""
    one: FileSystem = {
        "target": mount.target,
        "source": mount.source,
        "fs_type": mount.fs_type,
        "read_only": "ro" in mount.opts.split(","),
    }
    match result:
        case Answer(value=os.statvfs_result() as said):
            one["size"] = said.f_blocks * said.f_frsize
            one["free"] = said.f_bfree * said.f_frsize
            one["available"] = said.f_bavail * said.f_frsize
            one["inodes"] = said.f_files
            one["inodes_free"] = said.f_ffree
        case Stuck(since):
            one["stuck_since"] = since.isoformat(timespec="seconds")
        case Failed(why):
            one["error"] = why
        case _:
            one["error"] = "not asked: too many file systems hang already"
    return one
