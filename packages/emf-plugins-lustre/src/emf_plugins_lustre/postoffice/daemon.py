"""The daemon ``postoffice``: a socket for each mailbox with a route. It sends no data itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import ClassVar

import anyio
import anyio.abc
import anyio.to_thread

from emf_agent.errors import EmfError
from emf_agent.plugin import Daemon, DaemonFault, FatalStartError, NotApplicableError
from emf_plugins_lustre.file_replacement import read_text_or_none, replace_text
from emf_plugins_lustre.mailboxes.http_sender import open_sender
from emf_plugins_lustre.mailboxes.sender import MailboxSender
from emf_plugins_lustre.postoffice.branch import Branch
from emf_plugins_lustre.postoffice.routes import check_socket_path, parse_routes
from emf_plugins_lustre.postoffice.settings import PostOfficeSettings
from emf_plugins_lustre.postoffice.spool import Spool

__all__ = ["PostOffice"]

logger = logging.getLogger(__name__)

SenderDoor = Callable[[], AbstractAsyncContextManager[MailboxSender]]


class PostOffice(Daemon):
    """Opens and closes branches as the file of routes says, which it reads every second."""

    name: ClassVar[str] = "postoffice"
    look_every_s: ClassVar[float] = 1.0
    """By content: an editor that replaces the file is as good as one that writes into it."""
    gather_s: ClassVar[float] = 0.5
    """How long the first line of a request waits for more."""

    def __init__(
        self, settings: PostOfficeSettings | None = None, door: SenderDoor | None = None
    ) -> None:
        self._settings = settings or PostOfficeSettings()
        self._door = door or partial(open_sender, self._settings.manager)
        self._has_address = door is not None or self._settings.manager.url is not None
        self._branches: dict[str, Branch] = {}
        self._complaints: tuple[str, ...] = ()

    async def start_session(self) -> None:
        """Read the routes, making the file where there is none.

        Raises:
            NotApplicableError: no manager's address is configured, and there is no route.
            FatalStartError: there are routes, and no address.

        """
        text = await read_text_or_none(self._settings.routes_file)
        if not self._has_address:
            reason = "manager.url is not set, so that no line could be delivered"
            if text and text.strip():
                raise FatalStartError(f"{self._settings.routes_file} has routes, but {reason}")
            raise NotApplicableError(reason)
        if text is None:
            await replace_text(self._settings.routes_file, "")

    async def update_session(self) -> None:
        """Send nothing.

        Raises:
            DaemonFault: a branch cannot take lines or cannot deliver them; with each reason.

        """
        troubles = [
            f"{name}: {branch.trouble}"
            for name, branch in sorted(self._branches.items())
            if branch.trouble is not None
        ]
        if troubles or self._complaints:
            raise DaemonFault("; ".join([*self._complaints, *troubles]))

    async def watch_session(self) -> None:
        """Keep the branches as the routes are, until the session ends."""
        left_over = await anyio.to_thread.run_sync(self._prepare)
        async with self._door() as sender, anyio.create_task_group() as tasks:
            for name in left_over:
                await self._establish(name, sender, tasks, listens=False)
            while True:
                await self._follow_routes(sender, tasks)
                await anyio.sleep(self.look_every_s)

    def _prepare(self) -> list[str]:
        """Make the folders; return the mailboxes for which an earlier life left lines."""
        state = self.context.state_directory
        self._settings.socket_folder.mkdir(parents=True, exist_ok=True)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        return sorted(path.name for path in state.iterdir() if path.is_dir())

    async def _follow_routes(self, sender: MailboxSender, tasks: anyio.abc.TaskGroup) -> None:
        try:
            text = await read_text_or_none(self._settings.routes_file)
        except EmfError as error:
            self._complaints = (str(error),)
            return
        routes, complaints = parse_routes(text or "")
        for name in sorted(routes):
            if name in self._branches:
                self._branches[name].open()
            elif (
                complaint := await self._establish(name, sender, tasks, listens=True)
            ) is not None:
                complaints = (*complaints, complaint)
        for name, branch in self._branches.items():
            if name not in routes:
                branch.close()
        # At once: in between, an update would find less to complain about.
        self._complaints = complaints

    async def _establish(
        self, name: str, sender: MailboxSender, tasks: anyio.abc.TaskGroup, *, listens: bool
    ) -> str | None:
        """Make a branch; return why it could not be made."""
        folder = self.context.state_directory / name
        make = partial(Spool, folder, self._settings.spool_bytes)
        try:
            socket = check_socket_path(self._settings.socket_folder, name)
            spool = await anyio.to_thread.run_sync(make)
        except (EmfError, OSError, ValueError) as error:
            complaint = f"{name}: {error}"
            if complaint not in self._complaints:
                logger.error("no branch for mailbox=%s: %s", name, error)
            return complaint
        branch = Branch(name, socket, spool, gather_s=self.gather_s)
        self._branches[name] = branch
        tasks.start_soon(self._run, name, branch, spool, sender, listens)
        return None

    async def _run(
        self,
        name: str,
        branch: Branch,
        spool: Spool,
        sender: MailboxSender,
        listens: bool,  # noqa: FBT001 - start_soon takes no names
    ) -> None:
        logger.info("branch open mailbox=%s", name)
        try:
            await branch.run(sender, listens=listens)
            # Before another branch of this name may be made.
            await anyio.to_thread.run_sync(spool.remove_if_empty)
        finally:
            del self._branches[name]
        logger.info("branch closed mailbox=%s", name)
