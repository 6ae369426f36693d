"""The actions of ``lustre.postoffice``; its daemon notices what they change."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from emf_agent.plugin import Action, ActionContext, action
from emf_plugins_lustre.file_replacement import edit_text
from emf_plugins_lustre.names import MailboxName
from emf_plugins_lustre.postoffice.routes import check_socket_path, with_route, without_route
from emf_plugins_lustre.postoffice.settings import PostOfficeSettings

__all__ = ["PostOfficeActions"]


class PostOfficeActions:
    """The actions over one file of routes."""

    def __init__(self, settings: PostOfficeSettings) -> None:
        self._settings = settings

    def actions(self) -> Sequence[Action[..., Any]]:
        """Return them."""
        define = action(dry_run=True, idempotent=True, locks=("postoffice",))
        return [define(self.postoffice_add), define(self.postoffice_remove)]

    async def postoffice_add(self, mailbox: MailboxName, context: ActionContext) -> str | None:
        """Open a socket whose lines go to a mailbox of the manager."""
        socket = check_socket_path(self._settings.socket_folder, mailbox)
        changed = await edit_text(
            self._settings.routes_file,
            partial(with_route, mailbox=mailbox),
            dry_run=context.dry_run,
        )
        if not context.dry_run:
            return None
        return f"would open {socket}" if changed else f"would do nothing: {mailbox} is routed"

    async def postoffice_remove(self, mailbox: MailboxName, context: ActionContext) -> str | None:
        """Close a mailbox's socket; what was written there is still delivered."""
        changed = await edit_text(
            self._settings.routes_file,
            partial(without_route, mailbox=mailbox),
            dry_run=context.dry_run,
        )
        if not context.dry_run:
            return None
        return f"would close {mailbox}" if changed else f"would do nothing: {mailbox} is not routed"
