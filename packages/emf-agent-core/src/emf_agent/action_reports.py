"""What the agent tells of its actions, and in which words."""

from __future__ import annotations

import json
from collections.abc import Callable

from emf_agent.action_call import Verdict
from emf_agent.journal import Outcome
from emf_agent.plugin import Progress
from emf_agent.wire import ActionProgress, ActionReport, ActionResult, Err, Ok

__all__ = ["Reports", "outcome_of", "recorded_result", "refusal", "result_of"]


class Reports:
    """Where reports go: to the session of ``action_runner`` while there is one.

    Only results matter for ever, and those are in the journal: what is said into the void is lost.
    """

    def __init__(self) -> None:
        self.listener: Callable[[ActionReport], None] | None = None

    def tell(self, report: ActionReport) -> None:
        """Pass a report on, if anybody listens."""
        if self.listener is not None:
            self.listener(report)

    def progress(self, action_id: str, progress: Progress) -> None:
        """Tell how far an action is."""
        self.tell(
            ActionProgress(
                id=action_id,
                fraction=progress.fraction,
                message=progress.message,
                log=progress.log or None,
            )
        )

    def unrecorded(self, action_id: str, verdict: Verdict) -> None:
        """Tell a verdict that is in no journal."""
        self.tell(recorded_result(action_id, outcome_of(verdict)))


def refusal(why: str) -> Verdict:
    """Return the verdict on an action that was not begun."""
    return Verdict("refused", Err(text=why), reason=why)


def outcome_of(verdict: Verdict, seconds: float | None = None) -> Outcome:
    """Return a verdict as the journal keeps it."""
    return Outcome(
        kind=verdict.kind,
        result_json=verdict.result.model_dump_json(),
        reason=verdict.reason,
        seconds=seconds,
        truncated=verdict.truncated,
    )


def recorded_result(action_id: str, outcome: Outcome) -> ActionResult:
    """Return the report of an outcome."""
    return ActionResult(
        id=action_id,
        result=result_of(outcome),
        outcome=outcome.kind,
        reason=outcome.reason,
        seconds=outcome.seconds,
        truncated=outcome.truncated or None,
    )


def result_of(outcome: Outcome) -> Ok | Err:
    """Return an outcome's result in the wire's form."""
    value = json.loads(outcome.result_json)
    return Ok.model_validate(value) if "Ok" in value else Err.model_validate(value)
