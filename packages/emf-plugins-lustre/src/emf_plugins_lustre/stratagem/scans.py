"""The actions that scan an MDT and send what was found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import anyio.to_thread
from pydantic import Field

from emf_agent.command import run
from emf_agent.errors import ActionError
from emf_agent.plugin import ActionContext
from emf_plugins_lustre.mailboxes.http_sender import open_sender
from emf_plugins_lustre.mailboxes.sender import MailboxSender
from emf_plugins_lustre.names import MailboxName
from emf_plugins_lustre.stratagem.fid_lists import send_lists
from emf_plugins_lustre.stratagem.scan_folders import (
    inside,
    make_scan_folder,
    remove_old_scans,
)
from emf_plugins_lustre.stratagem.scan_results import (
    Device,
    Group,
    ScanAnswer,
    mailbox_files,
    parse_result,
)
from emf_plugins_lustre.stratagem.settings import StratagemSettings

__all__ = ["Scans", "SenderDoor"]

SenderDoor = Callable[[], AbstractAsyncContextManager[MailboxSender]]

FidListType = Annotated[str, Field(description='kind of lists for all groups, "none" for none')]


class Scans:
    """Scans of one node."""

    def __init__(self, settings: StratagemSettings, door: SenderDoor | None = None) -> None:
        self._settings = settings
        self._door = door or partial(open_sender, settings.manager)

    async def start_scan_stratagem(
        self,
        flist_type: FidListType,
        *,
        summarize_size: bool,
        device: Device,
        groups: list[Group],
        context: ActionContext,
    ) -> ScanAnswer:
        """Scan an MDT's device; return the folder, the counters, and each list with its mailbox."""
        if context.dry_run:
            context.log(f"would scan {device['path']} for {', '.join(device['groups'])}")
            return ("", {"group_counters": []}, [])
        configuration = {
            "flist_type": flist_type,
            "summarize_size": summarize_size,
            "device": device,
            "groups": groups,
        }
        own = await anyio.to_thread.run_sync(self._prepare, json.dumps(configuration))
        folder = f"{own}/scan/"
        whole = False
        try:
            await run(["lipe_scan", "-c", own / "configuration.json", "-W", folder])
            text = await anyio.Path(folder, "result.json").read_text("utf-8")
            answer = (folder, json.loads(text), mailbox_files(folder, groups, parse_result(text)))
            whole = True
        except OSError as error:
            raise ActionError(f"lipe_scan left no result.json: {error.strerror}") from error
        finally:
            if not whole:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(partial(shutil.rmtree, own, ignore_errors=True))
        return answer

    def _prepare(self, configuration: str) -> Path:
        settings = self._settings
        remove_old_scans(settings.scan_folder, settings.keep_scans_s)
        own = make_scan_folder(settings.scan_folder)
        (own / "configuration.json").write_text(configuration, "utf-8")
        return own

    async def stream_fidlists_stratagem(
        self, lists: list[tuple[str, MailboxName]], context: ActionContext
    ) -> str | None:
        """Send the lists of FIDs that a scan left to mailboxes of the manager."""
        settings = self._settings
        if context.dry_run:
            for path, _ in lists:
                inside(settings.scan_folder, path)
            return "\n".join(f"would send {path} to {mailbox}" for path, mailbox in lists)
        async with self._door() as sender:
            await send_lists(
                lists,
                settings.scan_folder,
                sender,
                patience_s=settings.patience_s,
                tell=context.log,
            )
        return None
