"""Locked files: read once, and only as what they were locked to be; modules' data among them."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from emf_agent.gate.lockfile import Lock
from emf_agent.gate.refusal import Refusal

__all__ = ["LockedFiles", "ResourceReader", "TamperedError"]


class TamperedError(ImportError):
    """A file is not what the lock says: ``refused(hash)``."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"refused({refusal.code}): {refusal.subject}: {refusal.found}")
        self.refusal = refusal


class LockedFiles:
    """Every file of the lock, by its path; read only as what it was locked to be."""

    def __init__(self, lock: Lock) -> None:
        self.sha256: dict[str, str] = {}
        for one in lock.distributions.values():
            for file, sha256 in one.files.items():
                self.sha256[one.path(file)] = sha256

    def __contains__(self, path: object) -> bool:
        return path in self.sha256

    def read(self, path: str) -> bytes:
        """Return the bytes of a locked file.

        Raises:
            OSError: it is not there, or not in the lock.
            TamperedError: it is not what was locked.

        """
        expected = self.sha256.get(path)
        if expected is None:
            raise FileNotFoundError(2, "not in the lock", path)
        with open(path, "rb") as file:  # noqa: PTH123 - this runs for each import
            data = file.read()
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise TamperedError(
                Refusal("hash", path, f"has SHA-256 {found}, the lock says {expected}")
            )
        return data


class Resource:
    """A folder or file of the lock, as ``importlib.resources`` wants it (``Traversable``)."""

    def __init__(self, path: str, files: LockedFiles) -> None:
        self._path = path
        self._files = files

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self._path.rpartition("/")[2]

    def __str__(self) -> str:
        return self._path

    def iterdir(self) -> Iterator[Resource]:
        """Yield what the lock has in this folder."""
        prefix = f"{self._path}/"
        names = {
            path[len(prefix) :].partition("/")[0]
            for path in self._files.sha256
            if path.startswith(prefix)
        }
        return (Resource(prefix + name, self._files) for name in sorted(names))

    def is_dir(self) -> bool:
        """Tell whether the lock has something below."""
        return any(path.startswith(f"{self._path}/") for path in self._files.sha256)

    def is_file(self) -> bool:
        """Tell whether it is a locked file."""
        return self._path in self._files

    def joinpath(self, *descendants: str | os.PathLike[str]) -> Resource:
        """Return what is below."""
        return Resource(os.path.normpath(Path(self._path, *descendants)), self._files)

    __truediv__ = joinpath

    def read_bytes(self) -> bytes:
        """Return the verified bytes."""
        return self._files.read(self._path)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Return the verified text."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def open(self, mode: str = "r", *_: Any, **how: Any) -> IO[Any]:
        """Return a file over the verified bytes."""
        data = io.BytesIO(self.read_bytes())
        return data if "b" in mode else io.TextIOWrapper(data, **{"encoding": "utf-8", **how})


class ResourceReader:
    """What a package's loader gives to ``importlib.resources``."""

    def __init__(self, folder: str, files: LockedFiles) -> None:
        self._folder = Resource(folder, files)

    def files(self) -> Resource:
        """Return the package's folder."""
        return self._folder

    def open_resource(self, resource: str) -> IO[bytes]:
        """Return a file over the verified bytes."""
        return self._folder.joinpath(resource).open("rb")

    def resource_path(self, resource: str) -> str:
        """Give no path: what is read must be what was verified."""
        raise FileNotFoundError(resource)

    def is_resource(self, name: str) -> bool:
        """Tell whether it is a locked file."""
        return self._folder.joinpath(name).is_file()

    def contents(self) -> list[str]:
        """Return what the lock has in the package's folder."""
        return [one.name for one in self._folder.iterdir()]
