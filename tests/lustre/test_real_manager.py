"""Lines go into the real manager's mailboxes, each once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from emf_plugins_lustre.mailboxes.http_sender import HttpMailboxSender
from emf_plugins_lustre.mailboxes.line_stream import LineStream
from emf_plugins_lustre.mailboxes.sender import Address, UnknownMailboxError
from emf_plugins_lustre.stratagem.fid_lists import fid_line
from tests.lustre.one_loop import anyio_backend

__all__ = ["anyio_backend"]

applications = pytest.importorskip("starlette.applications")
routes = pytest.importorskip("emf_manager.mailboxes.routes")
shelves = pytest.importorskip("emf_manager.mailboxes.shelf")


@dataclass(frozen=True)
class Node:
    fqdn: str = "mds1"
    serial: str = "AB"


class OneNode:
    """A manager to whom the same node always speaks."""

    def peer_of(self, scope: Any) -> Node:
        return Node()

    def refusal(self, caller: Any) -> None:
        return None


@pytest.mark.anyio
async def test_a_stream_that_is_sent_twice_is_stored_once(tmp_path: Path) -> None:
    shelf = shelves.Shelf(tmp_path)
    shelf.create("mailbox", "mb1")
    app = applications.Starlette(routes=routes.mailbox_routes(shelf, OneNode()))
    lines = [fid_line(f"[0x200000bd1:{number:#x}:0x0]") for number in range(2500)]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        sender = HttpMailboxSender(client, "https://manager")
        for _ in range(2):
            stream = LineStream(sender, Address("mailbox", "mb1"), stream_id="s1")
            await stream.send(lines)
            await stream.finish()
            assert (stream.delivered, stream.rejected) == (2500, 0)
        with pytest.raises(UnknownMailboxError):
            await LineStream(sender, Address("mailbox", "nope")).send(lines)
    assert list(shelf.read("mailbox", "mb1")) == lines
