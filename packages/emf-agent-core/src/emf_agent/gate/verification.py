"""Compares the disk with the lock: ownership, metadata, every hash. Imports nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from email.parser import HeaderParser

from emf_agent.gate.locked_files import LockedFiles, TamperedError
from emf_agent.gate.lockfile import Lock, LockedDistribution
from emf_agent.gate.ownership import Walk
from emf_agent.gate.refusal import Refusal

__all__ = ["verify_files"]


def verify_files(lock: Lock, owners: frozenset[int]) -> Mapping[str, tuple[Refusal, ...]]:
    """Return what is wrong with each distribution; nothing is wrong with those left out."""
    files, walk = LockedFiles(lock), Walk(owners)
    found = {
        name: tuple(dict.fromkeys(verify_distribution(one, files, walk)))
        for name, one in lock.distributions.items()
    }
    return {name: refusals for name, refusals in found.items() if refusals}


def verify_distribution(
    locked: LockedDistribution, files: LockedFiles, walk: Walk
) -> list[Refusal]:
    """Return what is wrong with one distribution."""
    found: list[Refusal] = []
    for file in locked.files:
        path = locked.path(file)
        found += walk.faults(path)
        try:
            data = files.read(path)
        except TamperedError as error:
            found.append(error.refusal)
            continue
        except OSError as error:
            found.append(Refusal("missing", path, error.strerror or str(error)))
            continue
        if file == f"{locked.dist_info}/METADATA":
            found += verify_metadata(locked, data)
    if f"{locked.dist_info}/METADATA" not in locked.files:
        found.append(Refusal("meta", locked.name, "its METADATA is not in the lock"))
    return [
        Refusal(one.code, one.subject, one.found, one.advice or f"reinstall {locked.name}")
        for one in found
    ]


def verify_metadata(locked: LockedDistribution, data: bytes) -> list[Refusal]:
    """Return where name and version differ between the directory, METADATA and the lock."""
    headers = HeaderParser().parsestr(data.decode("utf-8", "replace"))
    named, _, version = locked.dist_info.removesuffix(".dist-info").partition("-")
    told = {
        "directory": (normal(named), version),
        "METADATA": (normal(str(headers["Name"])), str(headers["Version"])),
    }
    return [
        Refusal("meta", locked.name, f"{where} says {name} {number}, the lock {locked.version}")
        for where, (name, number) in told.items()
        if (name, number) != (locked.name, locked.version)
    ]


def normal(name: str) -> str:
    """Return the normal form of a distribution's name (PEP 503)."""
    parts = name.lower().replace("_", "-").replace(".", "-").split("-")
    return "-".join(part for part in parts if part)
