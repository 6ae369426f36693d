"""Block devices, each by itself: out of sysfs, udev's database and the links below /dev.

Kernel documentation: ABI/stable/sysfs-block. udev keeps what it knows of a device in
``/run/udev/data/bMAJOR:MINOR`` as lines ``E:NAME=VALUE``; where no udev runs, nothing is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

__all__ = ["BlockDevice", "FileSystemFacts", "block_devices", "ordered"]

SECTOR_BYTES = 512
FLOPPY, RAM, LOOP, OPTICAL = "2", "1", "7", "11"
NEVER = frozenset({FLOPPY, RAM, OPTICAL})
BIOS_BOOT = frozenset({"21686148-6449-6e6f-744e-656564454649", "0xef02"})
LVM_UUID = re.compile(r"LVM-([A-Za-z0-9]{32})([A-Za-z0-9]{32})(-.+)?")
MAPPED_PARTITION = re.compile(r"part(\d+)-.+")
LINK_FOLDERS = ("disk/by-id", "disk/by-path", "disk/by-uuid", "disk/by-label", "disk/by-partuuid")


@dataclass(frozen=True)
class FileSystemFacts:
    """What is written on a device."""

    type: str | None = None
    uuid: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class LogicalVolumeFacts:
    """What the device mapper's UUID and name say of a logical volume."""

    lv_uuid: str
    vg_uuid: str
    lv_name: str
    vg_name: str
    internal: bool
    """A part of another volume: a pool's data, a snapshot's origin."""


@dataclass(frozen=True)
class BlockDevice:
    """One block device."""

    number: str
    """``major:minor``."""
    name: str
    """The kernel's."""
    devpath: str
    size: int
    read_only: bool
    paths: tuple[str, ...]
    file_system: FileSystemFacts = FileSystemFacts()
    serial: str | None = None
    scsi80: str | None = None
    partition_number: int | None = None
    partition_of: str | None = None
    members: tuple[str, ...] = ()
    """The devices that it is made of, by number."""
    dm_name: str | None = None
    is_multipath: bool = False
    md_uuid: str | None = None
    volume: LogicalVolumeFacts | None = None
    is_bios_boot: bool = False
    properties: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def major(self) -> str:
        """Return the first half of the number."""
        return self.number.partition(":")[0]

    @property
    def minor(self) -> str:
        """Return the second half of the number."""
        return self.number.partition(":")[2]

    @property
    def is_shown(self) -> bool:
        """Tell whether it belongs into the tree: something can be stored on it."""
        return self.size > 0 and not self.read_only and not self.is_bios_boot


def block_devices(root: Path, *, loops: bool) -> list[BlockDevice]:
    """Return the devices, sorted by name; one that vanishes while it is read is left out."""
    links = links_of(root / "dev")
    found = []
    for folder in sorted((root / "sys/class/block").glob("*")):
        try:
            device = block_device(root, folder, links)
        except (OSError, ValueError):
            continue
        if device.major not in NEVER and (loops or device.major != LOOP):
            found.append(device)
    return found


def block_device(root: Path, folder: Path, links: Mapping[str, list[str]]) -> BlockDevice:
    """Read one device; raises OSError or ValueError where it is going away."""
    number = (folder / "dev").read_text().strip()
    real = folder.resolve()
    known = udev_properties(root / f"run/udev/data/b{number}")
    dm_uuid = text(folder / "dm/uuid") or known.get("DM_UUID")
    dm_name = text(folder / "dm/name") or known.get("DM_NAME")
    node = folder.name.replace("!", "/")
    paths = [f"/dev/{node}", *links.get(node, ())]
    device = BlockDevice(
        number=number,
        name=folder.name,
        devpath="/" + str(real.relative_to((root / "sys").resolve())),
        size=int((folder / "size").read_text()) * SECTOR_BYTES,
        read_only=(folder / "ro").read_text().strip() == "1",
        paths=ordered(paths),
        file_system=FileSystemFacts(
            known.get("ID_FS_TYPE"), known.get("ID_FS_UUID"), known.get("ID_FS_LABEL")
        ),
        serial=known.get("ID_SERIAL") or serial(folder),
        scsi80=known.get("IML_SCSI_80") or scsi80(folder / "device"),
        members=tuple(members(folder)),
        dm_name=dm_name,
        is_multipath=bool(dm_uuid and dm_uuid.startswith("mpath-")),
        md_uuid=md_uuid(folder, known),
        volume=volume(dm_uuid, dm_name, known),
        is_bios_boot=known.get("ID_PART_ENTRY_TYPE") in BIOS_BOOT,
        properties=known,
    )
    return as_partition(device, folder, real, dm_uuid)


