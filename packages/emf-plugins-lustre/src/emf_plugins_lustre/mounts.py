"""What is mounted here, as ``findmnt`` lists it: from the kernel's table, touching no mount.

Nothing here looks at a path itself, so that a mount whose servers are gone costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from emf_agent.command import run
from emf_agent.errors import ActionError

__all__ = ["Mount", "client_mounts", "list_mounts", "parse_mounts", "snapshot_mounts"]

COMMAND = ("findmnt", "--json", "--list", "--output", "TARGET,SOURCE,FSTYPE,OPTIONS")
NOTHING_FOUND = 1
OUTPUT_LIMIT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Mount:
    """One line of the kernel's table."""

    target: str
    source: str
    fs_type: str
    options: tuple[str, ...] = ()

    @property
    def is_lustre(self) -> bool:
        """Tell whether it is Lustre, of a client or of a server's target."""
        return self.fs_type in {"lustre", "lustre_tgt"}

    @property
    def file_system(self) -> str | None:
        """Return the file system that a client mounts, ``fs1`` of ``10.0.0.1@tcp:/fs1/sub``."""
        _, found, path = self.source.rpartition(":/")
        return path.partition("/")[0] if self.is_lustre and found else None

    @property
    def is_whole(self) -> bool:
        """Tell whether a client mounts the file system's root, and not a folder of it."""
        return "/" not in self.source.rpartition(":/")[2].rstrip("/")

    def option(self, name: str) -> str | None:
        """Return the value of ``name=value`` among the options."""
        for option in self.options:
            key, found, value = option.partition("=")
            if key == name and found:
                return value
        return None


async def list_mounts() -> tuple[Mount, ...]:
    """Return all mounts, in the order of the kernel's table."""
    listed = await run(COMMAND, ok_codes=(0, NOTHING_FOUND), output_limit_bytes=OUTPUT_LIMIT_BYTES)
    return parse_mounts(listed.stdout.text)


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """Read ``findmnt --json``; no output is no mount. Raises ActionError for anything else."""
    if not text.strip():
        return ()
    try:
        return tuple(
            Mount(
                target=row["target"],
                source=row["source"] or "",
                fs_type=row["fstype"],
                options=tuple((row["options"] or "").split(",")),
            )
            for row in json.loads(text)["filesystems"]
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ActionError(f"findmnt printed no list of mounts: {text[:200]!r}") from error


def client_mounts(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Return the mounts of file systems by clients."""
    return tuple(mount for mount in mounts if mount.file_system is not None)


def snapshot_mounts(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Return the mounts of snapshots' targets: those without a part in the MGS's registration."""
    return tuple(mount for mount in mounts if mount.is_lustre and "nomgs" in mount.options)
