"""The journal's rows: an action's life as transactions. Blocking; one call at a time."""
# ruff: noqa: S608 - what is put into the statements are our own lists of columns

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from emf_agent.errors import JournalError
from emf_agent.journal import event_outbox
from emf_agent.journal.database import PAGE_BYTES, open_database
from emf_agent.journal.disk import FreeSpaceFloor, JournalDirectory
from emf_agent.journal.values import (
    Acceptance,
    Accepted,
    Conflict,
    Finished,
    Identity,
    Known,
    NotStartableError,
    Outcome,
    PendingEvents,
    Recovery,
    Unacknowledged,
)

__all__ = ["Limits", "Store"]

T = TypeVar("T")

TOMBSTONE_S = 30 * 86_400.0
RESULTS_FACTOR = 1.25
KEPT_RESULT_CHARS = 4096

RESTARTED = Outcome(
    kind="unknown",
    result_json='{"Err": "the agent was restarted while it ran"}',
    reason="agent-restart",
)
COLLECTED = Outcome(
    kind="expired",
    result_json='{"Err": "expired: an action of its age may have run here before"}',
    reason="collected",
)

ACCEPTANCE = (
    "id, action, args_json, redacted, idempotent, detached, expires_at, timeout_s, dry_run,"
    " requester"
)
# SQLite gives back the room of a row that went, not of one that shrank: move it.
TO_THE_END = "rowid = (SELECT MAX(rowid) + 1 FROM actions)"
OUTCOME = "kind, result_json, reason, seconds, truncated"


@dataclass(frozen=True)
class Limits:
    """What bounds the journal on the disk."""

    size_bytes: int = 256 * 1024 * 1024
    """Above it no new actions are taken; a quarter more is left for results."""
    events_bytes: int = 8 * 1024 * 1024
    """For each daemon; the oldest make room."""
    floor: FreeSpaceFloor = field(default_factory=FreeSpaceFloor)


