"""What ``lctl`` of a simulated node does with pools and snapshots: the cluster remembers it."""

from __future__ import annotations

import zlib

from emf_plugins_lustre.testing.exits import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from emf_plugins_lustre.testing.simulation import Simulation

__all__ = [
    "pool_destroy",
    "pool_list",
    "pool_member",
    "pool_new",
    "snapshot",
    "snapshot_of_device",
]

NO_ENTRY, EXISTS, BUSY, INVALID, NOT_EMPTY = 2, 17, 16, 22, 39


def pools_of(simulation: Simulation, pool: str) -> tuple[str, str, dict[str, list[str]]]:
    """Return file system, pool and all pools; only on a node with the MGS."""
    if not any(simulation.targets("MGT")):
        raise Exit(INVALID, "pool commands must be run on the MGS")
    file_system, _, name = pool.partition(".")
    if file_system not in simulation.cluster["osts"]:
        raise Exit(NO_ENTRY, f"can't find filesystem {file_system}: No such file or directory")
    return file_system, name, simulation.cluster["pools"].setdefault(file_system, {})


def pool_new(simulation: Simulation, _command: str, words: Sequence[str]) -> str:
    """Make a pool."""
    _, name, pools = pools_of(simulation, words[0])
    if name in pools:
        raise Exit(EXISTS, f"pool {words[0]} already exists")
    pools[name] = []
    return f"Pool {words[0]} created\n"


def pool_destroy(simulation: Simulation, _command: str, words: Sequence[str]) -> str:
    """Destroy an empty pool."""
    _, name, pools = pools_of(simulation, words[0])
    if name not in pools:
        raise Exit(NO_ENTRY, f"pool {words[0]} not found: No such file or directory")
    if pools[name]:
        raise Exit(NOT_EMPTY, f"pool {words[0]} not empty, please remove all members")
    del pools[name]
    return f"Pool {words[0]} destroyed\n"


def pool_member(simulation: Simulation, command: str, words: Sequence[str]) -> str:
    """Add an OST to a pool, or remove one."""
    file_system, name, pools = pools_of(simulation, words[0])
    ost = words[1].removesuffix("_UUID")
    if name not in pools:
        raise Exit(NO_ENTRY, f"pool {words[0]} not found: No such file or directory")
    if ost not in simulation.osts_of(file_system):
        raise Exit(NO_ENTRY, f"OST {ost}_UUID is not part of the '{file_system}' filesystem")
    members = pools[name]
    if command == "pool_add":
        if ost in members:
            raise Exit(EXISTS, f"OST {ost}_UUID already in pool {words[0]}")
        members.append(ost)
        return f"OST {ost}_UUID added to pool {words[0]}\n"
    if ost not in members:
        raise Exit(NO_ENTRY, f"OST {ost}_UUID not found in pool {words[0]}")
    members.remove(ost)
    return f"OST {ost}_UUID removed from pool {words[0]}\n"


def pool_list(simulation: Simulation, _command: str, words: Sequence[str]) -> str:
    """List pools, or a pool's OSTs; pools are known on every node."""
    file_system, dot, name = words[0].partition(".")
    pools = simulation.cluster["pools"].get(file_system, {})
    if file_system not in simulation.cluster["osts"] or (dot and name not in pools):
        raise Exit(NO_ENTRY, f"pool_list: cannot find {words[0]}: No such file or directory")
    if dot:
        return f"Pool: {words[0]}\n" + "".join(f"{ost}_UUID\n" for ost in pools[name])
    return f"Pools from {file_system}:\n" + "".join(f"{file_system}.{one}\n" for one in pools)


def options_of(words: Sequence[str]) -> dict[str, str]:
    """Read ``--name value`` pairs; an option without a value is present with none."""
    found: dict[str, str] = {}
    last = ""
    for word in words:
        if word.startswith("--"):
            last = word.removeprefix("--")
            found[last] = ""
        else:
            found[last] = word
    return found


def snapshot(simulation: Simulation, command: str, words: Sequence[str]) -> str:
    """Take, destroy, mount, unmount a snapshot, on a node with the MGS."""
    if not any(simulation.targets("MGT")):
        raise Exit(1, f"{command}: must be run on the MGS")
    options = options_of(words)
    file_system, name = options["fsname"], options["name"]
    if file_system not in simulation.cluster["osts"]:
        raise Exit(1, f"{command}: no file system {file_system}: No such file or directory")
    snapshots: dict[str, Any] = simulation.cluster["snapshots"].setdefault(file_system, {})
    if command == "snapshot_create":
        if name in snapshots:
            raise Exit(EXISTS, f"Can't create the snapshot {name}: File exists")
        snapshots[name] = {
            "label": f"{zlib.crc32(f'{file_system}/{name}'.encode()):08x}",
            "time": int(simulation.now),
            "comment": options.get("comment"),
            "barrier": options.get("barrier"),
            "mounted": False,
        }
        return ""
    if name not in snapshots:
        raise Exit(NO_ENTRY, f"Can't find the snapshot {name}: No such file or directory")
    mounted = snapshots[name]["mounted"]
    if command == "snapshot_destroy":
        if mounted and "force" not in options:
            raise Exit(BUSY, f"Can't destroy the snapshot {name}: Device or resource busy")
        del snapshots[name]
        return ""
    if mounted == (command == "snapshot_mount"):
        state = "mounted already" if mounted else "not mounted"
        raise Exit(EXISTS if mounted else NO_ENTRY, f"the snapshot {name} is {state}")
    snapshots[name]["mounted"] = command == "snapshot_mount"
    return ""


def snapshot_of_device(simulation: Simulation, device: str, words: Sequence[str]) -> str:
    """List a target's snapshots, or tell one's label."""
    if device not in simulation.node["targets"]:
        raise Exit(19, f"No device found for name {device}: No such device")
    file_system, _, index = device.rpartition("-")
    snapshots = simulation.cluster["snapshots"].get(file_system, {})
    if words[:1] == ["--get_label"]:
        if words[1] not in snapshots:
            raise Exit(NO_ENTRY, f"no snapshot {words[1]}")
        return f"{snapshots[words[1]]['label']}-{index}\n"
    lines = []
    for name, one in snapshots.items():
        comment = f" {one['comment']}" if one["comment"] else ""
        lines.append(f"{name} {one['time']} {one['time']}{comment}\n")
    return "".join(lines)
