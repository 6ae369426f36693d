"""The task actions that copy files: to or from another tree, to or from object storage."""

from __future__ import annotations

import errno
import stat
from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath
from typing import Annotated, Literal

import anyio
from pydantic import StringConstraints
from typing_extensions import TypedDict

from emf_agent.command import CommandFailedError, run
from emf_agent.plugin import ActionContext
from emf_plugins_lustre.fids import FailedItem, Fid, FidItem
from emf_plugins_lustre.mounted_file_system import MountedFileSystem, exit_errno, find_mounted
from emf_plugins_lustre.stratagem.settings import StratagemSettings
from emf_plugins_lustre.stratagem.task_items import (
    FileSystem,
    announce,
    failed_items,
    readable,
    work_on,
)

__all__ = ["CloudTask", "Copies", "TreeTask", "object_name"]

Direction = Literal["Push", "Pull"]


class TreeTask(TypedDict):
    """Where the other tree is, and whether files go there or come from there."""

    remote: Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f\x7f]*$")]
    action: Direction


class CloudTask(TypedDict):
    """Which object storage, and whether files go there or come from there."""

    remote: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")]
    action: Direction


class Copies:
    """The copying actions."""

    def __init__(self, settings: StratagemSettings) -> None:
        self._settings = settings

    async def filesync(
        self, file_system: FileSystem, task: TreeTask, items: list[FidItem], context: ActionContext
    ) -> list[FailedItem]:
        """Copy files between the file system and another tree; return those that failed.

        Raises:
            CommandNotFoundError: a program that copies is not on this node.

        """
        mounted = await find_mounted(file_system)
        verb = "copy to" if task["action"] == "Push" else "copy from"
        if context.dry_run:
            return await announce(f"{verb} {task['remote']}:", mounted, items, context)
        remote = PurePosixPath(task["remote"])
        roots = (mounted.root, remote) if task["action"] == "Push" else (remote, mounted.root)
        numbers, paths = await resolve(mounted, items)
        large: list[int] = []

        async def one(place: int, _fid: Fid) -> int | None:
            path = paths.get(place)
            if path is None:
                return numbers[place]
            source, destination = (root / path for root in roots)
            try:
                status = await anyio.Path(source).stat()
                await anyio.Path(destination.parent).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                return error.errno or errno.EIO
            if stat.S_ISDIR(status.st_mode) or status.st_size > self._settings.large_file_bytes:
                large.append(place)
                return None
            return await attempt(["rsync", "-a", "-t", "--", source, destination])

        failed = await work_on(items, self._settings.files_at_once, one, context)
        for place in sorted(large):
            source, destination = (root / paths[place] for root in roots)
            number = await attempt([*self._parallel_copier(), source, destination])
            if number is not None:
                failed += failed_items([items[place]], {0: number})
        return failed

    def _parallel_copier(self) -> Sequence[str | PurePath]:
        settings = self._settings
        return (
            settings.mpi_folder / "mpirun",
            "--allow-run-as-root",
            "-c",
            str(settings.mpi_processes),
            "--hostfile",
            settings.mpi_hosts,
            "dsync",
            "-S",
        )

    async def cloudsync(
        self, file_system: FileSystem, task: CloudTask, items: list[FidItem], context: ActionContext
    ) -> list[FailedItem]:
        """Copy files to or from object storage; return those that failed.

        Raises:
            CommandNotFoundError: ``stgm_cloudsync`` is not on this node.

        """
        mounted = await find_mounted(file_system)
        verb = "push to" if task["action"] == "Push" else "pull from"
        if context.dry_run:
            return await announce(f"{verb} {task['remote']}:", mounted, items, context)
        numbers, paths = await resolve(mounted, items)

        async def one(place: int, _fid: Fid) -> int | None:
            path = paths.get(place)
            if path is None:
                return numbers[place]
            local = str(mounted.root / path)
            remote = f"{task['remote']}:{object_name(path)}"
            if task["action"] == "Push":
                return await attempt(["stgm_cloudsync", "push", local, remote])
            return await attempt(["stgm_cloudsync", "pull", remote, local])

        return await work_on(items, self._settings.files_at_once, one, context)


async def resolve(
    mounted: MountedFileSystem, items: Sequence[FidItem]
) -> tuple[dict[int, int], dict[int, PurePosixPath]]:
    """Return the failures and the paths of items with a good FID, by place."""
    good = readable(items)
    found = await mounted.paths(list(dict.fromkeys(good.values())))
    numbers: dict[int, int] = {}
    paths: dict[int, PurePosixPath] = {}
    for place, fid in good.items():
        path = found[fid]
        if isinstance(path, PurePosixPath):
            paths[place] = path
        else:
            numbers[place] = path
    return numbers, paths


async def attempt(words: Sequence[str | PurePath]) -> int | None:
    """Run a program that copies one file; return the number of its failure, if it failed."""
    try:
        await run(words)
    except CommandFailedError as error:
        return exit_errno(error.completed)
    return None


def object_name(path: PurePosixPath) -> str:
    """Return the object of a path, by the ancestor's rule: stored objects go on being found."""
    return str(path).replace("_", "__").replace("/", "_")
