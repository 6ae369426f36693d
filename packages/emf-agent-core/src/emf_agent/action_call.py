"""One call of one action: whatever it does or raises becomes one verdict (W-A4).

The same in the agent, in a unit of its own, and by hand on the command line.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio.to_thread

from emf_agent.command import CommandStuckError
from emf_agent.errors import ActionError
from emf_agent.plugin import ActionContext
from emf_agent.registry import RegisteredAction
from emf_agent.wire import Err, Ok, OutcomeKind

__all__ = ["RESULT_BYTES", "ActionCall", "Verdict"]

logger = logging.getLogger(__name__)

RESULT_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Verdict:
    """How an action ended, before it is written down."""

    kind: OutcomeKind
    result: Ok | Err
    reason: str | None = None
    truncated: bool = False


class WorkerThread:
    """The call of a plain function in a worker thread, which no cancellation can stop."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.alive = False

    def __call__(self) -> Any:
        """Run the function, in the thread."""
        self.alive = True
        try:
            return self._function()
        finally:
            self.alive = False


class ActionCall:
    """A call that is made once. Cancelling :meth:`verdict` cancels the action."""

    def __init__(self, registered: RegisteredAction, *, result_bytes: int = RESULT_BYTES) -> None:
        self._registered = registered
        self._result_bytes = result_bytes
        self._thread: WorkerThread | None = None

    @property
    def runs_on(self) -> bool:
        """Tell whether a worker thread still runs, though the call was cancelled."""
        return self._thread is not None and self._thread.alive

    async def verdict(self, bound: Mapping[str, Any], context: ActionContext) -> Verdict:
        """Call the function, on the loop or in a worker thread, and judge how it ended."""
        action = self._registered.action
        stall_owner = f"{self._registered.plugin}:{action.name}"  # noqa: F841 - for the stall watch
        arguments = action.with_context(bound, context)
        try:
            if action.is_async:
                value = await action.function(**arguments)
            else:
                self._thread = WorkerThread(partial(action.function, **arguments))
                value = await anyio.to_thread.run_sync(self._thread, abandon_on_cancel=True)
            return self._cut(Ok(value=action.encode(value)))
        except CommandStuckError as error:
            return Verdict("unknown", Err(text=str(error)), reason=str(error))
        except ActionError as error:
            return Verdict("failed", Err(text=str(error)))
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            logger.exception("action=%s id=%s crashed", action.name, context.action_id)
            return Verdict("failed", Err(text=f"{type(error).__name__}: {error}"))

    def _cut(self, result: Ok) -> Verdict:
        text = json.dumps(result.value)
        if len(text) <= self._result_bytes:
            return Verdict("ok", result)
        cut = result.value if isinstance(result.value, str) else text
        return Verdict(
            "ok",
            Ok(value=cut[: self._result_bytes]),
            reason=f"the result of {len(text)} bytes was cut to {self._result_bytes}",
            truncated=True,
        )
