"""Send the lists of FIDs that a scan left to mailboxes; what cannot be sent is an error (W-T3)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import anyio
import anyio.to_thread

from emf_agent.errors import ActionError, EmfError
from emf_plugins_lustre.fids import parse_fid
from emf_plugins_lustre.mailboxes.line_stream import CHUNK_LINES, LineStream
from emf_plugins_lustre.mailboxes.sender import Address, MailboxSender
from emf_plugins_lustre.stratagem.scan_folders import inside

__all__ = ["ListFile", "fid_line", "send_lists"]

MAILBOXES_AT_ONCE = 4


def fid_line(fid: str) -> bytes:
    """Return the line that a mailbox gets for a file."""
    return f'{{ "fid": "{fid}" }}'.encode()


@dataclass
class ListFile:
    """The lines of all files in a folder, read a part at a time."""

    folder: Path
    unreadable: list[str] = field(default_factory=list)
    """Lines that are no FIDs, as ``file:line``."""

    def __post_init__(self) -> None:
        self._fids = self._read()

    def next_fids(self) -> Sequence[str]:
        """Return the next FIDs; none at the end. Blocks on the disk."""
        return list(islice(self._fids, CHUNK_LINES))

    def _read(self) -> Iterator[str]:
        for path in sorted(self.folder.iterdir()):
            if not path.is_file() or path.is_symlink():
                continue
            with path.open(encoding="utf-8", errors="replace") as lines:
                for number, line in enumerate(lines, start=1):
                    if not line.strip():
                        continue
                    try:
                        yield parse_fid(line.strip())
                    except ValueError:
                        self.unreadable.append(f"{path.name}:{number}")


async def send_lists(
    lists: Sequence[tuple[str, str]],
    scan_folder: Path,
    sender: MailboxSender,
    *,
    patience_s: float,
    tell: Callable[[str], None],
) -> None:
    """Send each list to its mailbox, several at once; one that fails does not stop the others.

    Raises ActionError that names each mailbox that did not get all of its list.
    """
    failures: dict[str, str] = {}
    limiter = anyio.CapacityLimiter(MAILBOXES_AT_ONCE)

    async def one(path: str, mailbox: str) -> None:
        async with limiter:
            stream = LineStream(
                sender,
                Address("mailbox", mailbox),
                # The same at each try, so that a repeated action goes on where it broke off.
                stream_id=uuid.uuid5(uuid.NAMESPACE_URL, f"{path}\n{mailbox}").hex,
                patience_s=patience_s,
            )
            try:
                unreadable = await send_list(inside(scan_folder, path), stream)
                if unreadable:
                    failures[mailbox] = f"{len(unreadable)} lines are no FIDs ({unreadable[0]})"
            except (EmfError, OSError) as error:
                failures[mailbox] = str(error)
            tell(f"{mailbox}: {stream.delivered} files delivered, {stream.rejected} rejected")

    async with anyio.create_task_group() as tasks:
        for path, mailbox in lists:
            tasks.start_soon(one, path, mailbox)
    if failures:
        told = [f"{mailbox}: {why}" for mailbox, why in sorted(failures.items())]
        raise ActionError("not all was delivered: " + "; ".join(told))


async def send_list(folder: Path, stream: LineStream) -> Sequence[str]:
    """Send one list; return the lines that are no FIDs."""
    listed = ListFile(folder)
    while fids := await anyio.to_thread.run_sync(listed.next_fids):
        await stream.send([fid_line(fid) for fid in fids])
    await stream.finish()
    return listed.unreadable
