"""``lfs`` of a simulated node: paths by FID, removal by FID, mirrors."""

from __future__ import annotations

import os

from emf_plugins_lustre.testing.exits import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from emf_plugins_lustre.testing.simulation import Simulation

__all__ = ["answer"]

NO_ENTRY, INVALID = 2, 22


def answer(simulation: Simulation, _name: str, arguments: Sequence[str]) -> str:
    """Answer one call."""
    match list(arguments):
        case ["fid2path", "--link", _, mount, *fids]:
            return fid2path(files_below(simulation, mount), mount, fids)
        case ["rmfid", mount, *fids]:
            return rmfid(files_below(simulation, mount), mount, fids)
        case ["mirror", "extend", "-N", "-p", pool, *_, path]:
            return mirror_extend(simulation, pool, path)
        case ["mirror", "resync", path]:
            file_of(simulation, path)["stale"] = False
            return ""
        case ["mirror", "split", "-d", "-p", pool, path]:
            return mirror_split(simulation, pool, path)
    raise Exit(1, f"lfs: unrecognized command {' '.join(arguments[:2])}")


def files_below(simulation: Simulation, path: str) -> dict[str, dict[str, Any]]:
    """Return the files of the file system that is mounted at a path, by FID."""
    for mount in simulation.node["mounts"]:
        if mount["target"] == path and mount["fstype"] == "lustre":
            file_system = mount["source"].rpartition(":/")[2].partition("/")[0]
            files: dict[str, dict[str, Any]] = simulation.cluster["files"].get(file_system, {})
            return files
    raise Exit(25, f"lfs: '{path}' is not on a mounted Lustre filesystem")


def fid2path(files: dict[str, dict[str, Any]], mount: str, fids: Sequence[str]) -> str:
    """Print a path for each FID that is known, complain about the others."""
    found = "".join(f"{mount}/{files[fid]['path']}\n" for fid in fids if fid in files)
    missing = [fid for fid in fids if fid not in files]
    if missing:
        complaints = [
            f"lfs fid2path: cannot find '{fid}': No such file or directory" for fid in missing
        ]
        raise Exit(NO_ENTRY, "\n".join(complaints), found)
    return found


def rmfid(files: dict[str, dict[str, Any]], mount: str, fids: Sequence[str]) -> str:
    """Remove files; those that cannot be removed are printed with the error as their version."""
    refused = {}
    for fid in fids:
        if fid not in files:
            refused[fid] = ("No such file or directory", -NO_ENTRY)
        elif files[fid].get("busy"):
            refused[fid] = ("Device or resource busy", -16)
        else:
            path = f"{mount}/{files.pop(fid)['path']}"
            if os.path.isfile(path):  # noqa: PTH113 - pathlib is slow to import
                os.unlink(path)  # noqa: PTH108 - as above
    if refused:
        complaints = [
            f"lfs rmfid: cannot remove {fid.rpartition(':')[0]}:{number & 0xFFFFFFFF:#x}]: {why}"
            for fid, (why, number) in refused.items()
        ]
        raise Exit(NO_ENTRY, "\n".join(complaints), keeps=True)
    return ""


def file_of(simulation: Simulation, path: str) -> dict[str, Any]:
    """Return the file that a path by FID opens."""
    mount, found, fid = path.partition("/.lustre/fid/")
    files = files_below(simulation, mount) if found else {}
    if fid not in files:
        raise Exit(NO_ENTRY, f"lfs mirror: cannot open '{path}': No such file or directory")
    return files[fid]


def mirror_extend(simulation: Simulation, pool: str, path: str) -> str:
    """Give a file one more mirror, in a pool that exists."""
    pools = [name for one in simulation.cluster["pools"].values() for name in one]
    if pool not in pools:
        raise Exit(INVALID, f"lfs mirror extend: pool '{pool}' does not exist: Invalid argument")
    file_of(simulation, path)["mirrors"].append(pool)
    return ""


def mirror_split(simulation: Simulation, pool: str, path: str) -> str:
    """Take a file's mirror in a pool away."""
    mirrors = file_of(simulation, path)["mirrors"]
    if pool not in mirrors:
        raise Exit(INVALID, f"lfs mirror split: no mirror in pool '{pool}': Invalid argument")
    mirrors.remove(pool)
    return ""
