"""The actions of ``lustre.targets``: ``lctl`` under the site's policy, and ldev.conf."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import StringConstraints
from typing_extensions import NotRequired, TypedDict

from emf_agent.errors import ActionError
from emf_agent.plugin import Action, ActionContext, action
from emf_plugins_lustre.file_replacement import edit_text
from emf_plugins_lustre.lctl import lctl
from emf_plugins_lustre.names import NodeName
from emf_plugins_lustre.targets.lctl_policy import command_words, is_allowed
from emf_plugins_lustre.targets.ldev import BackFileSystem, LdevEntry, with_entries
from emf_plugins_lustre.targets.settings import TargetSettings

__all__ = ["LdevRequest", "TargetActions"]

Word = Annotated[str, StringConstraints(pattern=r"^[^\s#-][^\s]*$")]


class LdevRequest(TypedDict):
    """One target of ldev.conf."""

    primary: NodeName
    failover: NotRequired[NodeName | None]
    label: Word
    device: Word
    fs_type: NotRequired[BackFileSystem | None]


class TargetActions:
    """The actions under one policy."""

    def __init__(self, settings: TargetSettings) -> None:
        self._allowed = settings.lctl_allow
        self._ldev_conf = settings.ldev_conf

    def actions(self) -> Sequence[Action[..., Any]]:
        """Return them."""
        return [
            action(dry_run=True)(self.lctl),
            action(dry_run=True, idempotent=True, locks=("ldev.conf",))(self.create_ldev_conf),
        ]

    async def lctl(self, arguments: list[str], context: ActionContext) -> str:
        """Run lctl and return what it printed; commands that change need the site's allowance."""
        if not is_allowed(arguments, self._allowed):
            words = command_words(arguments)
            if not words:
                raise ActionError('lctl: give a command and its arguments, as in ["list_nids"]')
            raise ActionError(
                f"lctl {words[0]} is not allowed on this node; to allow it, add it to lctl_allow"
                ' of [plugin."lustre.targets"], as in lctl_allow = ["set_param obdfilter.*"]'
            )
        if context.dry_run:
            return f"would run: lctl {' '.join(arguments)}"
        return (await lctl(*arguments)).stdout.text

    async def create_ldev_conf(
        self, entries: list[LdevRequest], context: ActionContext
    ) -> str | None:
        """Write ldev.conf, which tells each server its targets; comments in it stay."""
        if not entries:
            raise ActionError("entries: must not be empty; ldev.conf would lose every target")
        wanted = [
            LdevEntry(
                primary=one["primary"],
                failover=one.get("failover"),
                label=one["label"],
                device=one["device"],
                fs_type=one.get("fs_type"),
            )
            for one in entries
        ]
        changed = await edit_text(
            self._ldev_conf, partial(with_entries, entries=wanted), dry_run=context.dry_run
        )
        if context.dry_run:
            verb = "would write" if changed else "would leave as it is:"
            return f"{verb} {self._ldev_conf}, {len(wanted)} targets"
        return None
