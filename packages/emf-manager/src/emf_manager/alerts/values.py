"""Alerts and the conditions behind them, as frozen values.

Wall-clock times are seconds since the epoch; a condition is told apart from others by its key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "HAPPENED",
    "KINDS",
    "Acknowledgement",
    "Alert",
    "AlertState",
    "Condition",
    "Key",
    "Severity",
]

Severity = Literal["critical", "warning"]
AlertState = Literal["open", "acknowledged", "cleared"]

KINDS: dict[str, float] = {
    "node.silent": 0.0,  # its lease is over: that was the wait
    "node.stopped": 60.0,
    "plugin.tampered": 0.0,
    "plugin.shadowed": 0.0,
    "plugin.contested": 0.0,
    "plugin.missing": 0.0,
    "plugin.version": 0.0,
    "plugin.failed": 0.0,
    "daemon.quarantined": 0.0,
    "daemon.failed": 0.0,
    "daemon.stuck": 30.0,
    "daemon.fault": 30.0,
    "daemon.late": 60.0,
    "actions.fault": 0.0,
    "certificate.ending": 0.0,
    "certificate.ended": 0.0,
    "clock.skew": 60.0,
    "store.filling": 0.0,
    "identity.two_places": 0.0,
    "job.conflict": 0.0,
    "node.journal_lost": 0.0,
    "data.lost": 0.0,
}
"""Every kind, and how many seconds its condition must hold before it is raised."""

HAPPENED = frozenset({"identity.two_places", "job.conflict", "node.journal_lost", "data.lost"})
"""Kinds of what happened once and has no end of its own: the alert ends when acknowledged."""


@dataclass(frozen=True)
class Key:
    """What makes two conditions the same one."""

    kind: str
    node: str | None = None
    """None for the manager itself."""
    subject: str | None = None
    """Which of the node's things: a plugin, a daemon, an action's id."""


@dataclass(frozen=True)
class Condition:
    """Something that holds now, or will from a moment on, and what to do about it."""

    key: Key
    severity: Severity
    text: str
    holds_from: float | None = None
    """Wall clock; None where it holds already."""


@dataclass(frozen=True)
class Acknowledgement:
    """Somebody has seen an alert and looks after it."""

    by: str
    at: float
    note: str = ""


@dataclass(frozen=True)
class Alert:
    """One raised alert, from its beginning to its end."""

    id: int
    key: Key
    severity: Severity
    text: str
    raised: float
    cleared: float | None = None
    acknowledged: Acknowledgement | None = None

    @property
    def state(self) -> AlertState:
        """Tell how it stands; what is over needs nobody any more."""
        if self.cleared is not None:
            return "cleared"
        return "open" if self.acknowledged is None else "acknowledged"
