"""What an action may ask of the agent: from the loop and from a worker thread alike."""

from __future__ import annotations

import anyio
import anyio.to_thread
import pytest

from emf_agent.plugin import ActionContext, Progress


@pytest.mark.anyio
async def test_progress_and_lines_arrive_in_order_from_the_loop() -> None:
    heard: list[Progress] = []
    context = ActionContext(report=heard.append)

    context.progress(0.5, "half")
    context.progress(7)
    context.log("line")

    assert heard == [Progress(0.5, "half"), Progress(1.0), Progress(log=("line",))]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_worker_thread_reports_through_the_loop() -> None:
    heard: list[Progress] = []
    deadline = anyio.current_time() + 1000
    context = ActionContext(deadline=deadline, report=heard.append)

    def work() -> float:
        context.log("from a thread")
        return context.remaining()

    remaining = await anyio.to_thread.run_sync(work)

    assert heard == [Progress(log=("from a thread",))]
    assert 0 < remaining <= 1000


@pytest.mark.anyio
async def test_the_time_that_remains_runs_down_to_nothing() -> None:
    context = ActionContext(deadline=anyio.current_time() + 10)

    await anyio.sleep(4)
    assert context.remaining() == pytest.approx(6)
    await anyio.sleep(100)
    assert context.remaining() == 0
