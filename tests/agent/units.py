"""A machine whose units live as tasks: they outlast the agent, as those of systemd do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc

from emf_agent.command import StuckProcess
from emf_agent.detached import ActionFolder, UnitState, perform
from emf_agent.errors import CommandError
from emf_agent.registry import Registry

__all__ = ["Machine"]


@dataclass
class Machine:
    """Fake units: each really performs its order, in this process."""

    registry: Registry
    tasks: anyio.abc.TaskGroup
    units: dict[str, UnitState] = field(default_factory=dict)
    started: list[tuple[str, tuple[str, ...], float]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    stuck: tuple[StuckProcess, ...] = ()
    bus_is_down: bool = False
    refuses: str | None = None
    """What the start says instead of starting."""
    says_nothing: str | None = None
    """What the start says although it has started."""
    stillborn: UnitState | None = None
    """How every unit ends before it does anything."""
    before_stop: Callable[[str], object] = lambda _unit: None
    _scopes: dict[str, anyio.CancelScope] = field(default_factory=dict)

    def _ask(self) -> None:
        if self.bus_is_down:
            raise CommandError("Failed to connect to bus")

    async def start(self, unit: str, argv: Sequence[str], *, limit_s: float) -> None:
        """Start it, once."""
        self._ask()
        if self.refuses is not None:
            raise CommandError(self.refuses)
        if unit in self.units:
            raise CommandError(f"Unit {unit} already exists.")
        self.started.append((unit, tuple(argv), limit_s))
        if self.stillborn is not None:
            self.units[unit] = self.stillborn
            return
        self.units[unit] = UnitState(runs=True)
        self.tasks.start_soon(self._live, unit, ActionFolder(Path(argv[-1])), limit_s)
        if self.says_nothing is not None:
            raise CommandError(self.says_nothing)

    async def _live(self, unit: str, folder: ActionFolder, limit_s: float) -> None:
        with anyio.CancelScope() as scope:
            self._scopes[unit] = scope
            with anyio.move_on_after(limit_s) as limit:
                await perform(folder, folder.order(), self.registry)
            if limit.cancelled_caught:
                self.units[unit] = UnitState(runs=False, result="timeout", status=15)
            elif unit in self.units:
                self.units[unit] = UnitState(runs=False)

    def dies(self, unit: str, state: UnitState | None) -> None:
        """End a unit's processes at once; None: and forget that it was, as a reboot does."""
        self._scopes[unit].cancel()
        if state is None:
            del self.units[unit]
        else:
            self.units[unit] = state

    async def state(self, unit: str) -> UnitState | None:
        """Return how it fares."""
        self._ask()
        await anyio.sleep(0.01)
        return self.units.get(unit)

    async def stop(self, unit: str) -> Sequence[StuckProcess]:
        """Stop it, if it can be stopped."""
        self._ask()
        self.before_stop(unit)
        await anyio.sleep(0.1)
        self.stopped.append(unit)
        if not self.stuck and self.units.pop(unit, None) is not None:
            self._scopes[unit].cancel()
        return self.stuck

    async def forget(self, unit: str) -> None:
        """Give its name back."""
        self._ask()
        self.forgotten.append(unit)
        self.units.pop(unit, None)
