"""The post office: routes, sockets, spools, and delivery to a manager that comes and goes."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emf_agent.errors import ActionError
from emf_agent.plugin import DaemonContext, DaemonFault, FatalStartError, NotApplicableError
from emf_plugins_lustre.mailboxes.connection import ManagerConnection
from emf_plugins_lustre.postoffice.actions import PostOfficeActions
from emf_plugins_lustre.postoffice.branch import Branch, Whole
from emf_plugins_lustre.postoffice.daemon import PostOffice
from emf_plugins_lustre.postoffice.routes import parse_routes, with_route, without_route
from emf_plugins_lustre.postoffice.settings import PostOfficeSettings
from emf_plugins_lustre.postoffice.spool import Spool
from tests.lustre.calls import ActionDesk
from tests.lustre.mailbox_fakes import FakeMailboxes
from tests.lustre.real_time import anyio_backend

__all__ = ["anyio_backend"]

FID = b'{ "fid": "[0x200000bd1:0x1397:0x0]" }'


def office_settings(folder: Path) -> PostOfficeSettings:
    return PostOfficeSettings(
        routes_file=folder / "postman.conf",
        socket_folder=folder / "s",
        spool_bytes=1024 * 1024,
        manager=ManagerConnection(url=None),
    )


class QuickOffice(PostOffice):
    """Looks at its routes more often than the real one."""

    look_every_s: ClassVar[float] = 0.02
    gather_s: ClassVar[float] = 0.0


class Office:
    """A post office over a folder, and the manager it delivers to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = office_settings(folder)
        self.desk = ActionDesk(PostOfficeActions(self.settings).actions())
        self.manager = FakeMailboxes()

    def daemon(self) -> QuickOffice:
        daemon = QuickOffice(self.settings, self.manager.door)
        daemon.context = replace(DaemonContext(), state_directory=self.folder / "state")
        return daemon

    @asynccontextmanager
    async def running(self) -> AsyncIterator[PostOffice]:
        daemon = self.daemon()
        await daemon.start_session()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.watch_session)
            yield daemon
            await until(lambda: not any(map(is_busy, daemon._branches.values())))
            tasks.cancel_scope.cancel()

    def socket(self, mailbox: str) -> Path:
        return self.settings.socket_folder / f"postman-{mailbox}.sock"

    async def connect(self, mailbox: str) -> Any:
        return await connected(self.socket(mailbox))

    async def write(self, mailbox: str, data: bytes) -> None:
        async with await self.connect(mailbox) as stream:
            await stream.send(data)


def is_busy(branch: Branch) -> bool:
    return branch._connections > 0


async def connected(path: Path) -> Any:
    with anyio.fail_after(30):
        while True:
            try:
                return await anyio.connect_unix(path)
            except (FileNotFoundError, ConnectionRefusedError):
                await anyio.sleep(0.005)


async def until(holds: Any) -> None:
    with anyio.fail_after(30):
        while not holds():
            await anyio.sleep(0.005)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@pytest.mark.anyio
async def test_routes_come_and_go_once(office: Office) -> None:
    assert await office.desk.call("postoffice_add", "mb2") is None
    assert await office.desk.call("postoffice_add", "mb1") is None
    assert await office.desk.call("postoffice_add", "mb1") is None
    assert office.settings.routes_file.read_text() == "mb1\nmb2\n"
    assert await office.desk.call("postoffice_remove", "mb1") is None
    assert await office.desk.call("postoffice_remove", "mb1") is None
    assert office.settings.routes_file.read_text() == "mb2\n"


@pytest.mark.anyio
async def test_dry_runs_of_routes_change_nothing(office: Office) -> None:
    said = await office.desk.call("postoffice_add", "mb1", dry_run=True)
    assert said == f"would open {office.socket('mb1')}"
    said = await office.desk.call("postoffice_remove", "mb1", dry_run=True)
    assert said == "would do nothing: mb1 is not routed"
    assert not office.settings.routes_file.exists()


@pytest.mark.anyio
async def test_a_mailbox_whose_socket_has_too_long_a_path_is_refused(office: Office) -> None:
    with pytest.raises(ActionError, match="a socket's path has 107 at most"):
        await office.desk.call("postoffice_add", "x" * 120)


