"""Bodies of the ``action_runner`` session: what the manager orders, what the agent reports.

Ancestor protocol, sections 3.3 and 5.1. ``{"Ok": {"id": …, "result": …}}`` is the ancestor's
result; protocol 2 adds how it ended, and reports of acceptance, start, progress and cancellation.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, Strict, TypeAdapter, ValidationError

from emf_agent.errors import ProtocolError
from emf_agent.wire.encoding import Extension, Name, Ok, Result, WireModel, explain

__all__ = [
    "ActionAccepted",
    "ActionBody",
    "ActionCancel",
    "ActionProgress",
    "ActionReport",
    "ActionResult",
    "ActionStart",
    "ActionStarted",
    "CancelState",
    "OutcomeKind",
    "encode_report",
    "parse_action_body",
    "parse_action_report",
]

OutcomeKind = Literal["ok", "failed", "cancelled", "timed_out", "refused", "expired", "unknown"]
"""How an action ended; ``unknown`` when it cannot be known, with a reason."""

Seconds = Annotated[float, Field(gt=0, le=366 * 86400)]


class ActionStart(WireModel):
    """Orders an action; the id is the manager's and is run at most once."""

    type: Literal["ACTION_START"] = "ACTION_START"
    action: Name
    args: JsonValue
    id: Name
    expires_in: Seconds | None = Extension
    """Seconds from receipt after which it must not be started any more."""
    timeout: Seconds | None = Extension
    """Seconds it may run; the action's own declared timeout where absent."""
    dry_run: bool | None = Extension
    requester: str | None = Extension
    """Who asked, for the node's own audit trail."""


class ActionCancel(WireModel):
    """Orders a running or waiting action to stop."""

    type: Literal["ACTION_CANCEL"] = "ACTION_CANCEL"
    id: Name


ActionBody = Annotated[ActionStart | ActionCancel, Field(discriminator="type")]
ACTION_BODY: TypeAdapter[ActionBody] = TypeAdapter(ActionBody)


class ActionResult(WireModel):
    """The one final answer for an id."""

    id: Name
    result: Result
    outcome: OutcomeKind | None = Extension
    reason: str | None = Extension
    """Why it was refused, expired or unknown; or what could not be stopped."""
    seconds: float | None = Extension
    truncated: bool | None = Extension
    """The result was over the size cap and was cut."""


class ActionAccepted(WireModel):
    """Protocol 2: the id is in the node's journal; it need not be offered again."""

    type: Literal["ACTION_ACCEPTED"] = "ACTION_ACCEPTED"
    id: Name


class ActionStarted(WireModel):
    """Protocol 2: the effect may begin from now on."""

    type: Literal["ACTION_STARTED"] = "ACTION_STARTED"
    id: Name


class ActionProgress(WireModel):
    """Protocol 2: how far it is, and what it says; lossy, the newest fraction counts."""

    type: Literal["ACTION_PROGRESS"] = "ACTION_PROGRESS"
    id: Name
    fraction: float | None = Extension
    """0 to 1, or absent where it cannot be told."""
    message: str | None = Extension
    log: Annotated[tuple[str, ...], Strict(strict=False)] | None = Extension


class CancelState(WireModel):
    """Protocol 2: what became of a cancel; the result follows when the process tree is gone."""

    type: Literal["ACTION_CANCEL_STATE"] = "ACTION_CANCEL_STATE"
    id: Name
    state: Literal["taken", "too_late", "unknown_id"]


TaggedReport = Annotated[
    ActionAccepted | ActionStarted | ActionProgress | CancelState, Field(discriminator="type")
]
TAGGED_REPORT: TypeAdapter[TaggedReport] = TypeAdapter(TaggedReport)

ActionReport = ActionResult | ActionAccepted | ActionStarted | ActionProgress | CancelState


def parse_action_body(body: JsonValue) -> ActionStart | ActionCancel:
    """Read what the manager orders.

    Raises:
        ProtocolError: it is neither a start nor a cancel.

    """
    try:
        return ACTION_BODY.validate_python(body)
    except ValidationError as error:
        raise ProtocolError(explain(error)) from error


def parse_action_report(body: JsonValue) -> ActionReport:
    """Read what the agent reports: the ancestor's wrapped result, or a report of protocol 2.

    Raises:
        ProtocolError: it is neither.

    """
    try:
        if isinstance(body, dict) and "type" not in body:
            return ActionResult.model_validate(Ok.model_validate(body).value)
        return TAGGED_REPORT.validate_python(body)
    except ValidationError as error:
        raise ProtocolError(explain(error)) from error


def encode_report(report: ActionReport) -> dict[str, Any]:
    """Return the body that carries a report; a result wears the ancestor's outer ``Ok``."""
    encoded: dict[str, Any] = report.model_dump(mode="json")
    return {"Ok": encoded} if isinstance(report, ActionResult) else encoded
