"""Daemon ``device``: the tree of block devices, the mounts, and the file systems of an MGS."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import anyio
from pydantic import BaseModel, ConfigDict, JsonValue

from emf_agent.command import run
from emf_agent.errors import CommandError
from emf_agent.plugin import Daemon, DaemonFault
from emf_plugins_host.devices.block import BlockDevice, FileSystemFacts, block_devices
from emf_plugins_host.devices.changes import DeviceEvents, watch_devices, watch_mounts
from emf_plugins_host.devices.mgs import mgs_file_systems
from emf_plugins_host.devices.tree import MountRow, device_tree, mount_row
from emf_plugins_host.devices.zfs import pools
from emf_plugins_host.mountinfo import Mount, mounts, swaps
from emf_plugins_host.netlink import uevent_socket
from emf_plugins_host.netlink_messages import NetlinkError
from emf_plugins_host.probe import Answer, Failed, Probe, Stuck, Threads

__all__ = ["Device", "DevicePayload", "DevicesSettings", "Scanner"]

logger = logging.getLogger(__name__)

SCAN_WITHIN_S = 0.8
OUTPUT_BYTES = 2 * 1024 * 1024
BLKID_WITHIN_S = 0.5
NOTHING_FOUND = 2

Scan = tuple[list[BlockDevice], list[Mount]]
DevicePayload = tuple[tuple[JsonValue, list[MountRow]], list[str]]


class DevicesSettings(BaseModel):
    """The table ``[plugin."host.devices"]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    include_loop: bool = False
    """Show loop devices, too: for test clusters whose disks are files."""


class Scanner:
    """Reads devices and mounts; lives longer than a session, since a hung read does."""

    def __init__(self, settings: DevicesSettings | None = None, root: Path = Path("/")) -> None:
        self._root = root
        loops = (settings or DevicesSettings()).include_loop
        self._probe: Probe[Scan] = Probe(partial(read_all, root, loops=loops), Threads())

    @property
    def has_udev(self) -> bool:
        """Tell whether udev's database is there."""
        return (self._root / "run/udev/data").is_dir()

    async def scan(self) -> Scan:
        """Return what is there now.

        Raises:
            DaemonFault: a device or the mount table does not answer.

        """
        match await self._probe.within(SCAN_WITHIN_S):
            case Answer(value):
                return value
            case Failed(why):
                raise DaemonFault(f"the devices cannot be read: {why}")
            case Stuck(since):
                raise DaemonFault(
                    f"reading the devices is stuck since {since.isoformat(timespec='seconds')}"
                )
            case _:
                raise DaemonFault("reading the devices is stuck")


def read_all(root: Path, *, loops: bool) -> Scan:
    """Read devices and mounts, in a thread."""
    table = (root / "proc/self/mountinfo").read_text(errors="replace")
    swap_file = root / "proc/swaps"
    swap = swap_file.read_text(errors="replace") if swap_file.exists() else ""
    return block_devices(root, loops=loops), [*mounts(table), *swaps(swap)]


class Device(Daemon):
    """Block devices as a tree, with multipath, md, LVM, ZFS and mounts; told when one changes."""

    name: ClassVar[str] = "device"

    def __init__(
        self, scanner: Scanner | None = None, *, events: DeviceEvents = uevent_socket
    ) -> None:
        self._scanner = scanner or Scanner()
        self._events = events
        self._changed = anyio.Event()
        self._known: tuple[JsonValue, list[MountRow]] = ({"Root": {"children": []}}, [])
        self._fault: str | None = None

    async def start_session(self) -> DevicePayload:
        """Read the devices, and return the tree.

        Raises:
            DaemonFault: a device does not answer.

        """
        await self._look()
        return await self.update_session()

    async def update_session(self) -> DevicePayload:
        """Return the tree of the last change.

        Raises:
            DaemonFault: a device did not answer then.

        """
        if self._fault is not None:
            raise DaemonFault(self._fault)
        return self._known, await mgs_file_systems()

    async def _look(self) -> None:
        try:
            devices, mounted = await self._scanner.scan()
        except DaemonFault as fault:
            self._fault = str(fault)
            return
        self._fault = None
        if not self._scanner.has_udev:
            devices = with_file_systems(devices, await blkid())
        tree = device_tree(devices, mounted, await pools())
        self._known = tree, [mount_row(mount) for mount in mounted]

    async def watch_session(self) -> None:
        """Hear of changes for as long as the session lives, and read the devices after each.

        Not in the update, whose second would be short for a node of many disks and pools.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._look_after_changes)
            tasks.start_soon(watch_mounts, self._note_change)
            try:
                await watch_devices(self._note_change, self._events)
            except NetlinkError as error:
                logger.warning("devices are read every %g s: %s", self.interval_s, error)
                while True:
                    await anyio.sleep(self.interval_s)
                    self._note_change()

    async def _look_after_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            await self._look()
            self.context.wake()
            if self._fault is not None:
                await anyio.sleep(self.interval_s)
                self._note_change()

    def _note_change(self) -> None:
        self._changed.set()


async def blkid() -> dict[str, FileSystemFacts]:
    """Return what is written on the devices, where no udev says so: blkid(8) looks itself."""
    try:
        completed = await run(
            ["blkid", "-c", "/dev/null", "-o", "export"],
            timeout_s=BLKID_WITHIN_S,
            ok_codes=(0, NOTHING_FOUND),
            output_limit_bytes=OUTPUT_BYTES,
            grace_s=0,
        )
        return parse_blkid(completed.stdout.text)
    except CommandError as error:
        logger.info("blkid does not say what is on the devices: %s", error)
        return {}


def parse_blkid(text: str) -> dict[str, FileSystemFacts]:
    """Return what is written on each device, by its path; a block that names none is left out."""
    found = {}
    for block in text.split("\n\n"):
        tags = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "DEVNAME" in tags:
            facts = FileSystemFacts(tags.get("TYPE"), tags.get("UUID"), tags.get("LABEL"))
            found[tags["DEVNAME"]] = facts
    return found


def with_file_systems(
    devices: list[BlockDevice], facts: dict[str, FileSystemFacts]
) -> list[BlockDevice]:
    """Return the devices with what is written on them."""
    return [
        replace(one, file_system=facts.get(f"/dev/{one.name}", one.file_system)) for one in devices
    ]