def test_lines_that_are_no_names_are_told_and_blanks_are_not() -> None:
    routes, complaints = parse_routes("mb1\n\n a/b \nmb2\n")
    assert routes == {"mb1", "mb2"}
    assert complaints == ("line 3: 'a/b' is no mailbox's name",)


names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True)


@given(st.lists(names), names)
def test_a_route_added_and_removed_leaves_the_others(routes: list[str], name: str) -> None:
    text = "".join(f"{one}\n" for one in routes)
    added = with_route(text, name)
    assert parse_routes(added)[0] == {*routes, name}
    assert with_route(added, name) == added
    assert parse_routes(without_route(added, name))[0] == set(routes) - {name}


@pytest.mark.anyio
async def test_what_is_written_to_a_socket_reaches_the_mailbox(office: Office) -> None:
    await office.desk.call("postoffice_add", "mb1")
    async with office.running():
        await office.write("mb1", FID + b"\n" + FID)
        assert await office.manager.stored("mailbox mb1", 2) == [FID, FID]


@pytest.mark.anyio
async def test_a_route_added_later_is_opened_and_a_removed_one_closed(office: Office) -> None:
    async with office.running():
        await office.desk.call("postoffice_add", "mb1")
        await office.write("mb1", FID + b"\n")
        await office.manager.stored("mailbox mb1", 1)
        await office.desk.call("postoffice_remove", "mb1")
        await until(lambda: not office.socket("mb1").exists())
        await office.desk.call("postoffice_add", "mb1")
        await office.write("mb1", FID + b"\n")
        await office.manager.stored("mailbox mb1", 2)


@pytest.mark.anyio
async def test_a_transfer_that_runs_goes_on_when_its_route_is_removed(office: Office) -> None:
    await office.desk.call("postoffice_add", "mb1")
    async with office.running():
        async with await office.connect("mb1") as stream:
            await stream.send(FID + b"\n")
            await office.manager.stored("mailbox mb1", 1)
            await office.desk.call("postoffice_remove", "mb1")
            await until(lambda: not office.socket("mb1").exists())
            await stream.send(FID + b"\n")
        await office.manager.stored("mailbox mb1", 2)


@pytest.mark.anyio
async def test_lines_wait_on_disk_while_the_manager_is_away(office: Office) -> None:
    await office.desk.call("postoffice_add", "mb1")
    office.manager.away = True
    async with office.running():
        await office.write("mb1", FID + b"\n")
        await until(lambda: office.manager.chunks)
    assert not office.socket("mb1").exists()
    office.manager.away = False
    async with office.running():
        assert await office.manager.stored("mailbox mb1", 1) == [FID]


@pytest.mark.anyio
async def test_lines_of_a_route_that_is_gone_are_still_delivered(office: Office) -> None:
    await office.desk.call("postoffice_add", "mb1")
    office.manager.away = True
    async with office.running():
        await office.write("mb1", FID + b"\n")
        await until(lambda: office.manager.chunks)
    await office.desk.call("postoffice_remove", "mb1")
    office.manager.away = False
    async with office.running():
        await office.manager.stored("mailbox mb1", 1)
        await until(lambda: not (office.folder / "state" / "mb1").exists())


@pytest.mark.anyio
async def test_a_stale_socket_is_replaced(office: Office) -> None:
    await office.desk.call("postoffice_add", "mb1")
    office.settings.socket_folder.mkdir()
    listener = await anyio.create_unix_listener(office.socket("mb1"))
    await listener.aclose()
    async with office.running():
        await office.write("mb1", FID + b"\n")
        await office.manager.stored("mailbox mb1", 1)
        assert office.socket("mb1").stat().st_mode & 0o777 == 0o600


@pytest.mark.anyio
async def test_a_socket_that_cannot_be_made_is_a_fault(office: Office) -> None:
    await office.desk.call("postoffice_add", "mb1")
    office.socket("mb1").mkdir(parents=True)
    async with office.running() as daemon:
        await until(lambda: daemon._branches and daemon._branches["mb1"].trouble)
        with pytest.raises(DaemonFault, match=r"mb1: .*postman-mb1\.sock"):
            await daemon.update_session()


