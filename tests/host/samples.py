"""What a daemon sends, as plain JSON, without an agent."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread

from emf_agent.plugin import Action, ActionContext, Daemon
from emf_agent.testing import sample_daemon

__all__ = ["call", "first_value"]


async def first_value(daemon: Daemon, state_directory: Path = Path()) -> Any:
    """Return the first value of a daemon, as it would be sent."""
    samples = [sample async for sample in sample_daemon(daemon, state_directory=state_directory)]
    return samples[0].value


async def call(action: Action[..., Any], args: Any, context: ActionContext | None = None) -> Any:
    """Run an action as the agent does: arguments bound, the result encoded."""
    arguments = action.with_context(action.bind(args), context or ActionContext())
    if action.is_async:
        return action.encode(await action.function(**arguments))
    return action.encode(await anyio.to_thread.run_sync(partial(action.function, **arguments)))
