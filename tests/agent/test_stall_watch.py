"""The stall watch: says from a thread who holds the event loop, and is silent while it turns."""

from __future__ import annotations

import logging
import sys
import threading
import time
from types import FrameType

import anyio
import pytest

from emf_agent.stall_watch import BEAT_S, StallWatch, owner_of

LONG_S = 30.0


class Clock:
    """Stands in for the module ``time``."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("emf_agent.stall_watch.time", made)
    return made


def as_plugin(watch: StallWatch, name: str) -> str | None:
    """Look from within a call that is made in a plugin's name."""
    stall_owner = name  # noqa: F841 - read from the frame
    return deeper(watch)


def deeper(watch: StallWatch) -> str | None:
    return watch.look()


@pytest.mark.parametrize(
    ("since_beat_s", "held"),
    [(0.0, False), (BEAT_S, False), (BEAT_S + 0.4, False), (BEAT_S + 0.6, True), (3600.0, True)],
)
def test_a_beat_that_is_late_is_a_stall(clock: Clock, since_beat_s: float, held: bool) -> None:
    watch = StallWatch(threshold_s=0.5)
    clock.now += since_beat_s
    assert (watch.look() is not None) == held


def test_the_plugin_whose_call_is_on_the_stack_is_named(clock: Clock) -> None:
    watch = StallWatch()
    clock.now += 5
    assert as_plugin(watch, "host.disks") == "host.disks"
    assert watch.look() == "the agent itself"


def test_the_longest_stall_and_its_owner_are_kept(clock: Clock) -> None:
    watch = StallWatch()
    assert (watch.longest_s, watch.stalled_by) == (0.0, None)
    clock.now += BEAT_S + 4
    as_plugin(watch, "slow")
    clock.now -= 2
    as_plugin(watch, "less slow")
    assert (watch.longest_s, watch.stalled_by) == (4.0, "slow")
    clock.now += 10
    as_plugin(watch, "slowest")
    assert (watch.longest_s, watch.stalled_by) == (12.0, "slowest")


def test_a_loop_thread_that_is_gone_has_no_stack(clock: Clock) -> None:
    watch = StallWatch()
    other = threading.Thread(target=lambda: setattr(watch, "_loop_thread", threading.get_ident()))
    other.start()
    other.join()
    clock.now += 5
    assert watch.look() == "the agent itself"


def test_a_name_that_is_no_text_is_nobodys() -> None:
    stall_owner = 3  # noqa: F841 - read from the frame
    frame: FrameType | None = sys._getframe()
    assert owner_of(frame) is None
    assert owner_of(None) is None


@pytest.mark.slow("a beat takes a second, and a block must be longer")
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_real_block_is_logged_with_the_plugins_name() -> None:
    """In real time: the loop is held until the thread has said so."""
    said = threading.Event()
    told: list[str] = []

    class Listens(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())
            said.set()

    logger, listener = logging.getLogger("emf_agent.stall_watch"), Listens(logging.WARNING)
    logger.addHandler(listener)
    beats: list[float] = []
    watch = StallWatch(threshold_s=0.05, on_beat=lambda: beats.append(time.monotonic()))
    stall_owner = "host.blocks"  # noqa: F841 - read from the frame
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            with anyio.fail_after(LONG_S):
                while not beats:
                    await anyio.sleep(0.05)
            assert said.wait(LONG_S), "nobody noticed"
            tasks.cancel_scope.cancel()
    finally:
        logger.removeHandler(listener)

    assert "blocked by host.blocks" in told[0]
    assert watch.stalled_by == "host.blocks"
    assert watch.longest_s > 0