class Store:
    """The open database. ``fault`` is called with a name before and after each durable point."""

    def __init__(
        self,
        directory: Path,
        *,
        wall_clock: Callable[[], float],
        limits: Limits,
        fault: Callable[[str], None],
    ) -> None:
        """Open or create it; raises JournalError where that cannot be."""
        self._now = wall_clock
        self._limits = limits
        self._fault = fault
        self._directory = JournalDirectory(directory, limits.floor)
        try:
            mark = datetime.fromtimestamp(wall_clock(), timezone.utc).strftime("%Y%m%dT%H%M%SZ")
            self._db, self.moved_aside = self._with_ballast(
                lambda: open_database(
                    self._directory, limit_bytes=int(limits.size_bytes * RESULTS_FACTOR), mark=mark
                )
            )
            self._directory.load_ballast()
            self.identity = self._read_identity()
        except Exception:
            self._directory.close()
            raise

    def _read_identity(self) -> Identity:
        return Identity(*self._db.execute("SELECT journal_id, sequence FROM journal").fetchone())

    @contextlib.contextmanager
    def _change(self, point: str) -> Generator[int, None, None]:
        """Make one durable change; gives the sequence number that it gets."""
        self._fault(f"{point}:before")
        self._db.execute("BEGIN IMMEDIATE")
        sequence = self.identity.sequence + 1
        try:
            self._db.execute("UPDATE journal SET sequence = ?", (sequence,))
            yield sequence
            self._db.execute("COMMIT")
        finally:
            # SQLite itself rolls back where the disk is full.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        self.identity = Identity(self.identity.journal_id, sequence)
        self._fault(f"{point}:after")

    def known(self, action_id: str) -> Known | None:
        """Return what is known of an id; None where it was certainly never taken."""
        row = self._db.execute(
            f"SELECT state, {OUTCOME} FROM actions WHERE id = ?", (action_id,)
        ).fetchone()
        if row is not None:
            return Known(row[0], outcome_of(row[1:]))
        if self._may_have_been_collected(action_id):
            return Known("acknowledged", COLLECTED)
        return None

    def accept(self, acceptance: Acceptance) -> Accepted | Known:
        """Take an action on, once."""
        known = self.known(acceptance.id)
        if known is not None:
            return known
        self._directory.load_ballast()
        self._directory.check_space()
        self._check_size()
        a = acceptance
        with self._change("accepted") as sequence:
            self._db.execute(
                f"INSERT INTO actions (state, accepted_at, changed, {ACCEPTANCE})"
                " VALUES ('accepted', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(self._now(), sequence),
                    *(a.id, a.action, a.args_json, a.redacted, a.idempotent, a.detached),
                    *(a.expires_at, a.timeout_s, a.dry_run, a.requester),
                ),
            )
        return Accepted()

    def _check_size(self) -> None:
        """Refuse new actions before the file is so full that results would not fit."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        used = (pages - free) * PAGE_BYTES
        if used > self._limits.size_bytes:
            raise JournalError(
                f"the journal holds {used // 1024} KiB, its limit; outcomes wait for the manager"
            )

    def _may_have_been_collected(self, action_id: str) -> bool:
        (until,) = self._db.execute("SELECT collected_until FROM journal").fetchone()
        born_at = birth_of(action_id)
        return born_at is not None and born_at <= until

    def start(self, action_id: str) -> None:
        """Allow the effect, once."""
        row = self._db.execute(
            "SELECT state, expires_at FROM actions WHERE id = ?", (action_id,)
        ).fetchone()
        if row is None:
            raise NotStartableError(action_id, "it was never accepted here")
        state, expires_at = row
        if state != "accepted":
            raise NotStartableError(action_id, f"it is {state} already")
        if expires_at is not None and self._now() > expires_at:
            raise NotStartableError(action_id, "it has expired")
        with self._change("started") as sequence:
            self._db.execute(
                "UPDATE actions SET state = 'started', changed = ? WHERE id = ?",
                (sequence, action_id),
            )

    def finish(self, action_id: str, outcome: Outcome) -> Finished | Conflict:
        """Record how it ended; the first outcome stays."""
        row = self._db.execute(
            f"SELECT state, {OUTCOME} FROM actions WHERE id = ?", (action_id,)
        ).fetchone()
        if row is None:
            raise JournalError(f"action {action_id} cannot end: it was never accepted here")
        recorded = outcome_of(row[1:])
        if recorded is not None:
            return Finished() if same(recorded, outcome) else Conflict(recorded)
        self._with_ballast(lambda: self._finish(action_id, outcome))
        return Finished()

    def _finish(self, action_id: str, outcome: Outcome) -> None:
        with self._change("finished") as sequence:
            self._write_outcome(action_id, outcome, sequence)

    def _write_outcome(self, action_id: str, outcome: Outcome, sequence: int) -> None:
        o = outcome
        self._db.execute(
            f"UPDATE actions SET {TO_THE_END}, state = 'finished', args_json = '',"
            " finished_at = ?, changed = ?, kind = ?, result_json = ?, reason = ?, seconds = ?,"
            " truncated = ? WHERE id = ?",
            (
                *(self._now(), sequence),
                *(o.kind, o.result_json, o.reason, o.seconds, o.truncated),
                action_id,
            ),
        )

    def _with_ballast(self, change: Callable[[], T]) -> T:
        """Make a change that must not fail for want of space; the ballast is for this."""
        try:
            return change()
        except sqlite3.OperationalError as error:
            full = "full" in str(error) or "disk I/O" in str(error)
            if not full or not self._directory.drop_ballast():
                raise
            return change()

    def outcome(self, action_id: str) -> Outcome | None:
        """Return how an action ended; None if it has not, or is not known."""
        row = self._db.execute(
            f"SELECT {OUTCOME} FROM actions WHERE id = ?", (action_id,)
        ).fetchone()
        return None if row is None else outcome_of(row)

    def unacknowledged(self, limit: int) -> list[Unacknowledged]:
        """Return outcomes that the manager has not confirmed, oldest first."""
        rows = self._db.execute(
            f"SELECT id, action, {OUTCOME} FROM actions WHERE state = 'finished'"
            " ORDER BY changed LIMIT ?",
            (limit,),
        )
        found = []
        for action_id, action, *rest in rows:
            outcome = outcome_of(rest)
            assert outcome is not None, "the table's CHECK: a finished row has an outcome"
            found.append(Unacknowledged(action_id, action, outcome))
        return found

    def acknowledge(self, action_ids: Iterable[str]) -> None:
        """Turn confirmed outcomes into tombstones; other ids change nothing."""
        ids = [(action_id,) for action_id in action_ids]
        if ids:
            self._with_ballast(lambda: self._acknowledge(ids))

    def _acknowledge(self, ids: list[tuple[str]]) -> None:
        with self._change("acknowledged"):
            self._db.executemany(
                f"UPDATE actions SET {TO_THE_END}, state = 'acknowledged',"
                f" truncated = truncated OR length(result_json) > {KEPT_RESULT_CHARS},"
                f" result_json = CASE WHEN length(result_json) <= {KEPT_RESULT_CHARS}"
                " THEN result_json WHEN kind = 'ok' THEN '{\"Ok\": null}'"
                ' ELSE \'{"Err": "the text was sent before and not kept"}\' END'
                " WHERE id = ? AND state = 'finished'",
                ids,
            )

    def recover(self) -> Recovery:
        """Settle what a former process had begun; to be called once, before anything runs."""
        begun = self._acceptances("started")
        lost = [a.id for a in begun if not a.idempotent and not a.detached]
        again = [(a.id,) for a in begun if a.idempotent and not a.detached]
        if lost or again:
            self._with_ballast(lambda: self._settle(lost, again))
        return Recovery(
            waiting=tuple(self._acceptances("accepted")),
            detached=tuple(a for a in begun if a.detached),
            lost=tuple(lost),
        )

    def _settle(self, lost: list[str], again: list[tuple[str]]) -> None:
        with self._change("recovered") as sequence:
            for action_id in lost:
                self._write_outcome(action_id, RESTARTED, sequence)
            self._db.executemany("UPDATE actions SET state = 'accepted' WHERE id = ?", again)

    def _acceptances(self, state: str) -> list[Acceptance]:
        rows = self._db.execute(
            f"SELECT {ACCEPTANCE} FROM actions WHERE state = ? ORDER BY changed", (state,)
        )
        return [acceptance_of(row) for row in rows]

    def collect_garbage(self) -> int:
        """Remove tombstones that are due; return how many. Takes space and checkpoints too."""
        due = self._db.execute(
            "SELECT id, accepted_at FROM actions WHERE state = 'acknowledged'"
            " AND COALESCE(expires_at, finished_at) <= ? AND finished_at <= ?",
            (self._now() - TOMBSTONE_S,) * 2,
        ).fetchall()
        if due:
            # An id's own clock is another machine's: it counts no further than ours did then.
            births = [min(birth_of(i) or 0.0, accepted_at) for i, accepted_at in due]
            with self._change("collected"):
                self._db.executemany("DELETE FROM actions WHERE id = ?", [(i,) for i, _ in due])
                self._db.execute(
                    "UPDATE journal SET collected_until = MAX(collected_until, ?)", (max(births),)
                )
        self._directory.load_ballast()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(due)

    def append_event(self, daemon: str, payload_json: str) -> int:
        """Keep an event until it is confirmed; return its number."""
        with self._change("event"):
            return event_outbox.append(self._db, daemon, payload_json, self._limits.events_bytes)

    def pending_events(self, daemon: str, limit: int) -> PendingEvents:
        """Return a daemon's oldest events, and the gap before them."""
        return event_outbox.pending(self._db, daemon, limit)

    def acknowledge_events(self, daemon: str, up_to: int) -> None:
        """Forget events, and a gap, up to a number."""
        with self._change("events_acknowledged"):
            event_outbox.acknowledge(self._db, daemon, up_to)

    def close(self) -> None:
        """Close it, so that the next start need not check the file."""
        try:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("UPDATE journal SET closed_cleanly = 1")
            self._db.close()
        finally:
            self._directory.close()


