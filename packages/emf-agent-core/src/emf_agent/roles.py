"""Roles of nodes (``mds``, ``oss``, ``client``): sets of entry points, from files in the bundles.

A bundle ships ``<package>/roles/*.toml``; the files of one role are merged over all bundles. They
are found and read without importing the package.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emf_agent.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["ALL", "Role", "find_roles"]

ALL = "all"
"""The role that takes everything installed; no file describes it."""
FILE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Role:
    """One role, merged over all bundles."""

    name: str
    summary: str
    plugins: tuple[str, ...]
    """Names of entry points."""


class RoleFile(BaseModel):
    """What one bundle says of a role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    summary: Annotated[str, Field(min_length=1, max_length=200)]
    plugins: tuple[str, ...]


def find_roles(entry_values: Iterable[str]) -> Mapping[str, Role]:
    """Return the roles that the packages behind these entry points' values ship, by name.

    Raises:
        ConfigurationError: a role file is wrong, every fault with its file.

    """
    found: dict[str, Role] = {}
    faults = []
    for package in sorted({value.partition(":")[0].partition(".")[0] for value in entry_values}):
        for path in role_files(package):
            try:
                told = read(path)
            except (OSError, ValueError) as error:
                faults.append(f"{path}: not a role file: {' '.join(str(error).split())}")
                continue
            known = found.get(told.role, Role(told.role, told.summary, ()))
            plugins = tuple(dict.fromkeys((*known.plugins, *told.plugins)))
            found[told.role] = Role(known.name, known.summary, plugins)
    if faults:
        raise ConfigurationError(faults)
    return dict(sorted(found.items()))


def role_files(package: str) -> list[Path]:
    """Return the role files of a top-level package, which is looked up and not imported."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    folders = (spec.submodule_search_locations if spec else None) or []
    return sorted(path for folder in folders for path in Path(folder, "roles").glob("*.toml"))


def read(path: Path) -> RoleFile:
    """Return one file; raises OSError and ValueError."""
    with path.open("rb") as file:
        text = file.read(FILE_BYTES + 1)
    if len(text) > FILE_BYTES:
        raise ValueError(f"larger than {FILE_BYTES} bytes")
    try:
        told = RoleFile.model_validate(tomllib.loads(text.decode()))
    except ValidationError as error:
        raise ValueError(
            "; ".join(f"{one['loc']}: {one['msg']}" for one in error.errors())
        ) from None
    if told.role == ALL:
        raise ValueError(f"{ALL!r} is the role of everything installed, no file can describe it")
    return told
