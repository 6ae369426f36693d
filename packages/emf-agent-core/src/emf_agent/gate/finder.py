"""The import table: modules, data and metadata come from the lock, or do not exist.

The bytes of a module are read once, hashed, and those very bytes compiled: no ``__pycache__``, no
shadowing, nothing changes between the check and the use (security design, section 3.2).
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import CodeType, ModuleType
from typing import Any

from emf_agent.gate.code_cache import CodeCache
from emf_agent.gate.locked_files import LockedFiles, ResourceReader
from emf_agent.gate.lockfile import Lock, LockedDistribution

__all__ = ["LockedFinder", "StandardLibraryFinder", "is_standard", "standard_library"]

EXTENSIONS = tuple(importlib.machinery.EXTENSION_SUFFIXES)
INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Module:
    """Where a module comes from; a namespace package has no file."""

    path: str | None
    folder: str | None
    """Set for packages."""
    is_extension: bool = False


def module_table(lock: Lock) -> dict[str, Module]:
    """Return every module that the lock lets exist, by its full name.

    As Python has it: a package goes before an extension, an extension before a source file.
    """
    found: dict[str, Module] = {}
    ranks: dict[str, int] = {}
    for one in lock.distributions.values():
        for file in one.files:
            named = module_of(file)
            if named is None:
                continue
            name, is_package, is_extension = named
            rank = 3 if is_package else 2 if is_extension else 1
            if ranks.get(name, 0) >= rank:
                continue
            ranks[name] = rank
            path = one.path(file)
            folder = path.rpartition("/")[0] if is_package else None
            found[name] = Module(path, folder, is_extension)
    for one in lock.distributions.values():
        for file in one.files:
            if module_of(file) is None:
                continue
            for parent in PurePosixPath(file).parents:
                name = ".".join(parent.parts)
                if name and name.replace(".", "_").isidentifier() and name not in found:
                    found[name] = Module(None, one.path(str(parent)))
    return found


def module_of(file: str) -> tuple[str, bool, bool] | None:
    """Return a file's module name, whether it is a package's own, and whether an extension."""
    suffix = next((one for one in (".py", *EXTENSIONS) if file.endswith(one)), None)
    if suffix is None:
        return None
    parts = file[: -len(suffix)].split("/")
    is_package = parts[-1] == "__init__" and len(parts) > 1
    if is_package:
        parts.pop()
    if not all(part.isidentifier() for part in parts):
        return None
    return ".".join(parts), is_package, suffix != ".py"


class SourceLoader(importlib.abc.InspectLoader):
    """Compiles verified bytes, or takes their code from the cache."""

    def __init__(self, name: str, module: Module, files: LockedFiles, cache: CodeCache) -> None:
        assert module.path is not None
        self.name = name
        self.path = module.path
        self._folder = module.folder
        self._files = files
        self._cache = cache

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - the protocol's parameter
        """Return the code of the locked bytes."""
        return self._cache.code(
            self.path, self._files.read(self.path), self._files.sha256[self.path]
        )

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - the protocol's parameter
        """Return the source."""
        return importlib.util.decode_source(self._files.read(self.path))

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002 - the protocol's parameter
        """Return the path."""
        return self.path

    def get_data(self, path: str) -> bytes:
        """Return a data file of the lock."""
        return self._files.read(os.fspath(path))

    def is_package(self, fullname: str) -> bool:  # noqa: ARG002 - the protocol's parameter
        """Tell whether it is a package."""
        return self._folder is not None

    def get_resource_reader(self, fullname: str) -> ResourceReader | None:  # noqa: ARG002
        """Return what ``importlib.resources`` reads with; None for what is no package."""
        return ResourceReader(self._folder, self._files) if self._folder is not None else None


class ExtensionLoader(importlib.machinery.ExtensionFileLoader):
    """Loads a shared object that was verified a moment ago; its folder is root's alone."""

    def __init__(self, name: str, path: str, files: LockedFiles) -> None:
        super().__init__(name, path)
        self._files = files

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Verify, then load."""
        self._files.read(self.path)
        return super().create_module(spec)


class LockedMetadata(importlib.metadata.Distribution):
    """A locked distribution, as ``importlib.metadata`` wants it."""

    def __init__(self, locked: LockedDistribution, files: LockedFiles) -> None:
        self._locked = locked
        self._files = files
        self._path = Path(locked.site, locked.dist_info)

    def read_text(self, filename: str) -> str | None:
        """Return a verified metadata file; None where the lock has none."""
        path = self._locked.path(f"{self._locked.dist_info}/{filename}")
        return self._files.read(path).decode() if path in self._files else None

    def locate_file(self, path: str | os.PathLike[str]) -> Any:
        """Return where a file of the distribution is."""
        return Path(self._locked.site, path)


class LockedFinder(importlib.abc.MetaPathFinder):
    """Finds modules and distributions of the lock, and none besides."""

    def __init__(self, lock: Lock, cache: CodeCache) -> None:
        self.lock = lock
        self.files = LockedFiles(lock)
        self._cache = cache
        self._modules = module_table(lock)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - names are looked up, folders are not
        target: ModuleType | None = None,  # noqa: ARG002 - the protocol's parameter
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a locked module; the standard library's names are not ours."""
        if fullname.partition(".")[0] in sys.stdlib_module_names:
            return None
        module = self._modules.get(fullname)
        if module is None:
            return None
        if module.path is None:
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        else:
            loader: Any = (
                ExtensionLoader(fullname, module.path, self.files)
                if module.is_extension
                else SourceLoader(fullname, module, self.files, self._cache)
            )
            spec = importlib.machinery.ModuleSpec(
                fullname, loader, origin=module.path, is_package=module.folder is not None
            )
            spec.has_location = True
        if module.folder is not None:
            spec.submodule_search_locations = [module.folder]
        return spec

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterator[importlib.metadata.Distribution]:
        """Yield the locked distributions; libraries that look for plugins see only these."""
        wanted = getattr(context, "name", None)
        normal = None if wanted is None else wanted.lower().replace("_", "-").replace(".", "-")
        for name, locked in self.lock.distributions.items():
            if normal in (None, name):
                yield LockedMetadata(locked, self.files)

    def invalidate_caches(self) -> None:
        """Have none."""


def standard_library() -> tuple[str, ...]:
    """Return the folders of the standard library."""
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - paths are text here
    return library, f"{library}/lib-dynload"


def is_standard(path: str, folders: Sequence[str]) -> bool:
    """Tell whether a path is the standard library's; what is installed below it is not."""
    if not any(path == folder or path.startswith(f"{folder}/") for folder in folders):
        return False
    return not any(f"/{name}" in path for name in INSTALLED)


class StandardLibraryFinder(importlib.abc.MetaPathFinder):
    """Finds modules of the standard library, whatever ``sys.path`` has become."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = tuple(folders)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec out of the standard library's folders only."""
        if path is None:
            return importlib.machinery.PathFinder.find_spec(fullname, list(self._folders), target)
        inside = [one for one in path if is_standard(one, self._folders)]
        if not inside:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, inside, target)
