"""The rules of one target: a job on one node, from queued to the one outcome it ends with.

Every open target is in exactly one of four states and leaves them through exactly one outcome, so
that the counts always add up (P14). Delivery is repeated until the node says it has the action;
what the manager gives up on is ``unknown`` with a reason and may still be resolved by what the
node recorded (P4). No clock and no store in here: times are arguments, and what must be kept is an
order. An ancestor's agent confirms nothing and runs what it gets twice, so what was offered to it
is never offered again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import JsonValue
from typing_extensions import assert_never

from emf_agent.wire import (
    ActionAccepted,
    ActionCancel,
    ActionProgress,
    ActionReport,
    ActionResult,
    ActionStart,
    ActionStarted,
    CancelState,
    Err,
    Ok,
    OutcomeKind,
)
from emf_manager.records import Job, Outcome, Target

__all__ = [
    "CONFIRM_GRACE_S",
    "NO_CONTACT_S",
    "TIMEOUT_REQUESTER",
    "Cancel",
    "Delivered",
    "Event",
    "Finish",
    "JournalLost",
    "Keep",
    "Open",
    "Order",
    "Over",
    "Ready",
    "Report",
    "SendCancel",
    "SendStart",
    "Tick",
    "Unsent",
    "Withdraw",
    "due",
    "outcome_of",
    "step",
]

NO_CONTACT_S = 600.0
"""Silence after which what the node had taken is ``unknown(no-contact)``."""
CONFIRM_GRACE_S = 60.0
"""Time after expiry that a node in contact has to confirm what was offered."""
TIMEOUT_REQUESTER = "manager:timeout"


@dataclass(frozen=True)
class Open:
    """A target without an outcome."""

    job: Job
    target: Target
    expires_at: float
    """Monotonic; it is not handed out after this."""
    waits: bool = False
    """Its start lies in the agent's queue."""
    cancel_sent: bool = False
    """Its cancel went into the agent's queue, in this session."""
    protocol: int | None = None
    """Of the agent it was offered to."""
    offered_at: float | None = None
    """Monotonic."""


# What can happen


@dataclass(frozen=True)
class Ready:
    """The node has a session of its action runner that can be used; said as often as one likes."""

    protocol: int


@dataclass(frozen=True)
class Delivered:
    """Its start is in an answer that leaves when this is on disk."""

    protocol: int


@dataclass(frozen=True)
class Unsent:
    """Its start found no room, or no session."""


@dataclass(frozen=True)
class Over:
    """The session of the action runner has ended."""


@dataclass(frozen=True)
class JournalLost:
    """The node no longer knows what it had taken."""


@dataclass(frozen=True)
class Report:
    """The node reports about it."""

    report: ActionReport


@dataclass(frozen=True)
class Cancel:
    """Somebody wants it to end."""

    requester: str


@dataclass(frozen=True)
class Withhold:
    """It cannot be handed out, and why."""

    reason: str


@dataclass(frozen=True)
class Tick:
    """Time has passed; ``silent_since`` is monotonic, None while the node is in contact."""

    silent_since: float | None


Event = Ready | Delivered | Unsent | Over | JournalLost | Report | Cancel | Withhold | Tick


# What must then be done


@dataclass(frozen=True)
class SendStart:
    """Put its start into the agent's queue."""

    body: JsonValue
    expires_at: float


@dataclass(frozen=True)
class SendCancel:
    """Put its cancel into the agent's queue."""

    body: JsonValue


@dataclass(frozen=True)
class Withdraw:
    """Take its start out of the agent's queue."""


@dataclass(frozen=True)
class Keep:
    """The target has changed and must be kept; ``log`` is what a progress report said besides."""

    target: Target
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finish:
    """This is its outcome."""

    outcome: Outcome


Order = SendStart | SendCancel | Withdraw | Keep | Finish


