"""Files of the system are replaced whole, and stay what they were otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emf_agent.errors import ActionError
from emf_plugins_lustre.file_replacement import edit_text, read_text_or_none, replace_text
from tests.lustre.real_time import anyio_backend

__all__ = ["anyio_backend"]
pytestmark = pytest.mark.anyio


async def test_an_edit_that_changes_nothing_leaves_the_very_file(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("same")
    before = file.stat()
    assert await edit_text(file, str) is False
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_mode_and_attributes_go_over_to_the_new_file(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    file.chmod(0o604)
    try:
        os.setxattr(file, "user.label", b"kept")
        attributes = ["user.label"]
    except OSError:
        attributes = []  # a file system without them
    inode = file.stat().st_ino
    assert await edit_text(file, lambda text: text + "er") is True
    assert file.read_text() == "older"
    assert file.stat().st_ino != inode
    assert file.stat().st_mode & 0o777 == 0o604
    assert [name for name in os.listxattr(file) if name.startswith("user.")] == attributes


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_the_owner_stays(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    os.chown(file, 12, 34)
    await edit_text(file, lambda _: "new")
    assert (file.stat().st_uid, file.stat().st_gid) == (12, 34)


async def test_a_new_file_gets_its_folders_and_can_be_read_by_all(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b"
    assert await replace_text(file, "new") is True
    assert await replace_text(file, "new") is False
    assert file.stat().st_mode & 0o777 == 0o644
    assert await read_text_or_none(file) == "new"
    assert await read_text_or_none(tmp_path / "none") is None


async def test_dry_runs_only_tell(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b"
    assert await replace_text(file, "new", dry_run=True) is True
    assert await edit_text(file, lambda _: "new", dry_run=True) is True
    assert list(tmp_path.iterdir()) == []


async def test_a_failure_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "folder"
    file.mkdir()
    with pytest.raises(ActionError, match=r"folder: Is a directory \(os error 21\)"):
        await replace_text(file, "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(ActionError, match=r"file/x: Not a directory \(os error 20\)"):
        await replace_text(tmp_path / "file" / "x", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
