"""kill -9 before and after each durable point: the effect happens at most once, and is told."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from emf_agent.journal import Acceptance, Accepted, Known, Limits, NotStartableError
from emf_agent.journal.store import Store
from tests.agent.rigs import crash


@dataclass(frozen=True)
class After:
    """What the next process finds."""

    effects: int
    waiting: bool = False
    lost: bool = False
    told: bool = False
    known: bool = True


EXPECTED = {
    "accepted:before": After(effects=0, known=False),
    "accepted:after": After(effects=0, waiting=True),
    "started:before": After(effects=0, waiting=True),
    "started:after": After(effects=0, lost=True, told=True),
    "effect:after": After(effects=1, lost=True, told=True),
    "finished:before": After(effects=1, lost=True, told=True),
    "finished:after": After(effects=1, told=True),
    "acknowledged:before": After(effects=1, told=True),
    "acknowledged:after": After(effects=1),
    "never": After(effects=1),
}


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Live and die once at each point, all in one go."""
    home = tmp_path_factory.mktemp("lives")
    program = [sys.executable, str(crash.__file__), str(home), *EXPECTED]
    subprocess.run(program, check=True, timeout=120)
    return home


@pytest.mark.parametrize(("point", "expected"), EXPECTED.items(), ids=EXPECTED.keys())
def test_after_a_kill_the_next_process_finds_the_truth(
    lives: Path, point: str, expected: After
) -> None:
    home = lives / point
    effects = home / "effects"
    store = Store(
        home / "journal", wall_clock=lambda: 2000.0, limits=Limits(), fault=lambda _: None
    )
    recovery = store.recover()
    found = After(
        effects=len(effects.read_text().splitlines()) if effects.exists() else 0,
        waiting=[acceptance.id for acceptance in recovery.waiting] == ["a"],
        lost=recovery.lost == ("a",),
        told=[entry.id for entry in store.unacknowledged(10)] == ["a"],
        known=isinstance(store.accept(Acceptance("a", "x", "[]")), Known),
    )
    assert found == expected

    # Whatever happened: the effect begins now only if it has not begun before.
    if found.effects or found.lost:
        with pytest.raises(NotStartableError):
            store.start("a")
    else:
        store.start("a")
    assert store.accept(Acceptance("b", "x", "[]")) == Accepted()
    store.close()
