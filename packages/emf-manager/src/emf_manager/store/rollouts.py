"""What the store does for rollouts, as its own narrow Protocol: release what is held, or end it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

from emf_manager.records import Event, Target

__all__ = ["Released", "RolloutStore", "Stopped"]


@dataclass(frozen=True)
class Released:
    """What is queued now, by node; what was not held any more is not among it."""

    targets: tuple[Target, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Stopped:
    """How many targets have got this outcome; what was not held any more is not counted."""

    count: int
    events: tuple[Event, ...]
    """``job.stopped``, and ``job.done`` where these were the job's last open targets."""


class RolloutStore(Protocol):
    """Each method is one transaction; raises as ``Store``."""

    async def release(
        self, job_id: str, action_ids: Collection[str], *, batch: int, at: float
    ) -> Released:
        """Queue what is held of these, and append ``job.released``."""
        ...

    async def stop(
        self,
        job_id: str,
        action_ids: Collection[str],
        *,
        kind: Literal["cancelled", "expired"],
        reason: str,
        at: float,
    ) -> Stopped:
        """Give what is held of these the manager's outcome."""
        ...
