"""The actions of ``lustre.client``. ``null`` is their answer; a dry run's is what would be done."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from typing_extensions import TypedDict

from emf_agent.plugin import Action, ActionContext, action
from emf_plugins_lustre.client.fstab import FstabEntry
from emf_plugins_lustre.client.mounting import Mounting
from emf_plugins_lustre.client.settings import ClientSettings
from emf_plugins_lustre.names import MountPoint, MountSpec

__all__ = ["ClientActions", "MountRequest", "UnmountRequest"]

ONE_S = 1500.0
MANY_S = 4 * 3600.0


class MountRequest(TypedDict):
    """One of the mounts of ``mount_many``."""

    mountspec: MountSpec
    mountpoint: MountPoint
    persist: bool


class UnmountRequest(TypedDict):
    """One of the mounts of ``unmount_many``."""

    mountspec: MountSpec
    mountpoint: MountPoint


class ClientActions:
    """The actions over one fstab."""

    def __init__(self, settings: ClientSettings) -> None:
        self._mounting = Mounting(settings)

    def actions(self) -> Sequence[Action[..., Any]]:
        """Return them; all edit fstab, so one lock holds them apart.

        Mounting may wait for servers, and outlives the agent: half a mount helps nobody.
        """
        entry = partial(action, dry_run=True, idempotent=True, locks=("fstab",))
        one = partial(entry, timeout_s=ONE_S, detached=True)
        many = partial(entry, timeout_s=MANY_S, detached=True)
        return [
            one()(self.mount),
            many()(self.mount_many),
            one()(self.unmount),
            many()(self.unmount_many),
            entry()(self.add_fstab_entry),
            entry()(self.remove_fstab_entry),
        ]

    async def mount(
        self, mountspec: MountSpec, mountpoint: MountPoint, *, persist: bool, context: ActionContext
    ) -> str | None:
        """Mount a file system and enter it in fstab, to be mounted at boot if it persists.

        What is mounted already stays as it is, fstab included.
        """
        wanted = FstabEntry(mountspec, mountpoint, persist)
        done = await self._mounting.mount(wanted, dry_run=context.dry_run)
        return answer([done], context)

    async def mount_many(self, mounts: list[MountRequest], context: ActionContext) -> str | None:
        """Mount one file system after the other; stops at the first error."""
        done = []
        for position, one in enumerate(mounts):
            context.progress(position / len(mounts), one["mountpoint"])
            done.append(await self._mounting.mount(FstabEntry(**one), dry_run=context.dry_run))
        return answer(done, context)

    async def unmount(
        self,
        mountspec: MountSpec,  # noqa: ARG002 - part of the request; the mount point decides
        mountpoint: MountPoint,
        context: ActionContext,
    ) -> str | None:
        """Take a file system out of fstab and unmount it."""
        return answer([await self._mounting.unmount(mountpoint, dry_run=context.dry_run)], context)

    async def unmount_many(
        self, mounts: list[UnmountRequest], context: ActionContext
    ) -> str | None:
        """Unmount one file system after the other; stops at the first error."""
        done = []
        for position, one in enumerate(mounts):
            context.progress(position / len(mounts), one["mountpoint"])
            done.append(await self._mounting.unmount(one["mountpoint"], dry_run=context.dry_run))
        return answer(done, context)

    async def add_fstab_entry(
        self, mountspec: MountSpec, mountpoint: MountPoint, *, persist: bool, context: ActionContext
    ) -> str | None:
        """Enter a file system in fstab, and make its mount point; nothing is mounted."""
        wanted = FstabEntry(mountspec, mountpoint, persist)
        done = await self._mounting.enter_with_folder(wanted, dry_run=context.dry_run)
        return answer([done], context)

    async def remove_fstab_entry(
        self,
        mountspec: MountSpec,  # noqa: ARG002 - part of the request; the mount point decides
        mountpoint: MountPoint,
        *,
        persist: bool,  # noqa: ARG002 - as above
        context: ActionContext,
    ) -> str | None:
        """Take a file system out of fstab; nothing is unmounted."""
        return answer([await self._mounting.remove(mountpoint, dry_run=context.dry_run)], context)


def answer(done: Sequence[str], context: ActionContext) -> str | None:
    """Return a dry run's answer; what was really done goes to whoever follows the action."""
    if context.dry_run:
        return "\n".join(f"would: {one}" for one in done)
    for one in done:
        context.log(one)
    return None
