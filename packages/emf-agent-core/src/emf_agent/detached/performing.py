"""What runs inside the unit: takes the order, calls the action, leaves the verdict."""

from __future__ import annotations

import logging

import anyio

from emf_agent.action_call import ActionCall, Verdict
from emf_agent.detached.files import ActionFolder, Order
from emf_agent.plugin import ActionContext, ArgumentsError, Progress
from emf_agent.registry import Registry
from emf_agent.wire import Err

__all__ = ["perform"]

logger = logging.getLogger(__name__)


async def perform(folder: ActionFolder, order: Order, registry: Registry) -> Verdict:
    """Carry an order out and write how it ended. Its end by time or cancel is the unit's.

    Raises:
        EmfError: the verdict cannot be written.

    """
    verdict = await called(folder, order, registry)
    folder.conclude(verdict)
    return verdict


async def called(folder: ActionFolder, order: Order, registry: Registry) -> Verdict:
    """Return the verdict; the order is gone before the effect."""
    registered = registry.actions.get(order.action)
    if registered is None:
        why = f"no action named {order.action!r} on this node"
        return Verdict("refused", Err(text=why), reason=why)
    try:
        bound = registered.action.bind(order.args)
    except ArgumentsError as error:
        return Verdict("refused", Err(text=str(error)), reason=str(error))
    folder.take()

    def report(progress: Progress) -> None:
        try:
            folder.tell(progress)
        except OSError as error:
            logger.warning("progress is lost: %s", error)

    context = ActionContext(
        action_id=order.id, deadline=anyio.current_time() + order.timeout_s, report=report
    )
    return await ActionCall(registered, result_bytes=order.result_bytes).verdict(bound, context)
