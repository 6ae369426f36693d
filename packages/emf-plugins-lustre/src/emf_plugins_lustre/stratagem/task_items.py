"""What all task actions share: take a batch of files, work on some at once, return what failed."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated

import anyio
from pydantic import StringConstraints

from emf_agent.plugin import ActionContext
from emf_plugins_lustre.fids import FailedItem, Fid, FidItem, parse_fid
from emf_plugins_lustre.mounted_file_system import MountedFileSystem, shown
from emf_plugins_lustre.names import FILE_SYSTEM

__all__ = ["FileSystem", "Work", "announce", "failed_items", "readable", "work_on"]

FileSystem = Annotated[str, StringConstraints(pattern=rf"^({FILE_SYSTEM}|/[^\x00-\x1f\x7f]+)$")]
"""A file system's name, or a path below its mount point."""

Work = Callable[[int, Fid], Awaitable[int | None]]
"""Works on one file, given by its place in the batch too; returns the number of its failure."""

MOST_NAMED = 100


@dataclass
class Failures:
    """What failed, by the item's place in the batch."""

    numbers: dict[int, int] = field(default_factory=dict)
    error: Exception | None = None
    """What ended the whole batch."""


def readable(items: Sequence[FidItem]) -> Mapping[int, Fid]:
    """Return the FIDs of the items that have a good one, by place."""
    found = {}
    for place, item in enumerate(items):
        try:
            found[place] = parse_fid(item["fid"])
        except ValueError:
            continue
    return found


def failed_items(items: Sequence[FidItem], numbers: Mapping[int, int]) -> list[FailedItem]:
    """Return failures in the order of the batch; a FID that is none is an invalid argument."""
    good = readable(items)
    return [
        {"fid": item["fid"], "data": item["data"], "errno": numbers.get(place, errno.EINVAL)}
        for place, item in enumerate(items)
        if place in numbers or place not in good
    ]


async def work_on(
    items: Sequence[FidItem], at_once: int, work: Work, context: ActionContext
) -> list[FailedItem]:
    """Work on each item, some at once; return the items that failed.

    An exception of ``work`` ends the whole batch: nothing can be said about the rest.
    """
    failures = Failures()
    done = 0

    async def one(place: int, fid: Fid) -> None:
        nonlocal done
        try:
            async with limiter:
                number = await work(place, fid)
        except Exception as error:  # noqa: BLE001 - raised below, outside the task group
            failures.error = failures.error or error
            tasks.cancel_scope.cancel()
            return
        if number is not None:
            failures.numbers[place] = number
        done += 1
        context.progress(done / len(items))

    limiter = anyio.CapacityLimiter(at_once)
    async with anyio.create_task_group() as tasks:
        for place, fid in readable(items).items():
            tasks.start_soon(one, place, fid)
    if failures.error is not None:
        raise failures.error
    return failed_items(items, failures.numbers)


async def announce(
    verb: str, mounted: MountedFileSystem, items: Sequence[FidItem], context: ActionContext
) -> list[FailedItem]:
    """Tell in a dry run which files would be touched; return those that cannot be found."""
    good = readable(items)
    paths = await mounted.paths(list(dict.fromkeys(good.values())))
    numbers = {}
    named = []
    for place, fid in good.items():
        path = paths[fid]
        if isinstance(path, PurePosixPath):
            named.append(f"would {verb} {shown(mounted.root / path)} {fid}")
        else:
            numbers[place] = path
    for line in named[:MOST_NAMED]:
        context.log(line)
    if len(named) > MOST_NAMED:
        context.log(f"would {verb} {len(named) - MOST_NAMED} more files")
    return failed_items(items, numbers)
