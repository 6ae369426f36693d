"""The kernel's mounts as ``findmnt`` tells them, and the text of FIDs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.errors import ActionError
from emf_plugins_lustre.fids import parse_fid
from emf_plugins_lustre.mounts import Mount, client_mounts, parse_mounts, snapshot_mounts


def listed(*rows: Any) -> str:
    keys = ("target", "source", "fstype", "options")
    return json.dumps({"filesystems": [dict(zip(keys, row, strict=True)) for row in rows]})


def test_clients_servers_and_snapshots_are_told_apart() -> None:
    mounts = parse_mounts(
        listed(
            ("/", "/dev/sda1", "xfs", "rw"),
            ("/mnt/fs1", "10.0.0.1@tcp:10.0.0.2@tcp:/fs1", "lustre", "rw"),
            ("/mnt/sub", "fd00::1@tcp:/fs1/a/b", "lustre", "rw"),
            ("/lustre/ost0", "/dev/sdb", "lustre", "rw,svname=fs1-OST0000,osd=osd-ldiskfs"),
            ("/lustre/ost1", "ost1/ost1", "lustre_tgt", "rw,svname=fs1-OST0001"),
            ("/snap", "/dev/sdc", "lustre", "ro,svname=3a1b-MDT0000,nomgs"),
        )
    )
    clients = client_mounts(mounts)
    assert [(one.target, one.file_system, one.is_whole) for one in clients] == [
        ("/mnt/fs1", "fs1", True),
        ("/mnt/sub", "fs1", False),
    ]
    assert [one.option("svname") for one in snapshot_mounts(mounts)] == ["3a1b-MDT0000"]


def test_a_mount_without_source_or_options_is_one() -> None:
    assert parse_mounts(listed(("/x", None, "tmpfs", None))) == (Mount("/x", "", "tmpfs", ("",)),)


def test_no_output_is_no_mount() -> None:
    assert parse_mounts("") == ()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"filesystems": [1]}', '{"filesystems": 1}'])
def test_anything_else_is_an_error_and_no_empty_list(text: str) -> None:
    with pytest.raises(ActionError, match="findmnt printed no list of mounts"):
        parse_mounts(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x1:0x1:0x0",
        "[0x1:0x1]",
        "[1:1:0]",
        "[0x1:0x1:0x0]\n",
        "[0x1:0x1:0x0]/../..",
        "[0x11111111111111111:0x1:0x0]",
        "[0x1:0x1:-0x1]",
        "--help",
    ],
)
def test_what_is_no_fid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no FID"):
        parse_fid(text)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_fid_comes_out_as_the_kernel_prints_it(sequence: int, number: int, version: int) -> None:
    printed = f"[{sequence:#x}:{number:#x}:{version:#x}]"
    assert parse_fid(printed) == printed
    assert parse_fid(f"[0x{sequence:016X}:0x{number:08x}:0x{version:08x}]") == printed


@given(st.text())
def test_a_text_is_a_fid_or_refused(text: str) -> None:
    try:
        parsed = parse_fid(text)
    except ValueError:
        return
    assert parse_fid(parsed) == parsed
