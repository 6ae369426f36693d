"""The start of the closed world: every check, in order, before the agent is imported.

``python3 -I -S boot.pyz [arguments of emf-agent]``. The archive holds these modules and the lock of
the core; it stands outside every folder that pip writes to, and is what all else is held against.
Exit 78: the agent itself cannot be trusted. Safe mode: it can, and its plugins cannot.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emf_agent.gate.audit import refuse, watch_code
from emf_agent.gate.code_cache import CodeCache
from emf_agent.gate.finder import StandardLibraryFinder, is_standard, standard_library
from emf_agent.gate.lockfile import Lock, parse_lock, python_tag
from emf_agent.gate.ownership import read_trusted, trusted_owners, untrusted
from emf_agent.gate.refusal import GateError, Refusal
from emf_agent.gate.signature import verify_signature
from emf_agent.gate.verification import verify_files
from emf_agent.gate.world import ClosedWorld, WorldFinder

__all__ = ["CONFIGURATION_INVALID", "Places", "enter", "examine", "main", "requires_signature"]

CONFIGURATION_INVALID = 78
POLICY_BYTES = 1024 * 1024
LOCK_BYTES = 16 * 1024 * 1024
KEPT_VARIABLES = ("EMF_AGENT_LOG__", "EMF_AGENT_MANAGER__", "EMF_AGENT_NODE__")
"""The only settings that the environment may make in the closed world."""
DROPPED_VARIABLES = ("PRIVATE_PEM_PATH", "CRT_PATH", "AUTHORITY_CRT_PATH")


@dataclass(frozen=True)
class Places:
    """Where the policy, the lock and the code cache are."""

    policy: Path
    lock: Path
    cache: Path

    @property
    def signature(self) -> Path:
        """Return the lock's detached signature."""
        return self.lock.with_name(f"{self.lock.name}.sig")

    @property
    def signers(self) -> Path:
        """Return the keys that may sign, in the form of ssh-keygen(1), ALLOWED SIGNERS."""
        return self.lock.with_name("lock_signers")

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Places:
        """Return them for a command line: ``--state-dir D`` moves them all."""
        for index, argument in enumerate(arguments):
            name, _, value = argument.partition("=")
            if name == "--state-dir":
                folder = value or next(iter(arguments[index + 1 :]), "")
                return cls.below(Path(folder).absolute())
        etc = Path("/etc/emf-agent")
        return cls(
            etc / "allowlist.toml", etc / "allowlist.lock", Path("/var/cache/emf-agent/code")
        )

    @classmethod
    def below(cls, folder: Path) -> Places:
        """Return them below one folder."""
        etc = folder / "etc"
        return cls(etc / "allowlist.toml", etc / "allowlist.lock", folder / "cache" / "code")


def main(archive: str, core_lock: bytes) -> None:
    """Check everything, close the world, and run the program."""
    os.umask(0o077)
    sys.path.remove(archive)
    try:
        world = examine(archive, core_lock, Places.of(sys.argv[1:]))
    except GateError as error:
        for refusal in error.refusals:
            sys.stderr.write(f"emf-agent: {refusal}\n")
        sys.exit(CONFIGURATION_INVALID)
    enter(world, Places.of(sys.argv[1:]).cache, archive)
    from emf_agent.cli import main as program

    program(sys.argv[1:])


def examine(archive: str, core_lock: bytes, places: Places) -> ClosedWorld:
    """Return what may be imported.

    Raises:
        GateError: the interpreter, the archive or the core cannot be trusted.

    """
    owners = trusted_owners()
    core = parse_lock(core_lock, archive)
    found = [*interpreter_faults(core), *untrusted([os.path.abspath(archive)], owners)]  # noqa: PTH100
    damaged = verify_files(core, owners)
    found += [refusal for refusals in damaged.values() for refusal in refusals]
    if found:
        raise GateError(found)
    try:
        lock = plugins_lock(places, core, owners)
    except GateError as error:
        return ClosedWorld(core, safe_mode="; ".join(map(str, error.refusals)))
    rest = Lock(
        lock.python,
        lock.policy_sha256,
        {n: one for n, one in lock.distributions.items() if n not in core.distributions},
    )
    refused = verify_files(rest, owners)
    sound = {n: one for n, one in rest.distributions.items() if n not in refused}
    return ClosedWorld(
        Lock(lock.python, lock.policy_sha256, {**core.distributions, **sound}),
        refused,
        {
            plugin: "; ".join(map(str, refusals[:3]))
            for name, refusals in sorted(refused.items())
            for plugin in lock.plugins_of(name)
        },
    )