def step(
    open_: Open, event: Event, now: float, wall: float
) -> tuple[Open | None, tuple[Order, ...]]:
    """Return the target after an event, None once it has its outcome, and what must be done.

    ``now`` is monotonic, ``wall`` the time that is written down.
    """
    target = open_.target
    given = target.state != "queued"
    match event:
        case Ready(protocol):
            return _ready(open_, protocol, now, wall)
        case Delivered(protocol):
            if given:
                return open_, ()
            kept = replace(target, state="offered", offered=wall)
            offered = replace(open_, target=kept, protocol=protocol, offered_at=now)
            return offered, (Keep(kept),)
        case Unsent():
            return replace(open_, waits=False), ()
        case Over():
            if given and open_.protocol == 1:
                return _give_up(open_, "session-ended", wall)
            return replace(open_, waits=False, cancel_sent=False), ()
        case JournalLost():
            return _give_up(open_, "journal-lost", wall) if given else (open_, ())
        case Report(report):
            return _report(open_, report, wall)
        case Cancel(requester):
            return _cancel(open_, requester, wall)
        case Withhold(reason):
            # It counts as offered by now, and nobody has seen it.
            return _finish(open_, "refused", reason, wall)
        case Tick(silent_since):
            return _tick(open_, silent_since, now, wall)
    assert_never(event)


def due(open_: Open, silent_since: float | None) -> float | None:
    """Return when the next ``Tick`` matters (monotonic), or None when none does."""
    if open_.target.state == "queued":
        return open_.expires_at
    moments = []
    if silent_since is not None:
        moments.append(silent_since + NO_CONTACT_S)
    elif open_.target.state == "offered" and open_.protocol != 1:
        moments.append(open_.expires_at + CONFIRM_GRACE_S)
    timeout = _ancestor_timeout(open_)
    if timeout is not None:
        moments.append(timeout)
    return min(moments, default=None)


def outcome_of(
    result: ActionResult, node: str, wall: float, *, cancel_sent: bool = False
) -> Outcome:
    """Return the outcome that a node's result stands for.

    An ancestor's agent answers both a cancel and a success without a value with ``Ok(null)``
    (ancestor protocol, W-X2): after a cancel that is neither, but unknown.
    """
    kind: OutcomeKind
    reason = result.reason
    if result.outcome is not None:
        kind = result.outcome
    elif isinstance(result.result, Err):
        kind = "failed"
    elif cancel_sent and isinstance(result.result, Ok) and result.result.value is None:
        kind, reason = "unknown", "cancelled-or-finished"
    else:
        kind = "ok"
    return Outcome(
        action_id=result.id,
        node=node,
        kind=kind,
        at=wall,
        by="node",
        result=result.result.model_dump(mode="json"),
        reason=reason,
        seconds=result.seconds,
        truncated=bool(result.truncated),
    )


def _ready(
    open_: Open, protocol: int, now: float, wall: float
) -> tuple[Open | None, tuple[Order, ...]]:
    match open_.target.state:
        case "queued" if protocol < 2 and open_.job.dry_run:
            why = "an ancestor's agent knows no dry run and would do it"
            return _finish(open_, "refused", why, wall)
        case "queued" if not open_.waits:
            start = SendStart(_start(open_, protocol, now), open_.expires_at)
            return replace(open_, waits=True), (start,)
        case "queued":
            return open_, ()
        case _ if open_.target.cancel == "asked" and not open_.cancel_sent:
            return replace(open_, cancel_sent=True), (_cancel_order(open_),)
        case _ if open_.target.cancel is not None or open_.protocol == 1:
            return open_, ()
        case "offered" if not open_.waits and now < open_.expires_at:
            start = SendStart(_start(open_, protocol, now), open_.expires_at)
            return replace(open_, waits=True), (start,)
    return open_, ()


def _start(open_: Open, protocol: int, now: float) -> JsonValue:
    job = open_.job
    start = ActionStart(action=job.action, args=job.args, id=open_.target.action_id)
    if protocol >= 2:
        start = start.model_copy(
            update={
                "expires_in": max(open_.expires_at - now, 0.001),
                "timeout": job.timeout_s,
                "dry_run": job.dry_run or None,
                "requester": job.requester,
            }
        )
    body: JsonValue = start.model_dump(mode="json")
    return body


