"""``lipe_scan`` of a simulated node: counts the cluster's files, lists those of a group by FID.

A file belongs to the groups its scenario says; expressions are not evaluated.
"""

from __future__ import annotations

import json
import os

from emf_plugins_lustre.testing.exits import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from emf_plugins_lustre.testing.simulation import Simulation

__all__ = ["answer"]


def answer(simulation: Simulation, _name: str, arguments: Sequence[str]) -> str:
    """Answer one call."""
    match list(arguments):
        case ["-c", file, "-W", folder]:
            pass
        case _:
            raise Exit(255, "usage: lipe_scan -c FILE -W FOLDER")
    with open(file, encoding="utf-8") as text:  # noqa: PTH123 - pathlib is slow to import
        config = json.load(text)
    if not any(simulation.targets("MDT")):
        raise Exit(255, f"lipe_scan: cannot open {config['device']['path']}")
    os.makedirs(folder)  # noqa: PTH103 - as above
    counters = [
        {
            "name": group["name"],
            "counters": [count(simulation, folder, group, rule) for rule in group["rules"]],
        }
        for group in config["groups"]
    ]
    with open(f"{folder}/result.json", "w", encoding="utf-8") as text:  # noqa: PTH123 - as above
        json.dump({"group_counters": counters}, text)
    return ""


def count(
    simulation: Simulation, folder: str, group: dict[str, Any], rule: dict[str, Any]
) -> dict[str, Any]:
    """Return a rule's counter; a rule with a list leaves a folder with the FIDs of its files."""
    listed = rule["action"] == "LAT_SHELL_CMD_FID"
    name = rule.get("counter_name") or rule["argument"]
    files = {
        fid: one
        for of_one in simulation.cluster["files"].values()
        for fid, one in of_one.items()
        if not listed or group["name"] in one["groups"]
    }
    if listed:
        where = f"{folder}/{group['name']}/{name}"
        os.makedirs(where)  # noqa: PTH103 - pathlib is slow to import
        with open(f"{where}/0", "w", encoding="utf-8") as text:  # noqa: PTH123 - as above
            text.writelines(f"{fid}\n" for fid in files)
    size = sum(one["size"] for one in files.values())
    return {
        "name": name,
        "count": len(files),
        "size": size,
        "blocks": size // 512,
        "flist_type": "fid" if listed else "none",
    }
