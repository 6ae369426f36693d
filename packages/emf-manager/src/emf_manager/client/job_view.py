"""A job as the client sees it: values, how equal answers fold, and the exit code they amount to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["COUNTS", "Answer", "JobView", "Target"]

OPEN_STATES = ("held", "queued", "offered", "accepted", "started")
COUNTS = {
    "ok": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "timed_out": "timed_out",
    "refused": "refused",
    "expired": "expired",
    "unknown": "unknown",
}
"""From a target's outcome to the count it adds to."""

EXIT_CODES = {
    "failed": 1,
    "cancelled": 1,
    "refused": 5,
    "timed_out": 124,
    "expired": 3,
    "unknown": 3,
}
"""From an outcome to the exit code it asks for; the first one present, in this order, wins."""

NO_NODE_MATCHED = 4
SILENT_NODES = 3
DEADLINE_PASSED = 124


@dataclass(frozen=True)
class Target:
    """One node of a job."""

    node: str
    state: str
    silent: bool = False
    outcome: str | None = None
    result: Any = None
    reason: str | None = None
    fraction: float | None = None
    message: str | None = None
    batch: int = 1
    cancelled_by: str | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Target:
        """Read what the API says; members of a newer manager are passed over."""
        known = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        return cls(**known)

    @property
    def final(self) -> bool:
        """Whether the outcome is known for good."""
        return self.outcome is not None

    @property
    def said(self) -> str:
        """What people read: the result's value or error text, or why there is none."""
        if isinstance(self.result, dict) and len(self.result) == 1:
            (kind, value), *_ = self.result.items()
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            if kind == "Ok":
                return "" if value is None else text
            return f"{text} ({self.reason})" if self.reason else text
        return self.reason or ""


@dataclass(frozen=True)
class Answer:
    """Equal answers of several nodes."""

    nodes: tuple[str, ...]
    outcome: str
    said: str


@dataclass(frozen=True)
class JobView:
    """A job with its targets by node; each change makes a new view."""

    id: str
    action: str
    state: str
    event: int
    targets: Mapping[str, Target] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> JobView:
        """Read what the API says of a job."""
        targets = [Target.from_json(each) for each in value["targets"]]
        return cls(
            id=value["id"],
            action=value["action"],
            state=value["state"],
            event=value.get("event", 0),
            targets={target.node: target for target in targets},
        )

    def with_target(self, target: Target) -> JobView:
        """Return the view after news of one node; an outcome, once known, stays."""
        known = self.targets.get(target.node)
        if known is not None and known.final and not target.final:
            return self
        return replace(self, targets={**self.targets, target.node: target})

    def with_contact(self, node: str, *, silent: bool) -> JobView:
        """Return the view after a node fell silent or came back."""
        known = self.targets.get(node)
        if known is None or known.final or known.silent == silent:
            return self
        return self.with_target(replace(known, silent=silent))

    def with_progress(self, node: str, fraction: float | None, message: str | None) -> JobView:
        """Return the view after a node said how far it is."""
        known = self.targets.get(node)
        if known is None or known.final:
            return self
        return self.with_target(replace(known, fraction=fraction, message=message))

    def with_released(self, batch: int) -> JobView:
        """Return the view after the nodes of a batch were released."""
        released = {
            node: replace(target, state="queued")
            for node, target in self.targets.items()
            if target.state == "held" and target.batch == batch
        }
        return replace(self, targets={**self.targets, **released}) if released else self

    @property
    def held(self) -> tuple[Target, ...]:
        """The nodes of later batches."""
        return tuple(target for target in self.targets.values() if target.state == "held")

    @property
    def batches(self) -> int:
        """In how many batches it goes."""
        return max((target.batch for target in self.targets.values()), default=1)

    @property
    def done(self) -> bool:
        """Whether every node's outcome is known."""
        return self.state == "done" or all(target.final for target in self.targets.values())

    @property
    def open_targets(self) -> tuple[Target, ...]:
        """The nodes whose outcome is not known yet."""
        return tuple(target for target in self.targets.values() if not target.final)

    def counts(self) -> dict[str, int]:
        """Return the counts; ``targeted`` is the sum of all the others."""
        told = dict.fromkeys(["targeted", *OPEN_STATES, *COUNTS.values()], 0)
        told["targeted"] = len(self.targets)
        for target in self.targets.values():
            if target.outcome is not None:
                told[COUNTS.get(target.outcome, "unknown")] += 1
            else:
                told[target.state if target.state in OPEN_STATES else "queued"] += 1
        return told

    def answers(self) -> tuple[Answer, ...]:
        """Return the known outcomes, equal ones folded, the largest group first."""
        groups: dict[tuple[str, str], list[str]] = {}
        for target in self.targets.values():
            if target.outcome is not None:
                groups.setdefault((target.outcome, target.said), []).append(target.node)
        folded = [Answer(tuple(nodes), *key) for key, nodes in groups.items()]
        return tuple(sorted(folded, key=lambda each: (-len(each.nodes), each.nodes[0])))

    def exit_code(self) -> int:
        """Return the code of the conventions for how it ended, or for where it was left."""
        if not self.targets:
            return NO_NODE_MATCHED
        outcomes = {target.outcome for target in self.targets.values()}
        for outcome, code in EXIT_CODES.items():
            if outcome in outcomes:
                return code
        if self.open_targets:
            silent = all(target.silent for target in self.open_targets)
            return SILENT_NODES if silent else DEADLINE_PASSED
        return 0
