"""A short session without an agent: pace, watch, deadlines, and a stop whatever happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from emf_agent.plugin import Daemon, DaemonFault
from emf_agent.registry import register_daemon
from emf_agent.sampling import Sample, SampleError, sample

pytestmark = pytest.mark.anyio


class Counts(Daemon):
    """Counts."""

    name = "counts"
    stopped: ClassVar[bool] = False

    def __init__(self) -> None:
        self._n = 0

    async def update_session(self) -> int:
        self._n += 1
        return self._n

    async def stop_session(self) -> None:
        type(self).stopped = True


async def taken(kind: type[Daemon], updates: int) -> list[Sample]:
    found: list[Sample] = []
    registered = register_daemon("p", kind)
    await sample(registered, found.append, updates=updates, state_directory=Path())
    return found


async def test_each_phase_is_shown_at_the_daemons_own_pace() -> None:
    began = anyio.current_time()

    found = await taken(Counts, 2)

    assert [(one.phase, one.value) for one in found] == [
        ("start", 1),
        ("update", 2),
        ("update", 3),
    ]
    assert anyio.current_time() - began == pytest.approx(20)
    assert Counts.stopped


async def test_a_change_that_the_watch_sees_is_shown_before_the_interval_is_over() -> None:
    class Watches(Counts):
        async def watch_session(self) -> None:
            await anyio.sleep(2)
            self.context.wake()

    began = anyio.current_time()

    await taken(Watches, 1)

    assert anyio.current_time() - began == pytest.approx(2)


@pytest.mark.parametrize("phase", ["start", "update"])
@pytest.mark.parametrize("how", ["late", "fault"])
async def test_a_phase_that_gives_no_value_says_why_and_is_stopped(phase: str, how: str) -> None:
    class Fails(Counts):
        async def update_session(self) -> Any:
            if self._n == (0 if phase == "start" else 1):
                if how == "fault":
                    raise DaemonFault("no such device")
                await anyio.sleep(3600)
            return await super().update_session()

    Fails.stopped = False
    told = "no such device" if how == "fault" else f"{phase} took longer"
    with pytest.raises(SampleError, match=told):
        await taken(Fails, 1)

    assert Fails.stopped
