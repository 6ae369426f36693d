"""The task actions on mirrors: make one, bring it up to date, take it away."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

from emf_agent.command import CommandFailedError, CommandNotStartedError, run
from emf_agent.errors import ActionError
from emf_agent.plugin import ActionContext
from emf_plugins_lustre.fids import FailedItem, Fid, FidItem, TaskArguments
from emf_plugins_lustre.mounted_file_system import MountedFileSystem, exit_errno, find_mounted
from emf_plugins_lustre.names import is_pool_name
from emf_plugins_lustre.stratagem.settings import StratagemSettings
from emf_plugins_lustre.stratagem.task_items import FileSystem, announce, work_on

__all__ = ["Mirrors"]

STRIPING_WORD = re.compile(r"[-A-Za-z0-9_.,:=+]+")


class Mirrors:
    """The actions on mirrors of files."""

    def __init__(self, settings: StratagemSettings) -> None:
        self._at_once = settings.files_at_once

    async def extend(
        self,
        file_system: FileSystem,
        task: TaskArguments,
        items: list[FidItem],
        context: ActionContext,
    ) -> list[FailedItem]:
        """Give files one more mirror, in a pool; return those that failed.

        Raises:
            ActionError: no ``pool``, or ``striping`` that is no list of options.

        """
        words = ["extend", "-N", "-p", pool_of(task), *striping_of(task)]
        return await self._each("mirror", words, file_system, items, context)

    async def resync(
        self,
        file_system: FileSystem,
        task: TaskArguments,  # noqa: ARG002 - every task has arguments; these mean nothing here
        items: list[FidItem],
        context: ActionContext,
    ) -> list[FailedItem]:
        """Bring the mirrors of files up to date; return those that failed."""
        return await self._each("resync", ["resync"], file_system, items, context)

    async def split(
        self,
        file_system: FileSystem,
        task: TaskArguments,
        items: list[FidItem],
        context: ActionContext,
    ) -> list[FailedItem]:
        """Take away and destroy the mirror of files in a pool; return those that failed.

        Raises:
            ActionError: no ``pool``.

        """
        pool = pool_of(task)
        words = ["split", "-d", "-p", pool]
        return await self._each(f"split from {pool}", words, file_system, items, context)

    async def _each(
        self,
        verb: str,
        words: Sequence[str],
        file_system: str,
        items: Sequence[FidItem],
        context: ActionContext,
    ) -> list[FailedItem]:
        mounted = await find_mounted(file_system)
        if context.dry_run:
            return await announce(verb, mounted, items, context)

        async def one(_place: int, fid: Fid) -> int | None:
            return await mirror(words, mounted, fid)

        return await work_on(items, self._at_once, one, context)


async def mirror(words: Sequence[str], mounted: MountedFileSystem, fid: str) -> int | None:
    """Run ``lfs mirror`` on a file; return the number of its failure, if it failed (W-P8)."""
    try:
        await run(["lfs", "mirror", *words, str(mounted.by_fid(fid))])
    except CommandFailedError as error:
        return exit_errno(error.completed)
    except CommandNotStartedError:
        return errno.ENOENT
    return None


def pool_of(task: TaskArguments) -> str:
    """Return the task's pool."""
    pool = task.get("pool")
    if not pool:
        raise ActionError("task argument pool missing")
    if not is_pool_name(pool):
        raise ActionError(f"task argument pool: {pool!r} is no name of a pool")
    return pool


def striping_of(task: TaskArguments) -> Sequence[str]:
    """Return the options of striping; nothing in them can name another file."""
    words = task.get("striping", "").split()
    for word in words:
        if not STRIPING_WORD.fullmatch(word):
            raise ActionError(f"task argument striping: {word!r} is no option and no value")
    if words and not words[0].startswith("-"):
        raise ActionError(f"task argument striping: begins with {words[0]!r}, not with an option")
    return words
