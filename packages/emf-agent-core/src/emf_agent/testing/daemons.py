"""Runs a daemon's life without an agent, for a plugin's own tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio

from emf_agent.plugin import Daemon, DaemonContext
from emf_agent.plugin.daemon import payload_adapter
from emf_agent.sampling import Sample

__all__ = ["Sample", "sample_daemon"]


async def sample_daemon(
    daemon: Daemon, *, updates: int = 0, state_directory: Path = Path()
) -> AsyncGenerator[Sample]:
    """Start a daemon, update it ``updates`` times at its own pace, and stop it.

    Raises:
        TimeoutError: a call was not over by its deadline.

    """
    daemon.context = DaemonContext(state_directory=state_directory)
    adapter = payload_adapter(type(daemon))
    for number in range(updates + 1):
        if number:
            await anyio.sleep(daemon.interval_s)
        began = anyio.current_time()
        with anyio.fail_after(daemon.deadline_s if number else daemon.start_deadline_s):
            payload = await (daemon.update_session() if number else daemon.start_session())
        value = adapter.dump_python(payload, mode="json", warnings="error")
        yield Sample("update" if number else "start", value, anyio.current_time() - began)
    await daemon.stop_session()