def interpreter_faults(core: Lock) -> list[Refusal]:
    """Return what is wrong with how Python was started."""
    found = []
    if not (sys.flags.isolated and sys.flags.no_site):
        found.append(
            Refusal("interp", sys.executable, "was not started with -I -S", "use the shipped unit")
        )
    if core.python != python_tag():
        found.append(
            Refusal(
                "interp",
                sys.executable,
                f"is {python_tag()}, the core was locked for {core.python}",
                "run `emf-agent plugin boot` with this interpreter",
            )
        )
    return found


def plugins_lock(places: Places, core: Lock, owners: frozenset[int]) -> Lock:
    """Return the lock of the plugins.

    Raises:
        GateError: policy, lock or signature cannot be trusted: safe mode.

    """
    policy = read_trusted(places.policy, owners, limit_bytes=POLICY_BYTES)
    text = read_trusted(places.lock, owners, limit_bytes=LOCK_BYTES)
    if requires_signature(policy):
        faults = untrusted([str(places.signature), str(places.signers)], owners)
        if faults:
            raise GateError(faults)
        verify_signature(text, places.signature, places.signers)
    lock = parse_lock(text, str(places.lock))
    if lock.python != core.python:
        raise GateError(
            [Refusal("lock", str(places.lock), f"is for {lock.python}, this is {core.python}")]
        )
    differing = [
        name
        for name, one in core.distributions.items()
        if name in lock.distributions
        and (one.version, one.files)
        != (lock.distributions[name].version, lock.distributions[name].files)
    ]
    if differing:
        raise GateError(
            [
                Refusal(
                    "lock",
                    str(places.lock),
                    f"holds another {', '.join(differing)} than the agent runs with",
                    "run `emf-agent plugin lock`",
                )
            ]
        )
    return lock


def requires_signature(policy: bytes) -> bool:
    """Tell whether the policy wants the lock signed.

    Python 3.10 has no TOML parser and nothing else may be imported yet; so whatever mentions the
    key outside a comment, and is not plainly ``= false``, counts as wanting it.
    """
    for line in policy.decode("utf-8", "replace").splitlines():
        told = line.partition("#")[0]
        if "require_signature" in told and told.replace(" ", "").replace("\t", "") != (
            "require_signature=false"
        ):
            return True
    return False


def enter(
    world: ClosedWorld,
    cache: Path,
    archive: str,
    on_foreign: Callable[[str], None] = refuse,
) -> None:
    """Close the world: from here on only Python's own and locked modules can be imported."""
    standard = standard_library()
    for name in [one for one in os.environ if is_dropped(one)]:
        del os.environ[name]
    sys.path[:] = [one for one in sys.path if is_standard(one, standard) or one.endswith(".zip")]
    sys.path_importer_cache.clear()
    finder = WorldFinder(world, CodeCache(cache))
    built_in = [one for one in sys.meta_path if getattr(one, "__name__", "") in BUILT_IN]
    sys.meta_path[:] = [*built_in, finder, StandardLibraryFinder(standard)]
    watch_code(finder.files, standard, archive, on_foreign)
    # The package itself came from the archive; its other modules come from the lock.
    opened = sys.modules.pop("emf_agent")
    again = __import__("emf_agent")
    again.gate = opened.gate  # type: ignore[attr-defined]


BUILT_IN = frozenset({"BuiltinImporter", "FrozenImporter"})


def is_dropped(name: str) -> bool:
    """Tell whether a variable could change what runs here, or what the node's owner decided."""
    if name in DROPPED_VARIABLES:
        return True
    return name.startswith("EMF_AGENT_") and not name.startswith(KEPT_VARIABLES)
