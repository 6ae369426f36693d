"""Which files are trusted: owners, modes, links, and every folder above (R2)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from emf_agent.gate.ownership import read_trusted, trusted_owners, untrusted
from emf_agent.gate.refusal import GateError

DIRECTORY, FILE, LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK


class Tree:
    """A file system made of a table: path → (kind, mode, owner, target of a link)."""

    def __init__(self, entries: dict[str, tuple[int, int, int, str]]) -> None:
        self._entries = {"/": (DIRECTORY, 0o755, 0, ""), **entries}

    def lstat(self, path: str) -> os.stat_result:
        if path not in self._entries:
            raise FileNotFoundError(2, "No such file or directory")
        kind, mode, uid, _ = self._entries[path]
        return os.stat_result((kind | mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))

    def readlink(self, path: str) -> str:
        return self._entries[path][3]


def folder(mode: int = 0o755, uid: int = 0) -> tuple[int, int, int, str]:
    return DIRECTORY, mode, uid, ""


def file(mode: int = 0o644, uid: int = 0) -> tuple[int, int, int, str]:
    return FILE, mode, uid, ""


def link(target: str, uid: int = 0) -> tuple[int, int, int, str]:
    return LINK, 0o777, uid, target


@pytest.mark.parametrize(
    ("entries", "faults"),
    [
        pytest.param({"/e": folder(), "/e/f": file()}, [], id="root's own"),
        pytest.param({"/e": folder(), "/e/f": file(uid=7)}, [], id="the running user's"),
        pytest.param(
            {"/e": folder(), "/e/f": file(uid=8)}, ["/e/f belongs to user 8"], id="a stranger's"
        ),
        pytest.param(
            {"/e": folder(), "/e/f": file(0o664)},
            ["/e/f others may write it (mode 0664)"],
            id="the group may write",
        ),
        pytest.param(
            {"/e": folder(), "/e/f": file(0o602)},
            ["/e/f others may write it (mode 0602)"],
            id="all may write",
        ),
        pytest.param(
            {"/e": folder(0o777), "/e/f": file()},
            ["/e others may write it (mode 0777)"],
            id="the folder is open",
        ),
        pytest.param({"/e": folder(0o1777), "/e/f": file()}, [], id="the folder is sticky"),
        pytest.param(
            {"/e": folder(uid=8), "/e/f": file()},
            ["/e belongs to user 8"],
            id="a stranger's folder",
        ),
        pytest.param(
            {"/": folder(0o777), "/e": folder(), "/e/f": file()},
            ["/ others may write it (mode 0777)"],
            id="the root folder is open",
        ),
        pytest.param(
            {"/e": link("d"), "/d": folder(), "/d/f": file(), "/e/f": file()},
            [],
            id="root's link on the way",
        ),
        pytest.param(
            {"/e": link("/d", uid=8), "/d": folder(), "/e/f": file()},
            ["/e belongs to user 8"],
            id="a stranger's link on the way",
        ),
        pytest.param(
            {"/e": link("/d/x"), "/d": folder(0o777), "/d/x": folder(), "/e/f": file()},
            ["/d others may write it (mode 0777)"],
            id="a link through an open folder",
        ),
        pytest.param(
            {"/a": folder(), "/a/e": link("../d"), "/d": folder(uid=8), "/a/e/f": file()},
            ["/d belongs to user 8"],
            id="a link that climbs",
        ),
        pytest.param(
            {"/e": link("/e"), "/e/f": file()}, ["/e goes through too many links"], id="a loop"
        ),
        pytest.param(
            {"/e": folder(), "/e/f": link("/e/g"), "/e/g": file()},
            ["/e/f is a link"],
            id="the file is a link",
        ),
        pytest.param({"/e": folder()}, ["/e/f No such file or directory"], id="nothing there"),
        pytest.param(
            {"/e": link("/d"), "/e/f": file()}, ["/e No such file or directory"], id="a dead link"
        ),
    ],
)
def test_a_file_is_trusted_only_with_every_folder_above_it(
    entries: dict[str, tuple[int, int, int, str]], faults: list[str]
) -> None:
    path = next(one for one in [*entries, "/e/f"] if one.endswith("/f"))
    tree = Tree(entries)

    found = untrusted([path], frozenset({0, 7}), tree.lstat, tree.readlink)

    assert [f"{one.subject} {one.found}" for one in found] == faults


def test_each_reason_is_told_once_for_many_files() -> None:
    tree = Tree({"/e": folder(0o777), **{f"/e/{name}": file() for name in "abc"}})

    found = untrusted(["/e/a", "/e/b", "/e/c"], frozenset({0}), tree.lstat, tree.readlink)

    assert len(found) == 1


def test_a_trusted_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    path.chmod(0o600)

    assert read_trusted(path, trusted_owners(), limit_bytes=1) == b"x"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda p: p.symlink_to("/etc/passwd"), "is a link", id="a link"),
        pytest.param(lambda p: os.mkfifo(p, 0o600), "not a regular file", id="a pipe"),
        pytest.param(lambda p: p.mkdir(0o700), "not a regular file", id="a folder"),
        pytest.param(lambda p: None, "No such file", id="nothing"),
        pytest.param(
            lambda p: p.write_bytes(b"xx") and None, "larger than 1 bytes", id="too large"
        ),
        pytest.param(
            lambda p: (p.touch(), p.chmod(0o666)), "others may write it", id="open to all"
        ),
    ],
)
def test_what_is_no_trusted_file_is_not_read(tmp_path: Path, make: object, said: str) -> None:
    path = tmp_path / "f"
    make(path)  # type: ignore[operator]

    with pytest.raises(GateError, match=said):
        read_trusted(path, trusted_owners(), limit_bytes=1)


def test_a_file_of_another_user_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch(mode=0o600)

    with pytest.raises(GateError, match="belongs to user"):
        read_trusted(path, frozenset({os.geteuid() + 1}), limit_bytes=1)
