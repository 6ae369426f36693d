"""What all commands share: a search path, a containment, and the haste of an agent that ends."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import pytest

from emf_agent.command import CommandFailedError, Surroundings, run, surroundings

pytestmark = pytest.mark.anyio

LONG_S = 60.0
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Real time: real processes take part."""
    return str(request.param)


def test_outside_of_any_there_are_default_ones() -> None:
    assert surroundings().kill_deadline_s == 2.0
    assert surroundings() is not surroundings()


def test_inside_there_are_those_that_were_entered(tmp_path: Path) -> None:
    with Surroundings(search_path=(str(tmp_path),)).entered() as entered:
        assert surroundings() is entered
    assert surroundings() is not entered


async def cancelled_when_ready(grace_s: float, hurry: bool, asked: anyio.Event) -> None:
    """Run a program that hears no SIGTERM and cancel it; ``hurry``: in the haste already."""
    with anyio.CancelScope() as scope:

        def ready(_: object) -> None:
            if hurry:
                surroundings().haste.begin()
            asked.set()
            scope.cancel()

        await run(["sh", "-c", DEAF], on_output=ready, grace_s=grace_s)


async def test_an_agent_that_ends_gives_no_grace() -> None:
    """A grace of an hour; the test would hang without the haste."""
    with Surroundings().entered(), anyio.fail_after(LONG_S):
        await cancelled_when_ready(3600.0, hurry=True, asked=anyio.Event())


async def test_a_grace_that_is_being_waited_for_ends_with_the_agent() -> None:
    with Surroundings().entered() as around, anyio.fail_after(LONG_S):
        asked = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancelled_when_ready, 3600.0, False, asked)
            await asked.wait()
            await anyio.sleep(0.2)
            around.haste.begin()


async def test_without_haste_the_grace_is_what_was_asked_for() -> None:
    began = time.monotonic()
    with Surroundings().entered(), anyio.fail_after(LONG_S):
        await cancelled_when_ready(0.3, hurry=False, asked=anyio.Event())
    assert time.monotonic() - began >= 0.3


async def test_a_program_that_ends_by_itself_knows_no_haste() -> None:
    with Surroundings().entered() as around:
        around.haste.begin()
        assert (await run(["sh", "-c", "echo done"])).stdout.text == "done\n"
        with pytest.raises(CommandFailedError):
            await run(["sh", "-c", "exit 3"])
