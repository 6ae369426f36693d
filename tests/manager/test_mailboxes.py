"""Mailboxes: each line of a stream once, in order, whatever breaks in between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from emf_manager.callers import Caller
from emf_manager.mailboxes.routes import mailbox_routes
from emf_manager.mailboxes.shelf import (
    MailboxNameError,
    NotJoiningError,
    Shelf,
    UnknownMailboxError,
)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    made = Shelf(tmp_path / "mailboxes")
    made.create("mailbox", "box")
    made.create("report", "report")
    return made


def items(first: int, last: int) -> list[bytes]:
    return [json.dumps({"fid": f"[0x1:{n}:0x0]"}).encode() for n in range(first, last)]


def put(shelf: Shelf, offset: int, lines: list[bytes], **more: Any) -> tuple[int, int]:
    given_ = {"node": "n1", "stream": "s", "offset": offset, "lines": lines, **more}
    receipt = shelf.append("mailbox", "box", **given_)
    return receipt.next_offset, receipt.rejected


def test_chunks_join_and_repeats_are_passed_over(shelf: Shelf) -> None:
    assert put(shelf, 0, items(0, 3)) == (3, 0)
    assert put(shelf, 0, items(0, 3)) == (3, 0)
    assert put(shelf, 2, items(2, 5)) == (5, 0)

    assert list(shelf.read("mailbox", "box")) == items(0, 5)


def test_a_gap_is_refused_and_says_where_the_stream_goes_on(shelf: Shelf) -> None:
    put(shelf, 0, items(0, 3))

    with pytest.raises(NotJoiningError) as caught:
        put(shelf, 4, items(4, 5))

    assert caught.value.next_offset == 3


def test_a_torn_chunk_is_cut_off_by_the_next(shelf: Shelf, tmp_path: Path) -> None:
    put(shelf, 0, items(0, 2))
    (file,) = (tmp_path / "mailboxes" / "mailbox" / "box").glob("*.ndjson")
    with file.open("ab") as torn:
        torn.write(b'{"fid": "half')

    assert list(shelf.read("mailbox", "box")) == items(0, 2)
    put(shelf, 2, items(2, 4))
    assert list(shelf.read("mailbox", "box")) == items(0, 4)


def test_lines_that_are_no_item_are_counted_and_not_stored(shelf: Shelf) -> None:
    bad = [b"not json", b"[]", b'{"fid": 3}', b"{}", b"\xff\xfe"]

    assert put(shelf, 0, [*bad, *items(0, 1)]) == (6, 5)
    assert list(shelf.read("mailbox", "box")) == items(0, 1)


def test_a_report_takes_any_text(shelf: Shelf) -> None:
    shelf.append("report", "report", node="n", stream="s", offset=0, lines=[b"a line"])

    assert list(shelf.read("report", "report")) == [b"a line"]


def test_streams_of_two_nodes_never_mix(shelf: Shelf) -> None:
    put(shelf, 0, items(0, 2), node="n1")
    put(shelf, 0, items(5, 6), node="n2")

    (summary,) = [one for one in shelf.summaries() if one.name == "box"]
    assert (summary.streams, summary.lines) == (2, 3)


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "/etc/passwd", "a/b", "a\0b", ".hidden", "x" * 201]
)
def test_a_name_never_leads_out_of_the_folder(shelf: Shelf, name: str) -> None:
    with pytest.raises(MailboxNameError):
        shelf.create("mailbox", name)
    with pytest.raises(MailboxNameError):
        shelf.append("mailbox", name, node="n", stream="s", offset=0, lines=[])


def test_what_is_not_there_cannot_be_written_read_or_removed(shelf: Shelf) -> None:
    with pytest.raises(UnknownMailboxError, match="mailbox create"):
        shelf.append("mailbox", "ghost", node="n", stream="s", offset=0, lines=[])
    with pytest.raises(UnknownMailboxError):
        list(shelf.read("mailbox", "ghost"))
    shelf.remove("mailbox", "box")
    with pytest.raises(UnknownMailboxError):
        shelf.remove("mailbox", "box")


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    chunks=st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 4), st.booleans()), min_size=1, max_size=15
    )
)
def test_any_order_of_chunks_repeats_and_tears_stores_each_line_once(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[int, int, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("shelf")
    shelf = Shelf(folder)
    shelf.create("mailbox", "box")
    stored = 0
    for back, count, torn in chunks:
        offset = max(0, stored - back)
        stored, _ = put(shelf, offset, items(offset, offset + count))
        if torn:
            for file in (folder / "mailbox" / "box").glob("*.ndjson"):
                with file.open("ab") as out:
                    out.write(b"torn")

    assert list(shelf.read("mailbox", "box")) == items(0, stored)


@dataclass(frozen=True)
class FakePeer:
    fqdn: str = "n1"
    serial: str = "AB"


class FakePeers:
    def __init__(self, peer: FakePeer | None = FakePeer(), *, revoked: bool = False) -> None:
        self.peer = peer
        self.revoked = revoked

    def peer_of(self, scope: Any) -> FakePeer | None:
        return self.peer

    def refusal(self, caller: Caller) -> str | None:
        return "revoked" if self.revoked else None


async def post(
    shelf: Shelf, body: Any, headers: dict[str, str], peers: FakePeers | None = None
) -> httpx.Response:
    app = Starlette(routes=mailbox_routes(shelf, peers or FakePeers()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://manager") as client:
        return await client.post("/mailbox/", content=body, headers=headers)


BOX = {"mailbox-message-name": "box"}
OURS = {**BOX, "EMF-Protocol": "2", "mailbox-stream": "s"}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestTheRoute:
    async def test_an_ancestors_stream_is_stored_and_answered_with_201(self, shelf: Shelf) -> None:
        async def body() -> AsyncIterator[bytes]:
            text = b"\n".join(items(0, 2500))
            for start in range(0, len(text), 777):
                yield text[start : start + 777]

        answer = await post(shelf, body(), BOX)

        assert answer.status_code == 201
        assert "EMF-Protocol" not in answer.headers
        assert list(shelf.read("mailbox", "box")) == items(0, 2500)

    async def test_a_broken_stream_resumes_where_the_manager_says(self, shelf: Shelf) -> None:
        first = await post(shelf, b"\n".join(items(0, 3)) + b"\n", OURS)
        assert first.json() == {"next_offset": 3, "rejected": 0}
        ahead = await post(shelf, b"\n".join(items(9, 10)), {**OURS, "mailbox-offset": "9"})
        assert (ahead.status_code, ahead.json()["next_offset"]) == (409, 3)
        again = await post(shelf, b"\n".join(items(1, 5)), {**OURS, "mailbox-offset": "1"})

        assert again.json()["next_offset"] == 5
        assert list(shelf.read("mailbox", "box")) == items(0, 5)

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 400),
            ({"mailbox-message-name": "ghost"}, 404),
            ({"mailbox-message-name": "../../etc"}, 400),
            ({**OURS, "mailbox-offset": "-1"}, 400),
            ({**OURS, "mailbox-offset": "9" * 30}, 400),
            ({**OURS, "mailbox-stream": "x" * 300}, 400),
        ],
        ids=["no name", "unknown", "path", "negative", "huge", "long stream"],
    )
    async def test_bad_headers_are_refused_with_a_reason(
        self, shelf: Shelf, headers: dict[str, str], status: int
    ) -> None:
        answer = await post(shelf, b"{}", headers)

        assert answer.status_code == status
        assert answer.text

    async def test_an_endless_line_is_refused_and_not_held(self, shelf: Shelf) -> None:
        answer = await post(shelf, b"x" * (3 * 1024 * 1024), OURS)

        assert answer.status_code == 400
        assert "1048576 bytes" in answer.text

    async def test_nobody_without_a_good_certificate_is_heard(self, shelf: Shelf) -> None:
        assert (await post(shelf, b"", BOX, FakePeers(None))).status_code == 401
        assert (await post(shelf, b"", BOX, FakePeers(revoked=True))).status_code == 403

    async def test_a_full_disk_is_told_and_the_stream_is_as_it_was(self, tmp_path: Path) -> None:
        class Full(Shelf):
            def append(self, *args: Any, **more: Any) -> Any:
                raise OSError(28, "No space left on device")

        answer = await post(Full(tmp_path), b"{}", OURS)

        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
