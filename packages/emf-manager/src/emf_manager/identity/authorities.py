"""The door to the authority's folder: which authorities there are now, and each step of a rotation.

One file, ``rotation.json``, says which pair of key and certificate issues and which are trusted
beside it; a step is made by replacing that file, so that a crash leaves it undone or done. The
first authority lies in the folder itself; later ones have a folder of their own in it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from emf_agent.errors import ConfigurationError
from emf_manager.identity.authority import (
    Authority,
    make_authority,
    open_authority,
    read_authority,
    write_private,
)
from emf_manager.identity.rotation import Rotation

__all__ = [
    "Authorities",
    "begin_rotation",
    "open_authorities",
    "place_of",
    "rotation_mark",
    "step_rotation",
]

FILE = "rotation.json"
FIRST = ""
"""The name of the authority that lies in the folder itself."""
NAME = re.compile(r"[0-9a-f]{8}|")
Mark = tuple[int, int] | None


@dataclass(frozen=True)
class Authorities:
    """The one that issues, and those that are trusted beside it."""

    issuing: Authority
    next: Authority | None = None
    previous: Authority | None = None
    rotation: Rotation = field(default_factory=lambda: Rotation(FIRST))

    @property
    def trusted(self) -> tuple[Authority, ...]:
        """All of them, the one that issues first."""
        return tuple(one for one in (self.issuing, self.next, self.previous) if one is not None)

    @property
    def pem(self) -> str:
        """All certificates, for those who are to trust them."""
        return "".join(one.pem for one in self.trusted)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """SHA-256 of each certificate, as nodes are told: the one that issues first."""
        return tuple(one.fingerprint for one in self.trusted)

    def knows(self, authority_name: str) -> bool:
        """Tell whether what the authority of this name issued is still good."""
        return any(one.name == authority_name for one in self.trusted)


def open_authorities(folder: Path, *, now: float) -> Authorities:
    """Return the authorities kept in a folder; the first is made there when it is not.

    Raises:
        ConfigurationError: a file is missing, open to others, damaged, or what issues is expired.

    """
    if not folder.exists():
        make_authority(folder, now)
    rotation = read_rotation(folder)

    def beside(name: str | None) -> Authority | None:
        return None if name is None else read_authority(folder / name)

    return Authorities(
        open_authority(place_of(folder, rotation), now=now),
        beside(rotation.next),
        beside(rotation.previous),
        rotation,
    )


def place_of(folder: Path, rotation: Rotation) -> Path:
    """Return the folder of the authority that issues."""
    return folder / rotation.issuing


def rotation_mark(folder: Path) -> Mark:
    """Return what is another after each step of a rotation."""
    try:
        found = (folder / FILE).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def begin_rotation(folder: Path, *, now: float) -> Authorities:
    """Make the next authority, and have it trusted.

    Raises:
        RefusedError: a rotation is going on. ConfigurationError: the folder cannot be written.

    """
    name = secrets.token_hex(4)
    with changing(folder) as rotation:
        begun = rotation.begin(name)
        make_authority(folder / name, now)
        keep(folder, begun)
    return open_authorities(folder, now=now)


def step_rotation(folder: Path, step: Callable[[Rotation], Rotation], *, now: float) -> Authorities:
    """Make another step; the keys of what is not trusted any more are deleted.

    Raises:
        RefusedError: not from here. ConfigurationError: the folder cannot be written.

    """
    with changing(folder) as rotation:
        keep(folder, step(rotation))
    with changing(folder):
        return open_authorities(folder, now=now)


@contextmanager
def changing(folder: Path) -> Generator[Rotation]:
    """Hold the folder alone, tidied of what an interrupted step left behind."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigurationError([f"{folder}: {error.strerror}"]) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        rotation = read_rotation(folder)
        sweep(folder, rotation)
        yield rotation
    finally:
        os.close(descriptor)


def sweep(folder: Path, rotation: Rotation) -> None:
    """Delete the pairs that are not trusted, and half-written ones."""
    if FIRST not in rotation.trusted:
        for name in ("ca.key", "ca.crt"):
            (folder / name).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and path.name not in rotation.trusted:
            shutil.rmtree(path)


def read_rotation(folder: Path) -> Rotation:
    """Return the rotation kept in a folder; none was ever begun where the file is not there.

    Raises:
        ConfigurationError: the file is damaged.

    """
    path = folder / FILE
    try:
        kept = json.loads(path.read_bytes())
        rotation = Rotation(**kept)
    except FileNotFoundError:
        return Rotation(FIRST)
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from error
    except (ValueError, TypeError) as error:
        raise damaged(path) from error
    if not all(isinstance(name, str) and NAME.fullmatch(name) for name in rotation.trusted):
        raise damaged(path)
    return rotation


def damaged(path: Path) -> ConfigurationError:
    return ConfigurationError([f"{path}: damaged; restore the folder from its backup"])


def keep(folder: Path, rotation: Rotation) -> None:
    """Replace the file in one step, and have it on disk."""
    try:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            write_private(Path(fresh) / FILE, json.dumps(asdict(rotation)).encode())
            (Path(fresh) / FILE).replace(folder / FILE)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigurationError([f"{folder / FILE}: cannot be written: {error}"]) from error