@pytest.mark.anyio
async def test_a_mailbox_the_manager_does_not_know_is_a_fault_and_keeps_its_lines(
    office: Office,
) -> None:
    office.manager.unknown.add("mb1")
    await office.desk.call("postoffice_add", "mb1")
    async with office.running() as daemon:
        await office.write("mb1", FID + b"\n")
        await until(lambda: daemon._branches["mb1"].trouble)
        with pytest.raises(DaemonFault, match="mb1: the manager has no mailbox mb1"):
            await daemon.update_session()
    office.manager.unknown.clear()
    async with office.running() as daemon:
        await office.manager.stored("mailbox mb1", 1)
        await daemon.update_session()


@pytest.mark.anyio
async def test_a_spool_that_was_removed_by_hand_gives_up_its_lines_and_no_others(
    office: Office,
) -> None:
    await office.desk.call("postoffice_add", "mb1")
    office.manager.away = True
    async with office.running():
        await office.write("mb1", b"given up\n")
        await until(lambda: office.manager.chunks)
    async with office.running():
        shutil.rmtree(office.folder / "state" / "mb1")
        office.manager.away = False
        await office.write("mb1", FID + b"\n")
        await until(lambda: FID in office.manager.lines.get("mailbox mb1", ()))


@pytest.mark.anyio
async def test_a_spool_that_cannot_be_opened_is_a_fault_and_costs_no_other(office: Office) -> None:
    for mailbox in ("mb1", "mb2"):
        await office.desk.call("postoffice_add", mailbox)
    (office.folder / "state").mkdir()
    (office.folder / "state" / "mb1").write_text("a file")
    async with office.running() as daemon:
        await office.write("mb2", FID + b"\n")
        await office.manager.stored("mailbox mb2", 1)
        await until(lambda: daemon._complaints)
        for _ in range(20):
            await anyio.sleep(0.003)
            with pytest.raises(DaemonFault, match=r"mb1: .*File exists"):
                await daemon.update_session()


@pytest.mark.anyio
async def test_a_bad_line_in_the_routes_is_a_fault_and_costs_no_other(office: Office) -> None:
    office.settings.routes_file.write_text("a/b\nmb1\n")
    async with office.running() as daemon:
        await office.write("mb1", FID + b"\n")
        await office.manager.stored("mailbox mb1", 1)
        await until(lambda: daemon._complaints)
        with pytest.raises(DaemonFault, match="line 1: 'a/b' is no mailbox's name"):
            await daemon.update_session()


@pytest.mark.anyio
async def test_a_writer_waits_when_the_spool_is_full_and_loses_nothing(tmp_path: Path) -> None:
    manager = FakeMailboxes(away=True)
    branch = Branch("mb1", tmp_path / "s.sock", Spool(tmp_path / "spool", 20_000), gather_s=0)
    lines = [b"%06d" % number + b"x" * 90 for number in range(20_000)]
    sent = anyio.Event()

    async def write() -> None:
        async with await connected(tmp_path / "s.sock") as stream:
            for line in lines:
                await stream.send(line + b"\n")
        sent.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: branch.run(manager, listens=True))
        tasks.start_soon(write)
        await until(lambda: branch.trouble)
        assert branch.trouble == "the spool is full, writers wait"
        assert not sent.is_set()
        spooled = sum(path.stat().st_size for path in (tmp_path / "spool").glob("*.lines"))
        assert spooled < 20_000 + 70_000
        manager.away = False
        assert await manager.stored("mailbox mb1", len(lines)) == lines
        tasks.cancel_scope.cancel()
    assert sent.is_set()


@pytest.mark.anyio
async def test_a_manager_that_lost_a_stream_gets_it_again(tmp_path: Path) -> None:
    manager = FakeMailboxes()
    branch = Branch("mb1", tmp_path / "s.sock", Spool(tmp_path / "spool", 10**6), gather_s=0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: branch.run(manager, listens=True))
        async with await connected(tmp_path / "s.sock") as stream:
            await stream.send(b"1\n")
            await manager.stored("mailbox mb1", 1)
            manager.forget()
            await stream.send(b"2\n")
            assert await manager.stored("mailbox mb1", 2) == [b"1", b"2"]
        await until(lambda: not is_busy(branch))
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_start_makes_the_file_of_routes(office: Office) -> None:
    await office.daemon().start_session()
    assert office.settings.routes_file.read_text() == ""


