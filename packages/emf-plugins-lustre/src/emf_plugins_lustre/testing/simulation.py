"""The state of a simulated node and of its cluster, locked while a program looks at it.

A node has its own file, and shares the cluster's (pools, snapshots, files, failed OSTs) with the
other nodes made beside it: what the MGS makes, an MDS lists.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["Simulation", "dump", "locked"]


class Simulation:
    """Node and cluster as they are now; what a program changes is written when it ends well."""

    def __init__(self, node: dict[str, Any], cluster: dict[str, Any], folder: str) -> None:
        self.node = node
        self.cluster = cluster
        self.folder = folder
        self.now: float = time.time() + cluster["ahead_s"]
        """The cluster's clock, in seconds since the epoch: the same for all of one answer."""

    def targets(self, kind: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the targets that are served here, of one kind or all: MGT, MDT, OST."""
        for name, target in self.node["targets"].items():
            if kind is None or target["kind"] == kind:
                yield name, target

    def failed_since(self, target: str) -> float | None:
        """Return when a target failed, or None while it works."""
        since: float | None = self.cluster["failed_targets"].get(target)
        return since

    def age_s(self, name: str, target: str | None = None) -> float:
        """Return how long a counter has counted: since its reset, until its target failed."""
        begin: float = self.node["resets"].get(name, self.cluster["born"])
        end = self.now
        if target is not None and (failed := self.failed_since(target)) is not None:
            end = min(end, failed)
        return max(0.0, end - begin)

    def osts_of(self, file_system: str) -> list[str]:
        """Return the names of a file system's OSTs, wherever they are served."""
        names: list[str] = self.cluster["osts"].get(file_system, [])
        return names

    def mounts(self) -> list[dict[str, str]]:
        """Return what is mounted: clients by the programs, targets and snapshots by themselves."""
        served = [self._served(name, "") for name, _ in self.targets()]
        snapshots = [
            self._served(f"{snapshot['label']}-{name.rpartition('-')[2]}", ",nomgs", "ro")
            for name, target in self.targets()
            if target["kind"] != "MGT"
            for snapshot in self.cluster["snapshots"].get(name.rpartition("-")[0], {}).values()
            if snapshot["mounted"]
        ]
        return [*self.node["mounts"], *served, *snapshots]

    def _served(self, name: str, more: str, mode: str = "rw") -> dict[str, str]:
        return {
            "target": f"/lustre/{name}",
            "source": f"/dev/mapper/{name}",
            "fstype": "lustre",
            "options": f"{mode},svname={name}{more},osd=osd-ldiskfs",
        }


class locked:  # noqa: N801 - reads as a word of the language
    """``with locked(folder) as simulation``: alone with the state, written back at the end."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> Simulation:
        cluster_folder = load(content(f"{self._folder}/node"))["cluster"]
        self._paths = (f"{self._folder}/node", f"{cluster_folder}/cluster")
        self._lock = os.open(f"{cluster_folder}/lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Read again: it may have changed while the lock was another's.
        self._before = tuple(map(content, self._paths))
        node, cluster = map(load, self._before)
        self._simulation = Simulation(node, cluster, self._folder)
        return self._simulation

    def __exit__(self, *problem: object) -> None:
        try:
            if problem[0] is None or getattr(problem[1], "keeps", False):
                after = (dump(self._simulation.node), dump(self._simulation.cluster))
                for path, old, new in zip(self._paths, self._before, after, strict=True):
                    if new != old:
                        replace(path, new)
        finally:
            os.close(self._lock)


def dump(value: dict[str, Any]) -> bytes:
    """Return a state as bytes; not as JSON, whose import would be most of a program's time."""
    return marshal.dumps(value, 2)


def load(data: bytes) -> dict[str, Any]:
    """Return a state from its bytes."""
    value: dict[str, Any] = marshal.loads(data)  # noqa: S302 - written by ourselves
    return value


def content(path: str) -> bytes:
    """Return a file's bytes."""
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is slow to import
        return file.read()


def replace(path: str, data: bytes) -> None:
    """Replace a file at once."""
    beside = f"{path}.{os.getpid()}"
    with open(beside, "wb") as file:  # noqa: PTH123 - as above
        file.write(data)
    os.replace(beside, path)  # noqa: PTH105 - as above
