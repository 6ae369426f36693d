"""``lctl`` of a simulated node: parameters, and the way to its other commands."""

from __future__ import annotations

from emf_plugins_lustre.testing.exits import Exit
from emf_plugins_lustre.testing.parameters import parameters
from emf_plugins_lustre.testing.pools_and_snapshots import (
    pool_destroy,
    pool_list,
    pool_member,
    pool_new,
    snapshot,
    snapshot_of_device,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from emf_plugins_lustre.testing.simulation import Simulation

__all__ = ["answer"]

NO_ENTRY = 2
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
