"""ZFS pools and data sets, from zpool(8) and zfs(8); none where ZFS is not installed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from emf_agent.command import CommandNotFoundError, run
from emf_agent.errors import CommandError
from emf_plugins_host.devices.tree import Dataset, Pool

__all__ = ["Vdev", "parse_status", "pools", "vdev_json"]

logger = logging.getLogger(__name__)

OUTPUT_BYTES = 2 * 1024 * 1024
SECTIONS = frozenset({"logs", "cache", "spares", "special", "dedup"})
CONFIG_LINE = re.compile(r"\t( *)(\S+)(?:\s+(\S+))?")


@dataclass
class Vdev:
    """A line of the configuration that ``zpool status`` prints."""

    name: str
    state: str
    children: list[Vdev] = field(default_factory=list)


async def pools() -> list[Pool]:
    """Return the imported pools; what cannot be read of a pool costs that pool only."""
    try:
        listed = await zfs_rows("zpool", "list", "-H", "-p", "-o", "guid,name,health,size")
    except CommandNotFoundError:
        return []
    except CommandError as error:
        logger.warning("zpool does not answer: %s", error)
        return []
    found = []
    for guid, name, health, size in (row for row in listed if len(row) == 4):
        try:
            found.append(await pool(int(guid), name, health, int(size)))
        except (CommandError, ValueError) as error:
            logger.warning("pool=%s cannot be read: %s", name, error)
    return found


async def pool(guid: int, name: str, health: str, size: int) -> Pool:
    """Read one pool."""
    by_path = parse_status((await zfs_text("zpool", "status", "-P", "-L", name)), name)
    by_guid = parse_status((await zfs_text("zpool", "status", "-g", name)), "")
    props = await zfs_rows("zpool", "get", "-H", "-p", "-o", "property,value", "all", name)
    sets = await zfs_rows(
        "zfs", "list", "-H", "-p", "-r", "-t", "filesystem,volume", "-o", "guid,name,type", name
    )
    settings = await zfs_rows(
        *("zfs", "get", "-H", "-p", "-r", "-s", "local,received"),
        *("-o", "name,property,value", "all", name),
    )
    return Pool(
        guid=guid,
        name=name,
        health=health,
        state=health,
        size=size,
        vdev=vdev_json(by_path, by_guid),
        leaf_paths=frozenset(leaves(by_path)),
        props={row[0]: row[1] for row in props if len(row) == 2},
        datasets=tuple(
            Dataset(
                guid=int(row[0]),
                name=row[1],
                kind=row[2],
                props={one[1]: one[2] for one in settings if len(one) == 3 and one[0] == row[1]},
            )
            for row in sets
            if len(row) == 3 and row[1] != name
        ),
    )


async def zfs_text(*argv: str) -> str:
    """Return what a program of ZFS prints."""
    return (await run(argv, output_limit_bytes=OUTPUT_BYTES)).stdout.text


async def zfs_rows(*argv: str) -> list[list[str]]:
    """Return the tab-separated lines that a program of ZFS prints with ``-H``."""
    return [line.split("\t") for line in (await zfs_text(*argv)).splitlines()]


def parse_status(text: str, pool_name: str) -> dict[str, Vdev]:
    """Return the parts of the configuration: the pool's own under ``""``, ``logs``, ``spares``...

    Each line begins with a tab, and two spaces for each step down.
    """
    found: dict[str, Vdev] = {}
    line: list[Vdev] = []
    _, _, config = text.partition("config:")
    for match in (CONFIG_LINE.match(row) for row in config.splitlines()):
        if match is None or match[2] == "NAME":
            continue
        depth = len(match[1]) // 2
        vdev = Vdev(match[2], match[3] or "")
        if depth == 0:
            is_section = vdev.name in SECTIONS and vdev.name != pool_name and bool(found)
            found[vdev.name if is_section else ""] = vdev
        elif depth <= len(line):
            line[depth - 1].children.append(vdev)
        else:
            continue
        line[depth:] = [vdev]
    return found


def leaves(parts: dict[str, Vdev]) -> Iterator[str]:
    """Yield the paths of the disks and files."""
    for part in parts.values():
        yield from leaf_names(part)


def leaf_names(vdev: Vdev) -> Iterator[str]:
    """Yield the names at the end of the branches."""
    if not vdev.children:
        if vdev.name.startswith("/"):
            yield vdev.name
        return
    for child in vdev.children:
        yield from leaf_names(child)


def vdev_json(by_path: dict[str, Vdev], by_guid: dict[str, Vdev]) -> dict[str, JsonValue]:
    """Return the tree of virtual devices in the manager's shape; both texts list the same lines."""

    def part(name: str, *, is_log: bool = False) -> list[JsonValue]:
        one, other = by_path.get(name), by_guid.get(name)
        if one is None:
            return []
        return branches(one.children, [] if other is None else other.children, is_log=is_log)

    children: list[JsonValue] = [*part(""), *part("logs", is_log=True), *part("special")]
    return {"Root": {"children": children, "spares": part("spares"), "cache": part("cache")}}


def branches(one: Sequence[Vdev], other: Sequence[Vdev], *, is_log: bool) -> list[JsonValue]:
    """Return the children of a virtual device."""
    guids = [vdev.name for vdev in other] + ["0"] * len(one)
    below = [vdev.children for vdev in other] + [[]] * len(one)
    return [
        branch(vdev, guids[position], below[position], is_log=is_log)
        for position, vdev in enumerate(one)
    ]


def branch(vdev: Vdev, guid: str, below: Sequence[Vdev], *, is_log: bool) -> JsonValue:
    """Return one virtual device."""
    if vdev.children:
        children = branches(vdev.children, below, is_log=is_log)
        if vdev.name.startswith("mirror"):
            return {"Mirror": {"children": children, "is_log": is_log}}
        if vdev.name.startswith(("raidz", "draid")):
            return {"RaidZ": {"children": children}}
        return {"Replacing": {"children": children}}
    own: dict[str, JsonValue] = {
        "guid": int(guid) if guid.isdecimal() else 0,
        "state": vdev.state,
        "path": vdev.name,
    }
    if vdev.name.startswith("/dev/"):
        disk: dict[str, JsonValue] = {"dev_id": None, "phys_path": None, "whole_disk": None}
        return {"Disk": {**own, **disk, "is_log": is_log}}
    return {"File": {**own, "is_log": is_log}}
