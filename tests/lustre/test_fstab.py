"""Editing fstab: one entry of ours for a mount point, everything else as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.errors import ActionError
from emf_plugins_lustre.client.fstab import FstabEntry, with_entry, without_mountpoint

FSTAB = """\
# /etc/fstab: static file system information
UUID=ae9b\t/\txfs\tdefaults\t0 0

10.0.0.1@tcp:/fs1 /mnt/fs1 lustre defaults,_netdev 0 0
# /mnt/fs1 is the scratch file system
10.0.0.1@tcp:/fs2\t/mnt/fs2\tlustre\tdefaults,_netdev\t0 0
short
"""
ENTRY = FstabEntry("10.0.0.7@tcp:/fs1", "/mnt/fs1", persist=True)


def test_a_new_entry_replaces_the_old_one_where_it_was() -> None:
    after = with_entry(FSTAB, ENTRY)
    old = "10.0.0.1@tcp:/fs1 /mnt/fs1 lustre defaults,_netdev 0 0"
    assert after == FSTAB.replace(old, ENTRY.line)


def test_an_entry_that_is_not_there_goes_to_the_end() -> None:
    entry = FstabEntry("10.0.0.1@tcp:/fs9", "/mnt/fs9", persist=False)
    assert with_entry(FSTAB, entry) == f"{FSTAB}{entry.line}\n"


def test_a_file_without_a_last_newline_gets_one_and_no_blank_line() -> None:
    assert with_entry("/dev/sda1 / xfs", ENTRY) == f"/dev/sda1 / xfs\n{ENTRY.line}\n"


def test_removing_drops_only_the_entries_of_the_mount_point() -> None:
    after = without_mountpoint(FSTAB, "/mnt/fs1")
    gone = set(FSTAB.splitlines()) - set(after.splitlines())
    assert gone == {"10.0.0.1@tcp:/fs1 /mnt/fs1 lustre defaults,_netdev 0 0"}


def test_a_comment_whose_second_word_is_the_mount_point_stays() -> None:
    assert "# /mnt/fs1 is the scratch file system" in without_mountpoint(FSTAB, "/mnt/fs1")


@pytest.mark.parametrize(
    ("persist", "options"),
    [
        pytest.param(True, "x-systemd.mount-timeout=20m,_netdev", id="at boot"),
        pytest.param(False, "x-systemd.mount-timeout=20m,noauto,_netdev", id="not at boot"),
    ],
)
def test_the_options_are_those_of_the_ancestor(persist: bool, options: str) -> None:
    entry = FstabEntry("10.0.0.1@tcp:/fs1", "/mnt/fs1", persist=persist)
    assert entry.line == f"10.0.0.1@tcp:/fs1\t/mnt/fs1\tlustre\t{options}"


@pytest.mark.parametrize(
    "edit", [lambda t: with_entry(t, ENTRY), lambda t: without_mountpoint(t, "/mnt/fs1")]
)
def test_another_kind_of_file_system_at_the_mount_point_is_refused_with_its_line(edit) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ActionError, match=r"fstab line 2 mounts /dev/sdb \(xfs\) at /mnt/fs1"):
        edit("# first\n/dev/sdb /mnt/fs1 xfs defaults 0 0\n")


def test_a_blank_in_a_mount_point_is_written_and_found_again() -> None:
    entry = FstabEntry("10.0.0.1@tcp:/fs1", "/mnt/my files", persist=True)
    text = with_entry("", entry)
    assert "/mnt/my\\040files" in text
    assert without_mountpoint(text, "/mnt/my files") == ""


lines = st.one_of(
    st.text(alphabet=st.characters(exclude_characters="\n"), max_size=30),
    st.sampled_from(
        [
            "10.0.0.1@tcp:/fs1 /mnt/fs1 lustre defaults",
            "10.0.0.1@tcp:/fs1\t/mnt/fs1/\tlustre\tro",
            "# 10.0.0.1@tcp:/fs1 /mnt/fs1 lustre",
            "/dev/sda1 / xfs defaults 0 0",
        ]
    ),
)
files = st.builds(
    lambda parts, end: "\n".join(parts) + end, st.lists(lines), st.sampled_from(["", "\n"])
)


def others(text: str) -> list[str]:
    return [
        line
        for line in text.removesuffix("\n").split("\n")
        if line.split()[1:3] not in (["/mnt/fs1", "lustre"], ["/mnt/fs1/", "lustre"])
        or line.startswith("#")
    ]


@given(files)
def test_an_entry_is_there_once_the_rest_stays_and_twice_is_once(text: str) -> None:
    after = with_entry(text, ENTRY)
    assert after.split("\n").count(ENTRY.line) == 1
    assert others(after) == others(text) or (text == "" and others(after) == [])
    assert after.endswith("\n")
    assert with_entry(after, ENTRY) == after


@given(files)
def test_removing_after_entering_leaves_what_was_neither(text: str) -> None:
    after = without_mountpoint(with_entry(text, ENTRY), "/mnt/fs1")
    assert without_mountpoint(after, "/mnt/fs1") == after
    assert others(after) == others(text) or others(after) in ([], [""])
