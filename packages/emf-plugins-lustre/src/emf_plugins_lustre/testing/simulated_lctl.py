"""``lctl`` of a simulated node: parameters, pools, snapshots, and what else the plugins ask."""

from __future__ import annotations

import zlib

from emf_plugins_lustre.testing.exits import Exit
from emf_plugins_lustre.testing.parameters import parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from emf_plugins_lustre.testing.simulation import Simulation

__all__ = ["answer"]

NO_ENTRY, EXISTS, BUSY, INVALID, NOT_EMPTY = 2, 17, 16, 22, 39
RESET_WORDS = {"0", "clear"}


def answer(simulation: Simulation, _name: str, arguments: Sequence[str]) -> str:
    """Answer one call."""
    words = list(arguments)
    device = None
    if words[:1] == ["--device"]:
        device, words = words[1], words[2:]
    if not words:
        raise Exit(1, "lctl: no command, and nobody to ask for one")
    command, rest = words[0], words[1:]
    if command == "snapshot":
        return snapshot_of_device(simulation, device or "", rest)
    handler = COMMANDS.get(command)
    if handler is None:
        raise Exit(1, f"{command}: command not found")
    return handler(simulation, command, rest)


def get_param(simulation: Simulation, _command: str, words: Sequence[str]) -> str:
    """Print parameters in the order of the patterns, ``-n`` values only, ``-N`` names only."""
    options = {word for word in words if word.startswith("-")}
    found = list(parameters(simulation))
    if "-N" in options:
        found = [(name, str) for name in with_folders(path for path, _ in found)]
    out: list[str] = []
    missing: list[str] = []
    patterns = (word for word in words if not word.startswith("-"))
    for pattern in (one for many in patterns for one in alternatives(many)):
        matching = [one for one in found if matches(pattern, one[0])]
        if not matching:
            missing.append(pattern)
        for path, value in matching:
            name = ".".join(path)
            if "-N" in options:
                out.append(f"{name}\n")
                continue
            text = simulation.node["settings"].get(name) or value(name)
            if "-n" in options:
                out.append(text.removeprefix("\n") + ("" if text.endswith("\n") else "\n"))
            else:
                out.append(f"{name}={text}" + ("" if text.endswith("\n") else "\n"))
    if missing:
        complaints = [
            f"error: get_param: param_path '{pattern.replace('.', '/')}': No such file or directory"
            for pattern in missing
        ]
        raise Exit(NO_ENTRY, "\n".join(complaints), "".join(out))
    return "".join(out)


def with_folders(paths: Iterable[tuple[str, ...]]) -> Iterable[tuple[str, ...]]:
    """Return parameters and the folders they are in: ``-N`` names both."""
    return dict.fromkeys(path[:end] for path in paths for end in range(1, len(path) + 1))


def list_param(simulation: Simulation, _command: str, words: Sequence[str]) -> str:
    """Print names."""
    return get_param(simulation, "get_param", ["-N", *words])


def set_param(simulation: Simulation, _command: str, words: Sequence[str]) -> str:
    """Set parameters; ``0`` or ``clear`` lets a counter begin again."""
    words = [word for word in words if not word.startswith("-")]
    if len(words) == 2 and "=" not in words[0]:
        words = ["=".join(words)]
    out = []
    for word in words:
        pattern, _, value = word.partition("=")
        matching = [path for path, _ in parameters(simulation) if matches(pattern, path)]
        if not matching:
            shown = pattern.replace(".", "/")
            raise Exit(
                NO_ENTRY, f"error: set_param: param_path '{shown}': No such file or directory"
            )
        for path in matching:
            name = ".".join(path)
            if value in RESET_WORDS and name.endswith("stats"):
                simulation.node["resets"][name] = simulation.now
            else:
                simulation.node["settings"][name] = value
            out.append(f"{name}={value}\n")
    return "".join(out)


def matches(pattern: str, path: tuple[str, ...]) -> bool:
    """Tell whether a pattern of ``lctl`` means a path: ``.`` parts it, ``*`` stays in a part."""
    import re

    text = "/".join(path)
    return any(re.fullmatch(expression(one), text) for one in alternatives(pattern))


def alternatives(pattern: str) -> list[str]:
    """Expand ``{a,b}``."""
    before, brace, after = pattern.partition("{")
    if not brace:
        return [pattern]
    choices, _, rest = after.partition("}")
    return [f"{before}{one}{end}" for one in choices.split(",") for end in alternatives(rest)]


def expression(pattern: str) -> str:
    """Return a pattern as a regular expression over slashes."""
    import re

    special = {"*": "[^/]*", "?": "[^/]", ".": "[./]", "/": "[./]"}
    return "".join(special.get(char, re.escape(char)) for char in pattern)


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


def list_nids(simulation: Simulation, _command: str, _words: Sequence[str]) -> str:
    """Print this node's NIDs."""
    return "".join(f"{nid}\n" for nid in simulation.node["nids"])


def device_list(simulation: Simulation, _command: str, _words: Sequence[str]) -> str:
    """Print the devices that the targets make."""
    kinds = {"MGT": "mgs", "MDT": "mdt", "OST": "obdfilter"}
    lines = [
        f"{number:3} UP {kinds[target['kind']]} {name} {name}_UUID {len(target['clients']) + 1}\n"
        for number, (name, target) in enumerate(simulation.targets())
    ]
    return "".join(lines)


def version(simulation: Simulation, _command: str, _words: Sequence[str]) -> str:
    """Print the version."""
    return f"lctl {simulation.node['version']}\n"


COMMANDS = {
    "get_param": get_param,
    "list_param": list_param,
    "set_param": set_param,
    "pool_new": pool_new,
    "pool_destroy": pool_destroy,
    "pool_add": pool_member,
    "pool_remove": pool_member,
    "pool_list": pool_list,
    "snapshot_create": snapshot,
    "snapshot_destroy": snapshot,
    "snapshot_mount": snapshot,
    "snapshot_umount": snapshot,
    "list_nids": list_nids,
    "device_list": device_list,
    "dl": device_list,
    "version": version,
}
