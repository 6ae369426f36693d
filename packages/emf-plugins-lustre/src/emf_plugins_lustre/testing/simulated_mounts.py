"""``mount``, ``umount``, ``findmnt`` and ``systemctl`` of a simulated node."""

from __future__ import annotations

import json
import os

from emf_plugins_lustre.testing.exits import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from emf_plugins_lustre.testing.simulation import Simulation

__all__ = ["answer"]


def answer(simulation: Simulation, name: str, arguments: Sequence[str]) -> str:
    """Answer one call."""
    words = list(arguments)
    if name == "findmnt":
        return find(simulation, words)
    if name == "umount":
        return unmount(simulation, words[-1])
    if name == "systemctl":
        return ""
    if name == "mount" and words[:2] != ["-t", "lustre"]:
        raise Exit(1, "mount: only Lustre can be mounted on a simulated node")
    source, target = words[-2:]
    return mount(simulation, source, target)


def mount(simulation: Simulation, source: str, target: str) -> str:
    """Mount a file system of the cluster on a folder."""
    file_system = source.rpartition(":/")[2].partition("/")[0]
    failed = f"mount.lustre: mount {source} at {target} failed"
    if not os.path.isdir(target):  # noqa: PTH112 - pathlib is slow to import
        raise Exit(2, f"{failed}: {target} is not a folder: Not a directory")
    if file_system not in simulation.cluster["osts"]:
        raise Exit(2, f"{failed}: No such file or directory\nIs the MGS specification correct?")
    if any(one["target"] == target for one in simulation.node["mounts"]):
        raise Exit(17, f"{failed}: File exists")
    simulation.node["mounts"].append(
        {"target": target, "source": source, "fstype": "lustre", "options": "rw,lazystatfs"}
    )
    return ""


def unmount(simulation: Simulation, target: str) -> str:
    """Unmount the topmost there."""
    mounts = simulation.node["mounts"]
    for one in reversed(mounts):
        if one["target"] == target:
            mounts.remove(one)
            return ""
    raise Exit(32, f"umount: {target}: not mounted.")


def find(simulation: Simulation, words: Sequence[str]) -> str:
    """List mounts as JSON; a status and nothing else where there is none."""
    if "--json" not in words:
        raise Exit(1, "findmnt: a simulated node lists mounts as JSON only")
    mounts = simulation.mounts()
    if not mounts:
        raise Exit(1)
    return json.dumps({"filesystems": mounts}, indent=3) + "\n"
