"""The actions of ``lustre.hotpools``: they write configurations, and start nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from emf_agent.errors import ActionError
from emf_agent.plugin import Action, ActionContext, action
from emf_plugins_lustre.file_replacement import replace_text
from emf_plugins_lustre.hotpools.configurations import Lamigo, Lpurge
from emf_plugins_lustre.hotpools.settings import HotPoolSettings
from emf_plugins_lustre.names import FileSystemName, MailboxName, MountPoint, PoolName, TargetIndex

__all__ = ["HotPoolActions"]

ChangelogUser = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"),
    Field(description="a user of the MDT's changelog", examples=["cl1"]),
]
HeatFunction = Annotated[str, StringConstraints(pattern=r"^[^\s=]{1,64}$")]
Seconds = Annotated[int, Field(ge=0, le=2**32 - 1)]
Percent = Annotated[int, Field(ge=0, le=255)]


class HotPoolActions:
    """The actions, with the paths they write to."""

    def __init__(self, settings: HotPoolSettings) -> None:
        self._settings = settings

    def actions(self) -> Sequence[Action[..., Any]]:
        """Return them."""
        return [
            action(dry_run=True, idempotent=True, locks=("lamigo:{fs}",))(self.create_lamigo_conf),
            action(dry_run=True, idempotent=True, locks=("lpurge:{fs}",))(self.create_lpurge_conf),
        ]

    async def create_lamigo_conf(
        self,
        fs: FileSystemName,
        mdt: TargetIndex,
        user: ChangelogUser,
        hot_pool: PoolName,
        cold_pool: PoolName,
        min_age: Seconds,
        mountpoint: MountPoint,
        mailbox_extend: MailboxName,
        mailbox_resync: MailboxName,
        context: ActionContext,
        heatfn: HeatFunction | None = None,
    ) -> str | None:
        """Write lamigo's configuration for an MDT: which files get a mirror in the cold pool."""
        one = Lamigo(
            fs,
            mdt,
            user,
            hot_pool,
            cold_pool,
            min_age,
            mountpoint,
            mailbox_extend,
            mailbox_resync,
            heatfn,
        )
        settings = self._settings
        return await write(
            one.path(settings.lamigo_conf), one.text(settings.socket_folder), context
        )

    async def create_lpurge_conf(
        self,
        fs: FileSystemName,
        pool: PoolName,
        ost: TargetIndex,
        freehi: Percent,
        freelo: Percent,
        mailbox: MailboxName,
        context: ActionContext,
    ) -> str | None:
        """Write lpurge's configuration for an OST: when mirrors leave the hot pool."""
        if freelo > freehi:
            raise ActionError(f"freelo: {freelo} is more than freehi ({freehi})")
        one = Lpurge(fs, pool, ost, freehi, freelo, mailbox)
        settings = self._settings
        return await write(
            one.path(settings.lpurge_conf), one.text(settings.socket_folder), context
        )


async def write(path: Path, text: str, context: ActionContext) -> str | None:
    """Write a configuration, or say which."""
    changed = await replace_text(path, text, dry_run=context.dry_run)
    if not context.dry_run:
        return None
    return f"would write {path}" if changed else f"would leave {path} as it is"
