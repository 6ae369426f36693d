"""The journal: its format byte by byte, its rate, its cursor, and the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.plugin import DaemonContext, NotApplicableError
from emf_plugins_host.journal.cursor_file import load_cursor, save_cursor
from emf_plugins_host.journal.daemon import MOST_UNCONFIRMED, Journal
from emf_plugins_host.journal.intake import Intake, JournalSettings
from emf_plugins_host.journal_entries import (
    Entry,
    ExportError,
    ExportParser,
    entries,
    journal_line,
)
from tests.host.programs import Programs

pytestmark = pytest.mark.anyio


def export(number: int, message: bytes | None = None, **fields: Any) -> bytes:
    """Return an entry in the journal's export format."""
    given_fields = {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "test", **fields}
    lines = [
        f"__CURSOR=s=abc;i={number:x}",
        f"__REALTIME_TIMESTAMP={1608624197402915 + number}",
        *(f"{name}={value}" for name, value in given_fields.items()),
    ]
    text = "\n".join(lines).encode() + b"\n"
    said = f"message {number}".encode() if message is None else message
    if b"\n" in said or b"\x00" in said or b"\xff" in said:
        text += b"MESSAGE\n" + len(said).to_bytes(8, "little") + said + b"\n"
    else:
        text += b"MESSAGE=" + said + b"\n"
    return text + b"\n"


def read(data: bytes, *, step: int = 0) -> list[Entry]:
    """Return the entries of a text, fed in steps."""
    parser = ExportParser()
    found: list[Entry] = []
    for start in range(0, len(data), step or len(data) or 1):
        found += entries(parser.feed(data[start : start + (step or len(data))]))
    return found


def test_an_entry_has_the_ancestors_shape() -> None:
    text = export(0, b"Started it.", SYSLOG_FACILITY="4", PRIORITY="3")
    (entry,) = read(text)

    assert journal_line(entry) == {
        "datetime": {"secs": 1608624197, "nanos": 402915000},
        "severity": "Err",
        "facility": 4,
        "source": "test",
        "message": "Started it.",
    }


@pytest.mark.parametrize("step", [1, 2, 7, 4096])
@given(messages=st.lists(st.binary(max_size=60), max_size=4))
def test_entries_are_the_same_however_the_bytes_arrive(step: int, messages: list[bytes]) -> None:
    data = b"".join(export(number, one) for number, one in enumerate(messages))
    found = read(data, step=step)

    assert found == read(data)
    assert [one.cursor for one in found] == [
        f"s=abc;i={number:x}" for number in range(len(messages))
    ]


def test_a_binary_message_is_shown_and_the_next_entry_is_whole() -> None:
    first, second = read(export(1, b"a\xff\x00b\ncd\x1b[31m") + export(2))

    assert first.message == "a\ufffd\\x00b\ncd\\x1b[31m"
    assert second.message == "message 2"


@pytest.mark.parametrize("byte", [b"x", b"\xff"], ids=["text", "binary"])
def test_a_message_of_a_mebibyte_is_cut_and_counted_in_bounded_memory(byte: bytes) -> None:
    parser = ExportParser()
    data = export(1, byte * 1024 * 1024) + export(2)
    found = []
    for start in range(0, len(data), 65536):
        found += entries(parser.feed(data[start : start + 65536]))
        assert len(parser._buffer) <= 2 * 65536

    assert len(found[0].message) < 17_000
    assert found[0].message.endswith(f" [... {1024 * 1024 - 16 * 1024} bytes left out]")
    assert found[1].message == "message 2"


@pytest.mark.parametrize(
    ("fields", "severity", "facility"),
    [
        ({"PRIORITY": "8"}, "Info", 3),
        ({"PRIORITY": "high"}, "Info", 3),
        ({"SYSLOG_FACILITY": "many"}, "Info", 3),
        ({"SYSLOG_FACILITY": "99999"}, "Info", 3),
        ({"PRIORITY": "0", "SYSLOG_FACILITY": "10"}, "Emerg", 10),
    ],
    ids=str,
)
def test_odd_numbers_have_their_default(
    fields: dict[str, Any], severity: str, facility: int
) -> None:
    (entry,) = read(export(1, **fields))

    assert (entry.severity, entry.facility) == (severity, facility)


def test_an_entry_without_a_message_is_empty_and_one_without_a_place_is_left_out() -> None:
    text = (
        b"__CURSOR=s=a\n__REALTIME_TIMESTAMP=1\n_COMM=sshd\n\n"
        b"__REALTIME_TIMESTAMP=2\nMESSAGE=no cursor\n\n"
        b"__CURSOR=s=c\n__REALTIME_TIMESTAMP=soon\nMESSAGE=no time\n\n"
    )
    (entry,) = read(text)

    assert (entry.message, entry.source) == ("", "sshd")


