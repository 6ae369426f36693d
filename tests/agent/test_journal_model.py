"""Any order of calls, crashes and restarts gives what a dictionary would, had it no crashes."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from emf_agent.journal import (
    Acceptance,
    Accepted,
    Conflict,
    Finished,
    Known,
    Limits,
    NotStartableError,
    Outcome,
)
from emf_agent.journal.store import RESTARTED, TOMBSTONE_S, Store

IDS = st.sampled_from("abcd")
OUTCOMES = st.sampled_from(
    [
        Outcome("ok", '{"Ok": 1}'),
        Outcome("failed", '{"Err": "no"}'),
        Outcome("cancelled", '{"Err": "cancelled"}', reason="asked"),
    ]
)


@dataclass(frozen=True)
class Row:
    """What the model knows of an action."""

    acceptance: Acceptance
    state: str = "accepted"
    outcome: Outcome | None = None
    finished_at: float = 0.0


class JournalLife(RuleBasedStateMachine):
    """The journal beside a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.home = Path(tempfile.mkdtemp())
        self.generation = 0
        self.rows: dict[str, Row] = {}
        self.effects: dict[str, int] = {}
        self.sequence = 0
        self.store = self.opened()

    @property
    def directory(self) -> Path:
        """Return where this life's journal is."""
        return self.home / str(self.generation)

    def opened(self) -> Store:
        """Open the journal; time is the model's."""
        return Store(
            self.directory, wall_clock=lambda: self.now, limits=Limits(), fault=lambda _: None
        )

    @rule(action_id=IDS, idempotent=st.booleans(), expires_in=st.sampled_from([None, 5.0]))
    def accept(self, action_id: str, *, idempotent: bool, expires_in: float | None) -> None:
        """Offer an action, perhaps again."""
        expires_at = None if expires_in is None else self.now + expires_in
        offer = Acceptance(action_id, "x", "[]", idempotent=idempotent, expires_at=expires_at)
        answer = self.store.accept(offer)
        row = self.rows.get(action_id)
        if row is None:
            assert answer == Accepted()
            self.rows[action_id] = Row(offer)
            self.effects[action_id] = 0
        else:
            assert answer == Known(row.state, row.outcome)  # type: ignore[arg-type]

    @rule(action_id=IDS)
    def start(self, action_id: str) -> None:
        """Begin an effect, where that is allowed."""
        row = self.rows.get(action_id)
        expires_at = row.acceptance.expires_at if row else None
        late = expires_at is not None and self.now > expires_at
        if row is None or row.state != "accepted" or late:
            with pytest.raises(NotStartableError):
                self.store.start(action_id)
            return
        self.store.start(action_id)
        self.rows[action_id] = replace(row, state="started")
        self.effects[action_id] += 1

    @rule(action_id=IDS, outcome=OUTCOMES)
    def finish(self, action_id: str, outcome: Outcome) -> None:
        """Record an end, perhaps another one than before."""
        row = self.rows.get(action_id)
        if row is None:
            return
        answer = self.store.finish(action_id, outcome)
        if row.outcome is None:
            assert answer == Finished()
            self.rows[action_id] = replace(
                row, state="finished", outcome=outcome, finished_at=self.now
            )
        else:
            assert answer == (Finished() if row.outcome == outcome else Conflict(row.outcome))

    @rule(ids=st.sets(IDS))
    def acknowledge(self, ids: set[str]) -> None:
        """Let the manager confirm."""
        self.store.acknowledge(ids)
        for action_id in ids & self.rows.keys():
            if self.rows[action_id].state == "finished":
                self.rows[action_id] = replace(self.rows[action_id], state="acknowledged")

    @rule(seconds=st.sampled_from([1.0, 6.0, TOMBSTONE_S]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule()
    def collect_garbage(self) -> None:
        """Remove what is due."""
        due = [
            action_id
            for action_id, row in self.rows.items()
            if row.state == "acknowledged"
            and self.now - TOMBSTONE_S >= row.finished_at
            and self.now - TOMBSTONE_S >= (row.acceptance.expires_at or 0.0)
        ]
        assert self.store.collect_garbage() == len(due)
        for action_id in due:
            del self.rows[action_id]

    @rule(crash=st.booleans())
    def restart(self, *, crash: bool) -> None:
        """End the process, with a word or without, and begin again."""
        former = self.store
        if crash:
            # What another process would find after a kill: the files as they are.
            shutil.copytree(self.directory, self.home / str(self.generation + 1))
        former.close()
        self.generation += crash
        self.store = self.opened()
        recovery = self.store.recover()
        lost = []
        for action_id, row in self.rows.items():
            if row.state == "started" and row.acceptance.idempotent:
                self.rows[action_id] = replace(row, state="accepted")
                self.effects[action_id] = 0
            elif row.state == "started":
                lost.append(action_id)
                self.rows[action_id] = replace(
                    row, state="finished", outcome=RESTARTED, finished_at=self.now
                )
        assert set(recovery.lost) == set(lost)
        waiting = {row.acceptance for row in self.rows.values() if row.state == "accepted"}
        assert set(recovery.waiting) == waiting

    @invariant()
    def every_row_is_as_the_model_says(self) -> None:
        """Compare all that can be asked."""
        for action_id in "abcd":
            row = self.rows.get(action_id)
            assert self.store.outcome(action_id) == (row.outcome if row else None)
            assert self.effects.get(action_id, 0) <= 1
        unsettled = {entry.id for entry in self.store.unacknowledged(10)}
        assert unsettled == {i for i, row in self.rows.items() if row.state == "finished"}

    @invariant()
    def the_number_never_falls(self) -> None:
        """Compare with the one before."""
        assert self.store.identity.sequence >= self.sequence
        self.sequence = self.store.identity.sequence

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.store.close()
        shutil.rmtree(self.home)


TestJournalLife = JournalLife.TestCase
TestJournalLife.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