def acceptance_of(row: tuple[Any, ...]) -> Acceptance:
    """Return what columns ``ACCEPTANCE`` hold."""
    action_id, action, args_json, redacted, idempotent, detached, *rest = row
    expires_at, timeout_s, dry_run, requester = rest
    return Acceptance(
        id=action_id,
        action=action,
        args_json=args_json,
        redacted=bool(redacted),
        idempotent=bool(idempotent),
        detached=bool(detached),
        expires_at=expires_at,
        timeout_s=timeout_s,
        dry_run=bool(dry_run),
        requester=requester,
    )


def outcome_of(row: Sequence[Any]) -> Outcome | None:
    """Return what columns ``OUTCOME`` hold; None before the end."""
    kind, result_json, reason, seconds, truncated = row
    if kind is None:
        return None
    return Outcome(kind, result_json, reason, seconds, bool(truncated))


def same(recorded: Outcome, outcome: Outcome) -> bool:
    """Return whether two outcomes tell the same; how long it took is no part of it."""
    if recorded.kind != outcome.kind or recorded.reason != outcome.reason:
        return False
    return recorded.truncated or recorded.result_json == outcome.result_json


def birth_of(action_id: str) -> float | None:
    """Return when an id of UUID version 7 was made, in seconds since 1970; None for others."""
    try:
        number = uuid.UUID(action_id)
    except ValueError:
        return None
    return (number.int >> 80) / 1000 if number.version == 7 else None
