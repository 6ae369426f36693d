"""The task action that deletes files."""

from __future__ import annotations

from emf_agent.plugin import ActionContext
from emf_plugins_lustre.fids import FailedItem, FidItem, TaskArguments
from emf_plugins_lustre.mounted_file_system import find_mounted
from emf_plugins_lustre.stratagem.task_items import FileSystem, announce, failed_items, readable

__all__ = ["purge"]


async def purge(
    file_system: FileSystem,
    task: TaskArguments,  # noqa: ARG001 - every task has arguments; these mean nothing here
    items: list[FidItem],
    context: ActionContext,
) -> list[FailedItem]:
    """Delete files with all their links; return those that were not deleted."""
    mounted = await find_mounted(file_system)
    if context.dry_run:
        return await announce("delete", mounted, items, context)
    good = readable(items)
    stayed = await mounted.remove(list(dict.fromkeys(good.values())))
    numbers = {place: stayed[fid] for place, fid in good.items() if fid in stayed}
    context.log(f"deleted {len(good) - len(numbers)} files of {mounted.root}")
    return failed_items(items, numbers)
