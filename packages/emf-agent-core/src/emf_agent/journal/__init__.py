"""What must survive a crash: which actions were taken, begun and ended, and events not yet sent.

This is the public face of the room; it alone opens the agent's database (reliability, 4 and 5).
"""

from emf_agent.journal.disk import FreeSpaceFloor, JournalInUseError
from emf_agent.journal.journal import Journal, open_journal
from emf_agent.journal.store import Limits
from emf_agent.journal.values import (
    Acceptance,
    Accepted,
    Conflict,
    Event,
    EventGap,
    Finished,
    Identity,
    Known,
    NotStartableError,
    Outcome,
    PendingEvents,
    Recovery,
    RowState,
    Unacknowledged,
)

__all__ = [
    "Acceptance",
    "Accepted",
    "Conflict",
    "Event",
    "EventGap",
    "Finished",
    "FreeSpaceFloor",
    "Identity",
    "Journal",
    "JournalInUseError",
    "Known",
    "Limits",
    "NotStartableError",
    "Outcome",
    "PendingEvents",
    "Recovery",
    "RowState",
    "Unacknowledged",
    "open_journal",
]