@given(st.binary(max_size=300))
def test_any_bytes_are_entries_or_an_error(data: bytes) -> None:
    try:
        read(data)
    except ExportError:
        return


def test_a_field_without_a_name_is_an_error() -> None:
    with pytest.raises(ExportError, match="cannot be"):
        read(b"=value\n")
    with pytest.raises(ExportError, match="no end"):
        read(b"x" * 100_000)


# rate


def an_entry(number: int, seconds: int = 1000) -> Entry:
    return Entry(f"s={number}", seconds, 0, "Info", 3, "test", f"message {number}")


def test_live_entries_beyond_the_rate_are_dropped_and_counted_in_their_place() -> None:
    intake = Intake(JournalSettings(entries_per_second=1, burst_entries=2))
    for number in range(5):
        assert intake.offer(an_entry(number), now=0.0, wall_clock=1000.0) == 0
    intake.offer(an_entry(5), now=1.0, wall_clock=1001.0)
    batch = intake.take()

    assert batch is not None
    assert [one.message for one in batch.entries] == [
        "message 0",
        "message 1",
        "3 journal entries were left out: more than 1 a second",
        "message 5",
    ]
    assert batch.cursor == "s=5"
    assert batch.entries[2].cursor == "s=4", "what was dropped is not read again"


def test_what_was_dropped_last_is_told_without_another_entry() -> None:
    intake = Intake(JournalSettings(entries_per_second=1, burst_entries=1))
    intake.offer(an_entry(0), now=0.0, wall_clock=1000.0)
    intake.take()
    intake.offer(an_entry(1), now=0.0, wall_clock=1000.0)
    batch = intake.take()

    assert batch is not None
    assert (batch.cursor, batch.entries[0].message[:1]) == ("s=1", "1")
    assert intake.is_empty
    assert intake.take() is None


def test_old_entries_beyond_the_rate_wait_and_are_not_dropped() -> None:
    intake = Intake(JournalSettings(entries_per_second=10, burst_entries=1))
    assert intake.offer(an_entry(0), now=0.0, wall_clock=5000.0) == 0
    assert intake.offer(an_entry(1), now=0.0, wall_clock=5000.0) == pytest.approx(0.1)
    assert intake.offer(an_entry(1), now=0.1, wall_clock=5000.0) == 0


def test_a_batch_is_bounded_in_entries_and_bytes() -> None:
    intake = Intake(JournalSettings(batch_entries=3, batch_bytes=1024))
    for number in range(4):
        intake.offer(an_entry(number), now=0.0, wall_clock=0.0)
    big = Entry("s=9", 1, 0, "Info", 3, "test", "x" * 2000)
    intake.offer(big, now=0.0, wall_clock=0.0)
    sizes = []
    while (batch := intake.take()) is not None:
        sizes.append(len(batch.entries))

    assert sizes == [3, 1, 1], "one that is larger than a batch goes alone"


