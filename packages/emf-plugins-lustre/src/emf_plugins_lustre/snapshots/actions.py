"""The actions of ``lustre.snapshots``; they run on the MGS, which reaches every target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import StringConstraints

from emf_agent.plugin import Action, ActionContext, action
from emf_plugins_lustre.lctl import change_with_lctl
from emf_plugins_lustre.names import FileSystemName, SnapshotName

__all__ = ["snapshot_actions"]

TIMEOUT_S = 1800.0
LOCK = ("snapshot:{fsname}",)

Comment = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")]


@action(timeout_s=TIMEOUT_S, dry_run=True, locks=LOCK)
async def snapshot_create(
    fsname: FileSystemName,
    name: SnapshotName,
    *,
    use_barrier: bool,
    comment: Comment | None = None,
    context: ActionContext,
) -> str | None:
    """Take a snapshot of a file system, with a write barrier across its MDTs or without."""
    words = ["snapshot_create", *which(fsname, name), "--barrier", "on" if use_barrier else "off"]
    if comment:
        words += ["--comment", comment]
    return await change_with_lctl(*words, context=context)


@action(timeout_s=TIMEOUT_S, dry_run=True, locks=LOCK)
async def snapshot_destroy(
    fsname: FileSystemName, name: SnapshotName, *, force: bool, context: ActionContext
) -> str | None:
    """Destroy a snapshot; with force, also one that lost a part of itself."""
    words = ["snapshot_destroy", *which(fsname, name)]
    return await change_with_lctl(*words, *(["--force"] if force else []), context=context)


@action(timeout_s=TIMEOUT_S, dry_run=True, locks=LOCK)
async def snapshot_mount(
    fsname: FileSystemName, name: SnapshotName, context: ActionContext
) -> str | None:
    """Mount a snapshot's targets on the servers, read-only, so that clients can mount it."""
    return await change_with_lctl("snapshot_mount", *which(fsname, name), context=context)


@action(timeout_s=TIMEOUT_S, dry_run=True, locks=LOCK)
async def snapshot_unmount(
    fsname: FileSystemName, name: SnapshotName, context: ActionContext
) -> str | None:
    """Unmount a snapshot's targets."""
    return await change_with_lctl("snapshot_umount", *which(fsname, name), context=context)


def which(fsname: str, name: str) -> Sequence[str]:
    """Return the options that name a snapshot."""
    return ("--fsname", fsname, "--name", name)


def snapshot_actions() -> Sequence[Action[..., Any]]:
    """Return the actions on snapshots."""
    return [snapshot_create, snapshot_destroy, snapshot_mount, snapshot_unmount]
