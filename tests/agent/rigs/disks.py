"""Disks that fill up, turn read-only, or lose power; to be run in a mount namespace of its own.

Usage: unshare -m --propagation private python disks.py full|read-only|power-cut DIRECTORY [MODE]
Prints one JSON object. Reliability, section 8.1.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

from emf_agent.errors import JournalError
from emf_agent.journal import Acceptance, Limits, Outcome, database
from emf_agent.journal.store import Store

ROUND = 300


def command(*argv: str) -> None:
    """Run a tool of the system."""
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=60)


@contextlib.contextmanager
def disk(directory: Path, size_mib: int) -> Generator[tuple[Path, Path], None, None]:
    """Give a file system of our own, and the file that stands for its platters."""
    image, mounted = directory / "image", directory / "mounted"
    with image.open("wb") as file:
        file.truncate(size_mib * 1024 * 1024)
    command("mkfs.ext4", "-q", "-m", "0", str(image))
    with mount(image, mounted):
        yield mounted, image


@contextlib.contextmanager
def mount(image: Path, where: Path) -> Generator[None, None, None]:
    """Mount an image for a while."""
    where.mkdir()
    command("mount", "-o", "loop", str(image), str(where))
    try:
        yield
    finally:
        command("umount", "-l", str(where))


def opened(path: Path) -> Store:
    """Open a journal."""
    return Store(path, wall_clock=lambda: 1000.0, limits=Limits(), fault=lambda _: None)


def verdict(call: Callable[[], object]) -> str:
    """Return what became of a call."""
    try:
        call()
    except JournalError as error:
        return f"refused: {error}"
    except (OSError, sqlite3.Error) as error:
        return f"failed: {error}"
    return "done"


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))


def full(directory: Path, mode: str) -> dict[str, Any]:
    """Fill the disk while actions run, perhaps without the ballast or with a restart."""
    result = Outcome("ok", json.dumps({"Ok": "x" * 60_000}))
    found: dict[str, Any] = {}
    with disk(directory, 8) as (mounted, _):
        store = opened(mounted / "journal")
        for name in "abc":
            store.accept(Acceptance(name, "x", "[]"))
            store.start(name)
        if mode == "without-ballast":
            (mounted / "journal" / "ballast").unlink()
        fill(mounted / "filler")
        if mode == "restart":
            store.close()
            store = opened(mounted / "journal")
            found["lost"] = store.recover().lost
        found["accept"] = verdict(lambda: store.accept(Acceptance("d", "x", "[]")))
        found["finish"] = [verdict(partial(store.finish, name, result)) for name in "abc"]
        found["ballast"] = (mounted / "journal" / "ballast").exists()
        store.close()
        (mounted / "filler").unlink()
        store = opened(mounted / "journal")
        found["told"] = [entry.id for entry in store.unacknowledged(10)]
        found["moved_aside"] = store.moved_aside is not None
        found["ballast later"] = (mounted / "journal" / "ballast").exists()
        found["accept later"] = verdict(lambda: store.accept(Acceptance("d", "x", "[]")))
        store.close()
    return found


def read_only(directory: Path, _: str) -> dict[str, Any]:
    """Turn the disk read-only below an open journal, open one there, and turn it back."""
    found: dict[str, Any] = {}
    with disk(directory, 8) as (mounted, _image):
        store = opened(mounted / "journal")
        store.accept(Acceptance("a", "x", "[]"))
        store.start("a")
        store.finish("a", Outcome("ok", "{}"))
        # What a file system does to itself when it finds its disk broken.
        command("mount", "-o", "remount,abort", str(mounted))
        found["accept"] = verdict(lambda: store.accept(Acceptance("b", "x", "[]")))
        found["told"] = [entry.id for entry in store.unacknowledged(10)]
        store.close()
        found["open"] = verdict(lambda: opened(mounted / "journal"))
        found["files"] = sorted(path.name for path in (mounted / "journal").iterdir())
    return found


def write_until_stopped(journal: Path, acknowledged: Path) -> None:
    """Take actions and note each one outside the disk as soon as it was promised."""
    store = opened(journal)
    with acknowledged.open("a", buffering=1) as notes:
        for number in range(10 * ROUND):
            store.accept(Acceptance(str(number), "x", "[]"))
            notes.write(f"{number}\n")


def power_cut(directory: Path, mode: str) -> dict[str, Any]:
    """Cut the power while a journal is written; count what was promised and is gone."""
    if mode == "normal":
        database.SETTINGS = tuple(
            ("synchronous", "NORMAL", 1) if name == "synchronous" else (name, value, expected)
            for name, value, expected in database.SETTINGS
        )
    acknowledged = directory / "acknowledged"
    acknowledged.touch()
    with disk(directory, 32) as (mounted, image):
        if (writer := os.fork()) == 0:
            write_until_stopped(mounted / "journal", acknowledged)
            os._exit(0)
        while len(acknowledged.read_bytes().splitlines()) < ROUND:
            time.sleep(0.005)
        os.kill(writer, signal.SIGSTOP)
        promised = acknowledged.read_text().splitlines()
        after = directory / "after"
        shutil.copyfile(image, after)
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    with mount(after, directory / "after-mounted"):
        store = opened(directory / "after-mounted" / "journal")
        kept = {acceptance.id for acceptance in store.recover().waiting}
        store.close()
    return {"promised": len(promised), "lost": len(set(promised) - kept)}


RIGS = {"full": full, "read-only": read_only, "power-cut": power_cut}

if __name__ == "__main__":
    print(json.dumps(RIGS[sys.argv[1]](Path(sys.argv[2]), (sys.argv[3:] or [""])[0])))
