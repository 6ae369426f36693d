"""Makes the lock: from the policy to the closure of distributions to the hash of every file.

Nothing is imported. Everything that would make the lock say other than what was reviewed is a
conflict: an editable install, a file that two distributions claim, files that differ from their
RECORD (a later install overwrote them), two metadata directories of one name.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from emf_agent.allowlist import Allowlist
from emf_agent.discovery import Owner, explain, installed_owners, look_around
from emf_agent.errors import EmfError
from emf_agent.gate.lockfile import CORE, Lock, LockedDistribution, python_tag

__all__ = ["CORE_DISTRIBUTION", "LockConflictError", "WheelHashes", "differences", "make_lock"]

CORE_DISTRIBUTION = "emf-agent-core"
COMPILED = (".pyc", ".pyo")
WRITTEN_AT_INSTALL = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"})

WheelHashes = Mapping[str, Mapping[str, str]]
"""For ``name-version`` of a wheel: path below the site to SHA-256, from the release artefacts."""


class LockConflictError(EmfError):
    """What is installed cannot be locked; every conflict with what to do."""

    def __init__(self, conflicts: Sequence[str]) -> None:
        super().__init__("\n".join(conflicts))
        self.conflicts = tuple(conflicts)


@dataclass
class Closure:
    """The distributions that are needed, and by whom; grows while requirements are followed."""

    installed: Mapping[str, list[tuple[Owner, Distribution]]]
    required_by: dict[str, set[str]] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)

    def follow(self, name: str, extras: frozenset[str], needed_by: str, asked_by: str) -> None:
        """Take a distribution and all that it requires; each pair is followed once."""
        waiting = [(name, extras, asked_by)]
        seen: set[tuple[str, frozenset[str]]] = set()
        while waiting:
            name, extras, asked_by = waiting.pop()
            if (name, extras) in seen:
                continue
            seen.add((name, extras))
            found = self.installed.get(name, [])
            if not found:
                self.conflicts.append(f"{name} is not installed, and {asked_by} requires it")
                continue
            self.required_by.setdefault(name, set()).add(needed_by)
            waiting += self.requirements(name, found[0][1], extras)

    def requirements(
        self, name: str, found: Distribution, extras: frozenset[str]
    ) -> list[tuple[str, frozenset[str], str]]:
        """Return what a distribution requires here, and report what does not fit."""
        wanted = []
        for text in found.requires or ():
            try:
                requirement = Requirement(text)
            except InvalidRequirement as error:
                self.conflicts.append(f"{name} requires {text!r}: {error}")
                continue
            if not applies(requirement.marker, extras):
                continue
            needed = str(canonicalize_name(requirement.name))
            self.check_version(name, needed, requirement)
            wanted.append((needed, frozenset(requirement.extras), name))
        return wanted

    def check_version(self, name: str, needed: str, requirement: Requirement) -> None:
        """Report a version that does not fit; ``pip check`` would as well."""
        for owner, _ in self.installed.get(needed, ())[:1]:
            try:
                fits = requirement.specifier.contains(Version(owner.version), prereleases=True)
            except InvalidVersion:
                fits = False
            if not fits:
                self.conflicts.append(
                    f"{name} requires {requirement}, and {needed} {owner.version} is installed"
                )


def applies(marker: Marker | None, extras: frozenset[str]) -> bool:
    """Tell whether a requirement counts in this environment, with these extras."""
    if marker is None:
        return True
    return any(marker.evaluate({"extra": extra}) for extra in (extras or {""}))


def make_lock(
    allowlist: Allowlist,
    policy: bytes,
    *,
    path: Sequence[str] | None = None,
    wheels: WheelHashes | None = None,
) -> tuple[Lock, tuple[str, ...]]:
    """Return the lock of the core and of every enabled plugin, and which plugins are not in it.

    ``path`` holds the folders to look in (default ``sys.path``). With ``wheels`` the hashes come
    from the release artefacts, so that the build host decides what a file is, not the node.

    Raises:
        LockConflictError: with every conflict.

    """
    installed: dict[str, list[tuple[Owner, Distribution]]] = {}
    for owner, found in installed_owners(path):
        installed.setdefault(owner.distribution, []).append((owner, found))
    closure = Closure(installed)
    closure.follow(CORE_DISTRIBUTION, frozenset(), CORE, "the agent")
    left_out: list[str] = []
    scene = look_around(path)
    for rule in allowlist.plugin:
        fault = explain(rule, scene)[-1].fault
        if fault is not None:
            told = f"plugin {rule.id}: {fault}"
            (closure.conflicts if rule.required else left_out).append(told)
            continue
        closure.follow(rule.distribution, frozenset(), f"plugin:{rule.id}", f"plugin {rule.id}")
    distributions = {}
    for name, needed_by in sorted(closure.required_by.items()):
        try:
            distributions[name] = locked(installed[name], needed_by, wheels)
        except LockConflictError as error:
            closure.conflicts.extend(error.conflicts)
    closure.conflicts.extend(claimed_twice(distributions.values(), installed))
    if closure.conflicts:
        raise LockConflictError(list(dict.fromkeys(closure.conflicts)))
    digest = hashlib.sha256(policy).hexdigest()
    return Lock(python_tag(), digest, distributions), tuple(left_out)


def locked(
    found: Sequence[tuple[Owner, Distribution]],
    needed_by: Iterable[str],
    wheels: WheelHashes | None,
) -> LockedDistribution:
    """Return one distribution as it is locked.

    Raises:
        LockConflictError: it cannot be.

    """
    owner, distribution = found[0]
    if len(found) > 1:
        places = ", ".join(one.location for one, _ in found)
        raise LockConflictError(
            [f"several metadata directories claim {owner.distribution}: {places}; keep one"]
        )
    info = Path(owner.location)
    if owner.claimed != owner.distribution or info.suffix != ".dist-info":
        raise LockConflictError(
            [f"{info} says that its name is {owner.claimed}; reinstall {owner.distribution}"]
        )
    if "editable" in (distribution.read_text("direct_url.json") or ""):
        raise LockConflictError(
            [f"{owner} is installed editable; the lock holds files, install its wheel"]
        )
    files = recorded_files(owner, info)
    if wheels is not None:
        files = from_wheel(owner, info, files, wheels)
    return LockedDistribution(
        name=owner.distribution,
        version=owner.version,
        site=str(info.parent),
        dist_info=info.name,
        required_by=tuple(sorted(needed_by)),
        entry_points=tuple(
            sorted((one.group, one.name, one.value) for one in distribution.entry_points)
        ),
        files=files,
    )


def recorded_files(owner: Owner, info: Path) -> dict[str, str]:
    """Return the hash of each file that RECORD lists, having compared it with what RECORD says."""
    try:
        rows = list(csv.reader((info / "RECORD").read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise LockConflictError([f"{info}/RECORD cannot be read: {error}"]) from error
    found: dict[str, str] = {}
    conflicts = []
    for row in rows:
        name = row[0] if row else ""
        parts = PurePosixPath(name).parts
        if not name or name.endswith(COMPILED) or ".." in parts or name.startswith("/"):
            continue  # made by the interpreter, or outside the site (scripts): never imported
        try:
            data = (info.parent / name).read_bytes()
        except OSError as error:
            conflicts.append(f"{info.parent / name}: {error.strerror}; reinstall {owner}")
            continue
        kind, _, told = row[1].partition("=") if len(row) > 1 else ("", "", "")
        digest = hashlib.sha256(data).digest()
        if kind == "sha256" and told != base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
            conflicts.append(
                f"{info.parent / name} differs from the RECORD of {owner}: something overwrote it;"
                " uninstall that, reinstall this"
            )
        found[str(PurePosixPath(*parts))] = digest.hex()
    if conflicts:
        raise LockConflictError(conflicts)
    return found


def from_wheel(
    owner: Owner, info: Path, files: Mapping[str, str], wheels: WheelHashes
) -> dict[str, str]:
    """Return the hashes of the release artefact for what is installed, having compared them."""
    released = wheels.get(f"{owner.distribution}-{owner.version}")
    if released is None:
        raise LockConflictError([f"there is no wheel of {owner}"])
    made = {f"{info.name}/{name}" for name in WRITTEN_AT_INSTALL}
    conflicts = [
        f"{info.parent / name} is not what the wheel of {owner} holds"
        for name, digest in files.items()
        if name not in made and released.get(name) != digest
    ]
    conflicts += [
        f"{info.parent / name} is in the wheel of {owner} and not installed"
        for name in released
        if name not in made and name not in files
    ]
    if conflicts:
        raise LockConflictError(conflicts)
    return {name: digest for name, digest in released.items() if name not in made}


def claimed_twice(
    distributions: Iterable[LockedDistribution],
    installed: Mapping[str, list[tuple[Owner, Distribution]]],
) -> list[str]:
    """Return the files of locked distributions that any other installed one lists as well."""
    owners = {one.path(file): one.name for one in distributions for file in one.files}
    found = []
    for name, owned in sorted(installed.items()):
        for owner, distribution in owned:
            site = Path(owner.location).parent
            for file in distribution.files or ():
                if str(file).endswith(COMPILED):
                    continue
                holder = owners.get(f"{site}/{file}")
                if holder not in (None, name):
                    found.append(f"{site}/{file} is claimed by {holder} and {owner}; uninstall one")
    return found


def differences(old: Lock, new: Lock) -> list[str]:
    """Return what changes from one lock to another, one line each, as a diff."""
    told = [] if old.python == new.python else [f"~ python {old.python} -> {new.python}"]
    if old.policy_sha256 != new.policy_sha256:
        told.append("~ the allowlist")
    for name in sorted({*old.distributions, *new.distributions}):
        before, after = old.distributions.get(name), new.distributions.get(name)
        if before is None or after is None:
            one = after or before
            assert one is not None
            needed = ", ".join(one.required_by)
            told.append(f"{'-' if after is None else '+'} {name} {one.version} ({needed})")
            continue
        if before.version != after.version:
            told.append(f"~ {name} {before.version} -> {after.version}")
        elif before != after:
            told.append(f"~ {name} {after.version}")
        if before.version == after.version:
            told += [
                f"    {sign} {file}"
                for file in sorted({*before.files, *after.files})
                if (sign := changed(before.files.get(file), after.files.get(file)))
            ]
    return told


def changed(before: str | None, after: str | None) -> str:
    """Return the sign of a file's change; nothing where there is none."""
    if before == after:
        return ""
    return "+" if before is None else "-" if after is None else "~"
