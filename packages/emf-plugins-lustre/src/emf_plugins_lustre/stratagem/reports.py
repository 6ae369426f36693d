"""The task action that writes the paths of files to a report on the manager."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import PurePosixPath

from pydantic import JsonValue

from emf_agent.errors import ActionError
from emf_agent.plugin import ActionContext
from emf_plugins_lustre.fids import FailedItem, Fid, FidItem, TaskArguments, parse_fid
from emf_plugins_lustre.mailboxes.http_sender import open_sender
from emf_plugins_lustre.mailboxes.line_stream import LineStream
from emf_plugins_lustre.mailboxes.sender import Address
from emf_plugins_lustre.mounted_file_system import MountedFileSystem, find_mounted, shown
from emf_plugins_lustre.names import is_report_name
from emf_plugins_lustre.stratagem.scans import SenderDoor
from emf_plugins_lustre.stratagem.settings import StratagemSettings
from emf_plugins_lustre.stratagem.task_items import FileSystem, failed_items, readable

__all__ = ["Reports", "parents_of"]

GROUP = 1000


class Reports:
    """Reports about files."""

    def __init__(self, settings: StratagemSettings, door: SenderDoor | None = None) -> None:
        self._patience_s = settings.patience_s
        self._door = door or partial(open_sender, settings.manager)

    async def warning(
        self,
        file_system: FileSystem,
        task: TaskArguments,
        items: list[FidItem],
        context: ActionContext,
    ) -> list[FailedItem]:
        """Write the paths of files to a report on the manager; return those without a path.

        Raises:
            ActionError: no ``report_name``, or one that is no plain name of a file.
            ManagerUnreachableError, ManagerRefusedError: the report is not complete (W-T3).

        """
        name = report_of(task)
        mounted = await find_mounted(file_system)
        numbers: dict[int, int] = {}
        if context.dry_run:
            async for place, path in found_paths(mounted, items):
                if path is None:
                    numbers[place] = errno.ENOENT
                else:
                    context.log(f"would report {shown(path)} in {name}")
            return failed_items(items, numbers)
        async with self._door() as sender:
            stream = LineStream(sender, Address("report", name), patience_s=self._patience_s)
            lines: list[bytes] = []
            async for place, path in found_paths(mounted, items):
                if path is None:
                    numbers[place] = errno.ENOENT
                    continue
                lines.append(line_of(path))
                if len(lines) == GROUP:
                    await stream.send(lines)
                    context.progress(place / len(items))
                    lines = []
            await stream.send(lines)
            await stream.finish()
        return failed_items(items, numbers)


def report_of(task: TaskArguments) -> str:
    """Return the name of the task's report."""
    name = task.get("report_name")
    if not name:
        raise ActionError('"task argument report_name missing"')
    if not is_report_name(name):
        raise ActionError(f"task argument report_name: {name!r} is no plain name of a file")
    return name


def line_of(path: PurePosixPath) -> bytes:
    """Return a path as a line; a newline in it must not look like the end of one."""
    return os.fsencode(path).replace(b"\n", b"\\n")


def parents_of(data: JsonValue) -> Sequence[tuple[Fid, str]]:
    """Return the links that a scan noted: FID of the folder and name in it; none in other data."""
    if not isinstance(data, list):
        return ()
    links = []
    for link in data:
        match link:
            case {"pfid": str(folder), "name": str(name)}:
                try:
                    links.append((parse_fid(folder), name))
                except ValueError:
                    return ()
            case _:
                return ()
    return links


async def found_paths(
    mounted: MountedFileSystem, items: Sequence[FidItem]
) -> AsyncIterator[tuple[int, PurePosixPath | None]]:
    """Yield the place and the path of each item with a good FID; None where there is no path.

    A link that the scan noted is preferred: it tells the name by which the scan met the file.
    """
    places = iter(readable(items).items())
    while group := dict(islice(places, GROUP)):
        links = {place: parents_of(items[place]["data"]) for place in group}
        folders = await mounted.paths(unique(fid for some in links.values() for fid, _ in some))
        named = {place: linked(some, folders) for place, some in links.items()}
        others = await mounted.paths(unique(group[place] for place in group if not named[place]))
        for place, fid in group.items():
            path = named[place] or others[fid]
            yield place, mounted.root / path if isinstance(path, PurePosixPath) else None


def linked(
    links: Sequence[tuple[Fid, str]], folders: Mapping[Fid, PurePosixPath | int]
) -> PurePosixPath | None:
    """Return the path by the first link whose folder is known."""
    for fid, name in links:
        folder = folders[fid]
        if isinstance(folder, PurePosixPath):
            return folder / name
    return None


def unique(fids: Iterable[Fid]) -> list[Fid]:
    """Return each FID once, in order."""
    return list(dict.fromkeys(fids))