def as_partition(device: BlockDevice, folder: Path, real: Path, dm_uuid: str | None) -> BlockDevice:
    """Return the device with what makes it a partition, of the kernel's or of the mapper's."""
    partition = text(folder / "partition")
    if partition is not None:
        disk = text(real.parent / "dev")
        return replace(device, partition_number=int(partition), partition_of=disk)
    mapped = MAPPED_PARTITION.fullmatch(dm_uuid or "")
    if mapped is not None and device.members:
        return replace(device, partition_number=int(mapped[1]), partition_of=device.members[0])
    return device


def members(folder: Path) -> Iterator[str]:
    """Yield the numbers of the devices below."""
    for slave in sorted((folder / "slaves").glob("*")):
        number = text(slave / "dev")
        if number is not None:
            yield number


def md_uuid(folder: Path, known: Mapping[str, str]) -> str | None:
    """Return an array's UUID; what is an array without one has its name."""
    if not (folder / "md").is_dir():
        return None
    return known.get("MD_UUID") or text(folder / "md/uuid") or folder.name


def volume(
    dm_uuid: str | None, dm_name: str | None, known: Mapping[str, str]
) -> LogicalVolumeFacts | None:
    """Return what the mapper says of a logical volume (lvm2's names, lib/device/dev-type.c)."""
    match = LVM_UUID.fullmatch(dm_uuid or "")
    if match is None:
        return None
    vg_name, lv_name = split_name(dm_name or "")
    return LogicalVolumeFacts(
        lv_uuid=match[2],
        vg_uuid=match[1],
        lv_name=known.get("DM_LV_NAME", lv_name),
        vg_name=known.get("DM_VG_NAME", vg_name),
        internal=match[3] is not None,
    )


def split_name(dm_name: str) -> tuple[str, str]:
    """Return group and volume of ``group-volume``, where a doubled hyphen is one of a name."""
    group, _, rest = dm_name.replace("--", "\0").partition("-")
    return group.replace("\0", "-"), rest.partition("-")[0].replace("\0", "-")


def serial(folder: Path) -> str | None:
    """Return a serial number without udev's help."""
    for name in ("device/wwid", "wwid", "serial", "device/serial"):
        found = text(folder / name)
        if found:
            return found
    return None


def scsi80(device: Path) -> str | None:
    """Return vendor, model and the serial number of page 0x80, as scsi_id(8) joins them."""
    try:
        page = (device / "vpd_pg80").read_bytes()
    except OSError:
        return None
    number = page[4:].decode("ascii", "replace").strip("\0 ")
    parts = [text(device / "vendor"), text(device / "model"), number]
    return " ".join(part for part in parts if part) or None


def links_of(dev: Path) -> dict[str, list[str]]:
    """Return the symbolic links below /dev by the node they lead to."""
    found: dict[str, list[str]] = {}
    for name in (*LINK_FOLDERS, "mapper"):
        for link in sorted((dev / name).glob("*")):
            target = link_target(dev, link)
            if target is not None:
                found.setdefault(target, []).append(f"/dev/{name}/{link.name}")
    # /dev/GROUP/VOLUME
    for link in sorted(dev.glob("*/*")):
        if link.parent.name not in ("disk", "mapper", "block", "char", "fd", "pts", "shm"):
            target = link_target(dev, link)
            if target is not None and target.startswith("dm-"):
                found.setdefault(target, []).append(f"/dev/{link.parent.name}/{link.name}")
    return found


def link_target(dev: Path, link: Path) -> str | None:
    """Return the node a link leads to, relative to /dev."""
    try:
        if not link.is_symlink():
            return None
        return os.path.relpath(link.parent.resolve() / os.readlink(link), dev.resolve())  # noqa: PTH115 - not to follow further
    except OSError:
        return None


def ordered(paths: list[str]) -> tuple[str, ...]:
    """Return paths in the manager's order: mapper, by-id, by-path, others of /dev, the rest."""

    def rank(path: str) -> tuple[int, str]:
        for position, prefix in enumerate(
            ("/dev/mapper/", "/dev/disk/by-id/", "/dev/disk/by-path/", "/dev/")
        ):
            if path.startswith(prefix):
                return position, path
        return 4, path

    return tuple(sorted(dict.fromkeys(paths), key=rank))


def udev_properties(file: Path) -> dict[str, str]:
    """Return what udev knows of a device; nothing where no udev runs."""
    found = {}
    for line in (text(file) or "").splitlines():
        if line.startswith("E:"):
            name, _, value = line[2:].partition("=")
            found[name] = value
    return found


def text(file: Path) -> str | None:
    """Return a file's text without the space around it; None where it cannot be read."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return None
