"""What a running action or daemon may ask of the agent around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.from_thread
from anyio import NoEventLoopError

__all__ = ["ActionContext", "DaemonContext", "Progress"]

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """One report of a running action."""

    fraction: float | None = None
    """0 to 1, or None where it cannot be told."""
    message: str | None = None
    log: tuple[str, ...] = ()


def ignore(_: Progress) -> None:
    """Take a report nobody listens to."""


def on_the_loop(call: Callable[[], T]) -> T:
    """Run ``call`` on the event loop, from the loop itself or from an action's worker thread."""
    try:
        anyio.get_current_task()
    except NoEventLoopError:
        return anyio.from_thread.run_sync(call)
    return call()


@dataclass(frozen=True)
class ActionContext:
    """Handed to an action that has a parameter annotated ``ActionContext``.

    Without an agent (in a test) ``ActionContext()`` works: reports go nowhere, time does not end.
    """

    action_id: str = "local"
    dry_run: bool = False
    """Say what would be done, change nothing. Only set where the action declared ``dry_run``."""
    deadline: float = math.inf
    """The loop's clock at which the action is cancelled."""
    report: Callable[[Progress], None] = field(default=ignore, repr=False)

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Tell how far the action is; may be called as often as one likes, the newest counts."""
        if fraction is not None:
            fraction = min(1.0, max(0.0, fraction))
        on_the_loop(lambda: self.report(Progress(fraction=fraction, message=message)))

    def log(self, text: str) -> None:
        """Send a line to whoever follows the action."""
        on_the_loop(lambda: self.report(Progress(log=(text,))))

    def remaining(self) -> float:
        """Return the seconds left before the action is cancelled; infinite without a timeout."""
        if math.isinf(self.deadline):
            return math.inf
        return max(0.0, self.deadline - on_the_loop(anyio.current_time))


def nobody() -> None:
    """Take a wake-up nobody waits for."""


@dataclass(frozen=True)
class DaemonContext:
    """What a daemon instance may ask of the agent; ``self.context`` from ``start_session`` on."""

    state_directory: Path = Path()
    """A folder of this plugin alone that outlives sessions and restarts; may not exist yet."""
    wake: Callable[[], None] = field(default=nobody, repr=False)
    """Ask for an update now, before the interval is over. Call it on the event loop."""