@pytest.mark.anyio
async def test_without_an_address_it_has_no_place_here_unless_there_are_routes(
    tmp_path: Path,
) -> None:
    daemon = PostOffice(office_settings(tmp_path))
    with pytest.raises(NotApplicableError, match=r"manager\.url is not set"):
        await daemon.start_session()
    (tmp_path / "postman.conf").write_text("mb1\n")
    with pytest.raises(FatalStartError, match=r"has routes, but manager\.url is not set"):
        await daemon.start_session()


pieces = st.lists(st.binary(max_size=30))


@given(pieces)
def test_lines_are_whole_however_they_come(pieces: list[bytes]) -> None:
    whole = Whole()
    got = [line for piece in pieces for line in whole.feed(piece)]
    got += whole.finish()
    assert got == [line for line in b"".join(pieces).split(b"\n") if line.strip()]


@given(pieces)
def test_a_line_that_is_too_long_costs_no_other(pieces: list[bytes]) -> None:
    whole = Whole(longest_bytes=10)
    got = [line for piece in pieces for line in whole.feed(piece)]
    got += whole.finish()
    lines = b"".join(pieces).split(b"\n")
    assert got == [line for line in lines if len(line) <= 10 and line.strip()]
    assert whole.dropped == sum(len(line) > 10 for line in lines)


def drained(spool: Spool, most: int = 7) -> list[bytes]:
    got: list[bytes] = []
    while (segment := spool.oldest()) is not None and segment.waiting:
        lines = segment.read(most, 64)
        got += lines
        segment.note_stored(lines)
    return got


spooled = st.lists(
    st.lists(st.binary(min_size=1, max_size=80).map(lambda b: b.replace(b"\n", b"."))).filter(bool)
)


@settings(max_examples=40, deadline=None)  # each example writes files
@given(batches=spooled)
def test_a_spool_gives_back_every_line_in_order_across_restarts(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    got: list[bytes] = []
    for number, batch in enumerate(batches):
        spool = Spool(folder, 10**6, segment_bytes=100)
        spool.append(batch)
        if number % 2:
            segment = spool.oldest()
            assert segment is not None
            lines = segment.read(3, 64)
            got += lines
            segment.note_stored(lines)
    got += drained(Spool(folder, 10**6))
    assert got == [line for batch in batches for line in batch]


def test_a_half_line_that_a_crash_left_is_cut_off(tmp_path: Path) -> None:
    Spool(tmp_path, 10**6).append([b"one", b"two"])
    (path,) = tmp_path.glob("*.lines")
    path.write_bytes(path.read_bytes() + b"thr")
    assert drained(Spool(tmp_path, 10**6)) == [b"one", b"two"]


def test_a_note_that_makes_no_sense_sends_all_again(tmp_path: Path) -> None:
    Spool(tmp_path, 10**6).append([b"one"])
    (path,) = tmp_path.glob("*.lines")
    for note in ("", "5", "9 9999", "-1 -1", "x y"):
        path.with_suffix(".stored").write_text(note)
        segment = Spool(tmp_path, 10**6).oldest()
        assert segment is not None
        assert segment.read(10, 100) == [b"one"]


def test_a_segment_that_is_stored_whole_is_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "mb1", 10**6, segment_bytes=10)
    spool.append([b"0123456789"])
    spool.append([b"more"])
    assert drained(spool) == [b"0123456789", b"more"]
    assert spool.remove_if_empty()
    assert not (tmp_path / "mb1").exists()


def test_a_line_longer_than_a_read_comes_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10**6)
    spool.append([b"x" * 1000, b"y"])
    assert drained(spool) == [b"x" * 1000, b"y"]


def test_the_agents_own_manager_is_used_where_none_is_set() -> None:
    agents = {"manager": {"url": "https://manager:7443", "key": "/k", "certificate": "/c"}}

    told = PostOfficeSettings.model_validate({}, context=agents).manager
    other = PostOfficeSettings.model_validate(
        {"manager": {"url": "https://other:1"}}, context=agents
    ).manager

    assert (told.url, str(told.key)) == ("https://manager:7443", "/k")
    assert (other.url, str(other.key)) == ("https://other:1", "/k")
