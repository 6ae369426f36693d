"""The data directory: its owner's alone, and served by one manager at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from emf_agent.errors import ConfigurationError

__all__ = ["act_as_owner", "give_to_owner", "only_server", "prepare_data_dir"]


def prepare_data_dir(path: Path) -> None:
    """Make the directory where it is missing.

    Raises:
        ConfigurationError: it cannot be made or used, or others may write in it.

    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigurationError(
            [f"{path}: {error.strerror}; name a directory of yours with --data-dir"]
        ) from error
    if mode & 0o022:
        raise ConfigurationError([f"{path}: others may write in it; run chmod go-w {path}"])
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(
            [f"{path}: not yours to write in; name a directory of yours with --data-dir"]
        )


def act_as_owner(path: Path) -> None:
    """As root, become the directory's owner, so that the server can use what is made here."""
    owner = path.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)


def give_to_owner(path: Path) -> None:
    """As root, give a file to the owner of its directory, so that the server can use it."""
    owner = path.parent.stat()
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def only_server(data_dir: Path) -> Generator[None, None, None]:
    """Hold the directory's lock; the kernel drops it when the process is gone, however it went.

    Raises:
        ConfigurationError: another manager serves this directory.

    """
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError([f"{data_dir}/lock: {error.strerror}"]) from error
    try:
        give_to_owner(data_dir / "lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(descriptor, 32).decode("ascii", "replace").strip()
            raise ConfigurationError(
                [f"{data_dir}: another emf-manager serves it already (pid {pid or 'unknown'})"]
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
