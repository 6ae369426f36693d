"""A file system as a client of this node sees it: paths of FIDs, and removal by FID.

``lfs`` does the work, not the library: a program that hangs on a dead server can be killed.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from emf_agent.command import Completed, run
from emf_agent.errors import ActionError
from emf_plugins_lustre.fids import Fid, parse_fid
from emf_plugins_lustre.mounts import client_mounts, list_mounts

__all__ = ["MountedFileSystem", "exit_errno", "find_mounted", "shown"]

FIDS_A_PROCESS = 500
OUTPUT_LIMIT_BYTES = 8 * 1024 * 1024
ANY_STATUS = range(-64, 256)
REFUSAL = re.compile(r"(\[0x[0-9a-f]+:0x[0-9a-f]+):0x[0-9a-f]+\]['\"]?: (.+)$")
NUMBERS = {os.strerror(number): number for number in errno.errorcode}


def exit_errno(completed: Completed) -> int:
    """Return the number that stands for a failed program: its exit status, 1 after a signal."""
    return completed.returncode if completed.returncode > 0 else 1


def shown(path: PurePosixPath) -> str:
    """Return a path for people and for JSON, in which bytes that are no UTF-8 have no place."""
    return os.fsencode(path).decode("utf-8", "replace")


@dataclass(frozen=True)
class MountedFileSystem:
    """A client's mount of a file system."""

    root: PurePosixPath

    def by_fid(self, fid: Fid) -> PurePosixPath:
        """Return the path that opens a file by its FID."""
        return self.root / ".lustre" / "fid" / fid

    async def paths(self, fids: Sequence[Fid]) -> dict[Fid, PurePosixPath | int]:
        """Return a path of each file relative to the root, or the error number of the failure.

        Of a file with several links the first is taken.
        """
        found: dict[Fid, PurePosixPath | int] = {}
        for some in chunks(fids):
            ended = await self._fid2path(some)
            refused = refusals(ended)
            resolved = [fid for fid in some if stem(fid) not in refused]
            text = os.fsdecode(ended.stdout.raw)
            lines = text.removesuffix("\n").split("\n") if text else []
            if len(lines) == len(resolved):
                found.update((fid, refused[stem(fid)]) for fid in some if stem(fid) in refused)
                found.update(zip(resolved, map(self._relative, lines), strict=True))
                continue
            # A name with a newline, or a failure that names no FID: one by one.
            for fid in some:
                found[fid] = await self._path(fid)
        return found

    async def _path(self, fid: Fid) -> PurePosixPath | int:
        ended = await self._fid2path([fid])
        if ended.returncode != 0:
            return next(iter(refusals(ended).values()), exit_errno(ended))
        return self._relative(os.fsdecode(ended.stdout.raw).removesuffix("\n"))

    async def _fid2path(self, fids: Sequence[Fid]) -> Completed:
        return await run(
            ["lfs", "fid2path", "--link", "0", str(self.root), *fids],
            ok_codes=ANY_STATUS,
            output_limit_bytes=OUTPUT_LIMIT_BYTES,
        )

    def _relative(self, line: str) -> PurePosixPath:
        path = PurePosixPath(line)
        return path.relative_to(self.root) if path.is_relative_to(self.root) else path

    async def remove(self, fids: Sequence[Fid]) -> dict[Fid, int]:
        """Remove files with all their links; return those that stayed, with the error number."""
        failed: dict[Fid, int] = {}
        for some in chunks(fids):
            ended = await self._rmfid(some)
            if ended.returncode == 0:
                continue
            named = refusals(ended)
            known = {fid: named[stem(fid)] for fid in some if stem(fid) in named}
            failed.update(known or await self._remove_singly(some))
        return failed

    async def _remove_singly(self, fids: Iterable[Fid]) -> dict[Fid, int]:
        """Try one by one where ``lfs`` did not say which ones failed."""
        failed = {}
        for fid in fids:
            ended = await self._rmfid([fid])
            if ended.returncode != 0:
                failed[fid] = next(iter(refusals(ended).values()), exit_errno(ended))
        return failed

    async def _rmfid(self, fids: Sequence[Fid]) -> Completed:
        return await run(
            ["lfs", "rmfid", str(self.root), *fids],
            ok_codes=ANY_STATUS,
            output_limit_bytes=OUTPUT_LIMIT_BYTES,
        )


def chunks(fids: Sequence[Fid]) -> Iterable[Sequence[Fid]]:
    """Cut FIDs into lists that fit a command line."""
    return (fids[at : at + FIDS_A_PROCESS] for at in range(0, len(fids), FIDS_A_PROCESS))


def stem(fid: Fid) -> str:
    """Return a FID without its version, in whose place ``lfs rmfid`` prints the error."""
    return parse_fid(fid).rpartition(":")[0]


def refusals(ended: Completed) -> Mapping[str, int]:
    """Read which FIDs a program complained about: FID without version -> error number."""
    found = {}
    for line in ended.stderr.lines():
        if match := REFUSAL.search(line):
            found[match[1]] = NUMBERS.get(match[2].strip(), errno.EIO)
    return found


async def find_mounted(file_system: str) -> MountedFileSystem:
    """Return the client mount of a file system, by its name or a path below its mount point.

    A mount of the whole is preferred over one of a folder. Raises ActionError where it is not
    mounted here.
    """
    mounts = client_mounts(await list_mounts())
    if file_system.startswith("/"):
        wanted = PurePosixPath(file_system)
        fitting = [mount for mount in mounts if wanted.is_relative_to(mount.target)]
        fitting.sort(key=lambda mount: len(mount.target), reverse=True)
    else:
        fitting = [mount for mount in mounts if mount.file_system == file_system]
        fitting.sort(key=lambda mount: not mount.is_whole)
    if not fitting:
        here = ", ".join(f"{mount.file_system} on {mount.target}" for mount in mounts) or "none"
        raise ActionError(
            f"{file_system}: no client mount of it on this node (Lustre mounts here: {here});"
            " mount it first"
        )
    return MountedFileSystem(PurePosixPath(fitting[0].target))
