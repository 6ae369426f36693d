"""A short session without an agent: what a daemon would send, phase by phase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
from pydantic import JsonValue

from emf_agent.errors import EmfError
from emf_agent.plugin import Daemon, DaemonContext
from emf_agent.registry import RegisteredDaemon

__all__ = ["Sample", "SampleError", "sample"]

STOP_WITHIN_S = 1.0


class SampleError(EmfError):
    """The daemon gave no value, and why."""


@dataclass(frozen=True)
class Sample:
    """One value of a daemon, as it would be sent."""

    phase: str
    """``start`` or ``update``."""
    value: JsonValue
    seconds: float


async def sample(
    registered: RegisteredDaemon,
    show: Callable[[Sample], None],
    *,
    updates: int,
    state_directory: Path,
) -> None:
    """Start a daemon, update it ``updates`` times, and stop it; its watch runs beside.

    Updates come at the daemon's own pace, and sooner where its watch sees a change.

    Raises:
        SampleError: a call failed or was not over by its deadline.

    """
    daemon = registered.factory()
    change = Change()
    daemon.context = DaemonContext(state_directory=state_directory, wake=change.see)
    trouble: list[SampleError] = []
    try:
        show(await one(registered, daemon, "start"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, daemon)
            try:
                for _ in range(updates):
                    await change.within(registered.interval_s)
                    show(await one(registered, daemon, "update"))
            except SampleError as error:
                # Raised below: a task group would wrap it.
                trouble.append(error)
            tasks.cancel_scope.cancel()
    finally:
        with anyio.move_on_after(STOP_WITHIN_S, shield=True):
            await daemon.stop_session()
    if trouble:
        raise trouble[0]


class Change:
    """What the daemon's watch saw since the last update."""

    def __init__(self) -> None:
        self._seen = anyio.Event()

    def see(self) -> None:
        """Take note of a change."""
        self._seen.set()

    async def within(self, interval_s: float) -> None:
        """Wait for a change, or for the interval to be over."""
        with anyio.move_on_after(interval_s):
            await self._seen.wait()
        self._seen = anyio.Event()


async def one(registered: RegisteredDaemon, daemon: Daemon, phase: str) -> Sample:
    """Call one phase under its deadline."""
    starts = phase == "start"
    deadline_s = registered.start_deadline_s if starts else registered.deadline_s
    began = anyio.current_time()
    try:
        with anyio.fail_after(deadline_s):
            payload = await (daemon.start_session() if starts else daemon.update_session())
    except TimeoutError as error:
        raise SampleError(
            f"{registered.name}: {phase} took longer than {deadline_s:g} s"
        ) from error
    except EmfError as error:
        raise SampleError(f"{registered.name}: {error}") from error
    seconds = round(anyio.current_time() - began, 6)
    value: JsonValue = registered.payload.dump_python(payload, mode="json", warnings="error")
    return Sample(phase, value, seconds)


async def watch(daemon: Daemon) -> None:
    """Run the daemon's own watch; a sample is not worth less where that fails."""
    try:
        await daemon.watch_session()
    except EmfError:
        return