def _report(
    open_: Open, report: ActionReport, wall: float
) -> tuple[Open | None, tuple[Order, ...]]:
    target = open_.target
    match report:
        case ActionResult():
            sent = target.cancel is not None
            return None, (Finish(outcome_of(report, target.node, wall, cancel_sent=sent)),)
        case ActionAccepted():
            if target.state in ("accepted", "started"):
                return open_, ()
            return _keep(open_, replace(target, state="accepted", accepted=wall))
        case ActionStarted():
            if target.state == "started":
                return open_, ()
            return _keep(open_, replace(target, state="started", started=wall))
        case ActionProgress():
            fraction, message = report.fraction, report.message
            changed = replace(
                target,
                fraction=target.fraction if fraction is None else min(max(fraction, 0.0), 1.0),
                message=target.message if message is None else message,
            )
            return _keep(open_, changed, report.log or ())
        case CancelState():
            return _cancel_state(open_, report, wall)
    assert_never(report)


def _cancel_state(
    open_: Open, report: CancelState, wall: float
) -> tuple[Open | None, tuple[Order, ...]]:
    target = open_.target
    if target.cancel is None:
        return open_, ()
    match report.state:
        case "unknown_id" if target.state == "offered":
            return _finish(open_, "cancelled", "before the node took it", wall, by_node=True)
        case "unknown_id":
            return _give_up(open_, "not-known-to-node", wall)
        case "taken":
            return _keep(open_, replace(target, cancel="taken"))
        case "too_late":
            return _keep(open_, replace(target, cancel="too_late"))
    assert_never(report.state)


def _cancel(open_: Open, requester: str, wall: float) -> tuple[Open | None, tuple[Order, ...]]:
    target = open_.target
    if target.state == "queued":
        gone, orders = _finish(open_, "cancelled", "before it was offered", wall)
        return gone, (Withdraw(), *orders)
    if target.cancel in ("taken", "too_late"):
        return open_, ()
    asked = replace(target, cancel="asked", cancel_requester=target.cancel_requester or requester)
    changed = replace(open_, target=asked, cancel_sent=True)
    return changed, (Keep(asked), Withdraw(), _cancel_order(changed))


def _cancel_order(open_: Open) -> SendCancel:
    return SendCancel(ActionCancel(id=open_.target.action_id).model_dump(mode="json"))


def _tick(
    open_: Open, silent_since: float | None, now: float, wall: float
) -> tuple[Open | None, tuple[Order, ...]]:
    moment = due(open_, silent_since)
    if moment is None or now < moment:
        return open_, ()
    if open_.target.state == "queued":
        gone, orders = _finish(open_, "expired", "the node did not take it in time", wall)
        return gone, (Withdraw(), *orders)
    if silent_since is not None and now >= silent_since + NO_CONTACT_S:
        return _give_up(open_, "no-contact", wall)
    timeout = _ancestor_timeout(open_)
    if timeout is not None and now >= timeout:
        return _cancel(open_, TIMEOUT_REQUESTER, wall)
    return _give_up(open_, "not-confirmed", wall)


def _ancestor_timeout(open_: Open) -> float | None:
    """Return when the manager must cancel for an agent that keeps no timeout itself."""
    timeout_s = open_.job.timeout_s
    if open_.protocol != 1 or timeout_s is None or open_.offered_at is None:
        return None
    return None if open_.target.cancel is not None else open_.offered_at + timeout_s


def _keep(open_: Open, target: Target, log: tuple[str, ...] = ()) -> tuple[Open, tuple[Order, ...]]:
    return replace(open_, target=target), (Keep(target, log),)


def _give_up(open_: Open, reason: str, wall: float) -> tuple[None, tuple[Order, ...]]:
    gone, orders = _finish(open_, "unknown", reason, wall)
    return gone, (Withdraw(), *orders)


def _finish(
    open_: Open, kind: OutcomeKind, reason: str, wall: float, *, by_node: bool = False
) -> tuple[None, tuple[Order, ...]]:
    outcome = Outcome(
        action_id=open_.target.action_id,
        node=open_.target.node,
        kind=kind,
        at=wall,
        by="node" if by_node else "manager",
        reason=reason,
    )
    return None, (Finish(outcome),)
