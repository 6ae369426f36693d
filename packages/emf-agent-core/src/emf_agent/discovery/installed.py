"""What is installed, as its metadata says: entry points and their owners. Imports nothing of it.

Only the standard library's own path finder is asked. ``importlib.metadata.entry_points()`` would
ask every finder on ``sys.meta_path``, so that listing alone could run foreign code (section 2,
row 2, of the security design).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from pathlib import Path

from packaging.utils import canonicalize_name

from emf_agent.plugin import ENTRY_POINT_GROUP

__all__ = ["Entry", "Owner", "entries_of", "installed_entries", "installed_owners"]

DIRECTORY = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)(-py\d[\w.]*)?\.(dist|egg)-info$")


@dataclass(frozen=True)
class Owner:
    """One metadata directory."""

    distribution: str
    """Normal name, taken from the directory: METADATA may say anything (row 6)."""
    claimed: str
    """Normal name that METADATA gives."""
    version: str
    location: str
    """The directory."""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Entry:
    """One entry point of our group, and the distribution that offers it."""

    name: str
    value: str
    owner: Owner


def distributions(path: Sequence[str] | None) -> Iterable[Distribution]:
    """Return every distribution in the folders, as the standard library's finder sees them."""
    context = DistributionFinder.Context(path=list(sys.path if path is None else path))
    return MetadataPathFinder().find_distributions(context)


def installed_owners(path: Sequence[str] | None = None) -> list[tuple[Owner, Distribution]]:
    """Return the metadata directories in the folders of ``path`` (default: ``sys.path``).

    Each directory once, in a fixed order; damaged metadata counts as empty.
    """
    found: dict[str, tuple[Owner, Distribution]] = {}
    for one in distributions(path):
        owner = owner_of(one)
        found.setdefault(owner.location, (owner, one))
    return [found[location] for location in sorted(found)]


def owner_of(found: Distribution) -> Owner:
    """Return who a metadata directory belongs to."""
    directory = Path(str(getattr(found, "_path", "")))
    named = DIRECTORY.match(directory.name)
    claimed, version = told_by(found)
    name = named["name"] if named else directory.name.partition(".")[0] or claimed
    return Owner(
        distribution=str(canonicalize_name(name)),
        claimed=str(canonicalize_name(claimed)),
        version=version or (named["version"] if named else ""),
        location=str(directory.resolve()),
    )


def told_by(found: Distribution) -> tuple[str, str]:
    """Return the name and version that METADATA gives; nothing where it is damaged."""
    try:
        metadata = found.metadata
        name = str(metadata["Name"]) if "Name" in metadata else ""
        return name, str(metadata["Version"]) if "Version" in metadata else ""
    except (KeyError, OSError, ValueError, TypeError):
        return "", ""


def installed_entries(path: Sequence[str] | None = None) -> tuple[Entry, ...]:
    """Return every entry point of group ``emf_agent.plugins``, by name and owner."""
    return entries_of(installed_owners(path))


def entries_of(owners: Iterable[tuple[Owner, Distribution]]) -> tuple[Entry, ...]:
    """Return the entry points of our group that these offer, by name and owner."""
    found = []
    for owner, one in owners:
        try:
            points = [point for point in one.entry_points if point.group == ENTRY_POINT_GROUP]
        except (OSError, ValueError, TypeError, KeyError, UnicodeError, AttributeError):
            continue
        found += [Entry(point.name, point.value.strip(), owner) for point in points]
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.owner.location, entry.value)))