@given(
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_no_entry_is_lost_without_being_counted(
    steps: list[tuple[float, bool]], rate: int, burst: int
) -> None:
    intake = Intake(JournalSettings(entries_per_second=rate, burst_entries=burst))
    now = 0.0
    told = 0
    for number, (passed, take) in enumerate(steps):
        now += passed
        assert intake.offer(an_entry(number, int(now)), now=now, wall_clock=now) == 0
        if take:
            told += counted(intake)
    while not intake.is_empty:
        told += counted(intake)
    assert told == len(steps)


def counted(intake: Intake) -> int:
    batch = intake.take()
    if batch is None:
        return 0
    return sum(
        int(one.message.split()[0]) if one.source == "emf-agent" else 1 for one in batch.entries
    )


# cursor


def test_the_cursor_outlives_everything(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    assert load_cursor(folder) is None
    save_cursor(folder, "s=abc;i=5")
    save_cursor(folder, "s=abc;i=6")

    assert load_cursor(folder) == "s=abc;i=6"
    assert [one.name for one in folder.iterdir()] == ["journal.cursor"]


@pytest.mark.parametrize("text", ["", "a b", "--flag\n--other", "ü"], ids=repr)
def test_a_file_that_holds_no_cursor_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "journal.cursor").write_text(text)

    assert load_cursor(tmp_path) is None


# the daemon


class FakeJournal:
    """A journal that journalctl reads: one file of entries, numbered from 1."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.folder = programs.folder / "journal"
        self.folder.mkdir()
        self.count = 0
        programs.script(
            "journalctl",
            f"""
cd {self.folder}
after=0
for word in "$@"; do case "$word" in
  --after-cursor=*bad*) echo "Failed to seek to cursor: Invalid argument" >&2; exit 1 ;;
  --after-cursor=*) after=$(printf '%d' "0x${{word##*i=}}") ;;
  --lines=0) after=$(ls | grep -c .) ;;
  --lines=*) have=$(ls | grep -c .); want=${{word#--lines=}}
    [ "$have" -gt "$want" ] && after=$((have - want)) ;;
  --follow) follow=1 ;;
esac; done
while :; do
  while [ -e "$((after + 1))" ]; do after=$((after + 1)); cat "$after"; done
  [ -n "$follow" ] || exit 0
  sleep 0.05
done
""",
        )

    def add(self, how_many: int = 1, message: bytes | None = None) -> None:
        for _ in range(how_many):
            self.count += 1
            new = self.programs.folder / ".new"
            new.write_bytes(export(self.count, message))
            new.rename(self.folder / str(self.count))


@pytest.fixture
def journal(programs: Programs) -> FakeJournal:
    return FakeJournal(programs)


def daemon(folder: Path, **settings: Any) -> Journal:
    made = Journal(JournalSettings(**settings))
    made.context = DaemonContext(state_directory=folder)
    return made


def messages(lines: Any) -> list[str]:
    return [one["message"] for one in lines or ()]


async def test_a_new_node_sends_its_newest_entries(journal: FakeJournal, tmp_path: Path) -> None:
    journal.add(5)

    lines = await daemon(tmp_path / "state", first_entries=3).start_session()
    assert messages(lines) == ["message 3", "message 4", "message 5"]


async def test_a_new_session_reads_on_after_what_was_stored(
    journal: FakeJournal, tmp_path: Path
) -> None:
    journal.add(3)
    first = daemon(tmp_path, batch_entries=2)
    one = await first.start_session()
    await first.delivered(one)
    journal.add(1)
    two = await first.update_session()
    again = daemon(tmp_path)

    assert messages(one) == ["message 1", "message 2"]
    assert messages(two) == ["message 3"]
    assert messages(await again.start_session()) == ["message 3", "message 4"]


async def test_what_comes_is_followed_in_order_and_wakes(
    journal: FakeJournal, tmp_path: Path
) -> None:
    journal.add(1)
    woken = anyio.Event()
    follower = daemon(tmp_path)
    follower.context = DaemonContext(state_directory=tmp_path, wake=lambda: woken.set())
    got = messages(await follower.start_session())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follower.watch_session)
        journal.add(3)
        with anyio.fail_after(60):
            while len(got) < 4:
                await woken.wait()
                woken = anyio.Event()
                got += messages(await follower.update_session())
        tasks.cancel_scope.cancel()

    assert got == ["message 1", "message 2", "message 3", "message 4"]


async def test_a_manager_that_stores_nothing_is_sent_no_more(
    journal: FakeJournal, tmp_path: Path
) -> None:
    journal.add(20)
    behind = daemon(tmp_path, batch_entries=1, first_entries=20)
    sent = [await behind.start_session()]
    for _ in range(20):
        await behind._read(["--after-cursor=s=abc;i=2"], behind._take_until_full)
        sent.append(await behind.update_session())

    assert len([one for one in sent if one]) == MOST_UNCONFIRMED
    await behind.delivered(sent[0])
    assert await behind.update_session()


async def test_a_cursor_of_another_journal_begins_anew(
    journal: FakeJournal, tmp_path: Path
) -> None:
    save_cursor(tmp_path, "s=bad;i=1")
    journal.add(2)

    assert messages(await daemon(tmp_path).start_session()) == ["message 1", "message 2"]


async def test_a_journal_without_entries_sends_nothing(
    journal: FakeJournal, tmp_path: Path
) -> None:
    assert await daemon(tmp_path).start_session() is None


async def test_a_node_without_a_journal_says_so(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(NotApplicableError, match="no systemd journal"):
        await daemon(tmp_path).start_session()


async def test_a_huge_and_a_binary_entry_cost_nobody_else_anything(
    journal: FakeJournal, tmp_path: Path
) -> None:
    journal.add(1, b"y" * 1024 * 1024)
    journal.add(1, b"\xff\x00")
    journal.add(1)
    found = messages(await daemon(tmp_path).start_session())

    assert found[1:] == ["\ufffd\\x00", "message 3"]
    assert "bytes left out" in found[0]


def test_every_entry_counts() -> None:
    assert Journal.delivery == "every"
