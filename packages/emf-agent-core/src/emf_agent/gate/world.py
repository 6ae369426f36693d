"""The closed world of this process: which lock holds, what it refused, and why."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from emf_agent.gate.code_cache import CodeCache
from emf_agent.gate.finder import LockedFinder
from emf_agent.gate.lockfile import Lock
from emf_agent.gate.refusal import Refusal

__all__ = ["ClosedWorld", "WorldFinder", "closed_world"]


@dataclass(frozen=True)
class ClosedWorld:
    """What the boot found; made once, before the core is imported."""

    lock: Lock
    """What may be imported: the core, and of the plugins' lock what was not refused."""
    refused: Mapping[str, tuple[Refusal, ...]] = field(default_factory=dict)
    """Distributions that differ from the lock, with the reasons."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Plugins (by id) that need a refused distribution, with the reason."""
    safe_mode: str | None = None
    """Why no plugin may be loaded at all, or None."""

    def sites(self) -> list[str]:
        """Return the folders that locked distributions live in."""
        return sorted({one.site for one in self.lock.distributions.values()})


class WorldFinder(LockedFinder):
    """The finder of the closed world; the process's only one for what is installed."""

    def __init__(self, world: ClosedWorld, cache: CodeCache) -> None:
        super().__init__(world.lock, cache)
        self.world = world


def closed_world() -> ClosedWorld | None:
    """Return the world this process was started in; None where it was started without a gate."""
    for finder in sys.meta_path:
        if isinstance(finder, WorldFinder):
            return finder.world
    return None
