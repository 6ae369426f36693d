"""Mount and unmount a client, and keep fstab in step: the steps behind the actions."""

from __future__ import annotations

import logging
from functools import partial

import anyio

from emf_agent.command import run
from emf_agent.errors import ActionError, CommandError
from emf_plugins_lustre.client.fstab import FstabEntry, with_entry, without_mountpoint
from emf_plugins_lustre.client.settings import ClientSettings
from emf_plugins_lustre.file_replacement import edit_text
from emf_plugins_lustre.mounts import Mount, list_mounts

__all__ = ["Mounting"]

logger = logging.getLogger(__name__)

RELOAD_TIMEOUT_S = 60.0


class Mounting:
    """The client mounts of this node."""

    def __init__(self, settings: ClientSettings) -> None:
        self._fstab = settings.fstab
        self._timeout_s = settings.mount_timeout_s

    async def mount(self, wanted: FstabEntry, *, dry_run: bool) -> str:
        """Mount and enter it in fstab, unless it is mounted; return what was, or would be, done."""
        there = await mounted_at(wanted.mountpoint)
        if there is not None:
            refuse_stranger(there, wanted.mountspec)
            return f"{wanted.mountpoint} is mounted already"
        if dry_run:
            await self.enter(wanted, dry_run=True)
            return f"mount {wanted.mountspec} at {wanted.mountpoint} and enter it in {self._fstab}"
        await make_folder(wanted.mountpoint)
        await run(
            ["mount", "-t", "lustre", wanted.mountspec, wanted.mountpoint],
            timeout_s=self._timeout_s,
        )
        await self.enter(wanted, dry_run=False)
        return f"mounted {wanted.mountspec} at {wanted.mountpoint}"

    async def unmount(self, mountpoint: str, *, dry_run: bool) -> str:
        """Take it out of fstab and unmount it; return what was, or would be, done."""
        there = await mounted_at(mountpoint)
        if there is not None and there.file_system is None:
            raise ActionError(
                f"{mountpoint} holds {there.source} ({there.fs_type}), no Lustre client;"
                " it is not touched"
            )
        entered = await self.remove(mountpoint, dry_run=dry_run)
        if there is None:
            return f"{entered}; {mountpoint} is not mounted"
        if not dry_run:
            await run(["umount", mountpoint], timeout_s=self._timeout_s)
        return f"{entered}; unmount {there.source} from {mountpoint}"

    async def enter(self, wanted: FstabEntry, *, dry_run: bool) -> str:
        """Give the mount point its one line in fstab."""
        changed = await edit_text(self._fstab, partial(with_entry, entry=wanted), dry_run=dry_run)
        if changed and not dry_run:
            await tell_systemd()
        return f"enter {wanted.mountpoint} in {self._fstab}" if changed else "fstab has it already"

    async def enter_with_folder(self, wanted: FstabEntry, *, dry_run: bool) -> str:
        """Make the mount point and give it its line in fstab."""
        if not dry_run:
            await make_folder(wanted.mountpoint)
        return await self.enter(wanted, dry_run=dry_run)

    async def remove(self, mountpoint: str, *, dry_run: bool) -> str:
        """Take a mount point out of fstab."""
        changed = await edit_text(
            self._fstab, partial(without_mountpoint, mountpoint=mountpoint), dry_run=dry_run
        )
        if changed and not dry_run:
            await tell_systemd()
        return f"remove {mountpoint} from {self._fstab}" if changed else "fstab does not have it"


async def mounted_at(mountpoint: str) -> Mount | None:
    """Return what is mounted there, the topmost of several.

    The kernel's table has no symbolic links in its paths. Only the folder above is looked at: the
    mount itself may hang.
    """
    path = anyio.Path(mountpoint)
    target = str(await path.parent.resolve() / path.name)
    found = [mount for mount in await list_mounts() if mount.target == target]
    # An automount point is covered by what it mounts.
    found = [mount for mount in found if mount.fs_type != "autofs"]
    return found[-1] if found else None


def refuse_stranger(there: Mount, mountspec: str) -> None:
    """Raise where something else is mounted; the order of the MGS's addresses does not matter."""
    wanted = mountspec.rpartition(":/")[2].rstrip("/")
    if there.file_system is None or there.source.rpartition(":/")[2].rstrip("/") != wanted:
        raise ActionError(
            f"{there.target} holds {there.source} ({there.fs_type}), not {mountspec};"
            " unmount that first, or take another mount point"
        )


async def make_folder(path: str) -> None:
    """Make the mount point with the folders above it."""
    try:
        await anyio.Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ActionError(f"{path} is there and is no folder; take another mount point") from error
    except OSError as error:
        raise ActionError(f"{path}: {error.strerror} (os error {error.errno})") from error


async def tell_systemd() -> None:
    """Have systemd read fstab again; without systemd there is nobody to tell."""
    try:
        await run(["systemctl", "daemon-reload"], timeout_s=RELOAD_TIMEOUT_S)
    except CommandError as error:
        logger.warning("fstab changed, but systemd was not told: %s", error)
