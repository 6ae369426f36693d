"""The node's own audit trail: complete, private, bounded, and there after a kill (R18)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emf_agent.action_trail import ActionTrail
from emf_agent.errors import JournalError
from emf_agent.journal import Acceptance, Outcome, open_journal

pytestmark = pytest.mark.anyio
ORDER = Acceptance("a1", "start_unit", '{"unit": "lnet", "password": "***"}', requester="maria")
DONE = Outcome("ok", '{"Ok": null}', seconds=0.5)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_who_asked_for_what_and_how_it_ended_is_there(tmp_path: Path) -> None:
    path = tmp_path / "audit" / "actions.jsonl"
    trail = ActionTrail(path, wall_clock=lambda: 0.0)
    async with open_journal(tmp_path / "journal", wall_clock=lambda: 0.0) as journal:
        journal.witness = trail
        await journal.accept(ORDER)
        await journal.accept(ORDER)
        await journal.start("a1")
        await journal.finish("a1", DONE)

    assert [line["what"] for line in lines(path)] == ["accepted", "started", "ended"]
    accepted, _, ended = lines(path)
    assert accepted == {
        "at": "1970-01-01T00:00:00+00:00",
        "what": "accepted",
        "id": "a1",
        "action": "start_unit",
        "requester": "maria",
        "args": {"unit": "lnet", "password": "***"},
        "dry_run": False,
    }
    assert (ended["outcome"], ended["seconds"]) == ("ok", 0.5)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_what_cannot_be_noted_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file where the folder should be")
    trail = ActionTrail(tmp_path / "audit" / "actions.jsonl")
    async with open_journal(tmp_path / "journal", wall_clock=lambda: 0.0) as journal:
        journal.witness = trail
        with pytest.raises(JournalError, match=r"actions\.jsonl"):
            await journal.accept(ORDER)
        assert await journal.known("a1") is None


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").touch()
    (tmp_path / "actions.jsonl").symlink_to(tmp_path / "victim")

    with pytest.raises(JournalError):
        ActionTrail(tmp_path / "actions.jsonl").accepted(ORDER)
    assert (tmp_path / "victim").read_text() == ""


def test_full_files_are_set_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "actions.jsonl"
    trail = ActionTrail(path, file_bytes=200, files_kept=3)
    for number in range(50):
        trail.started(f"id-{number}")

    kept = sorted(tmp_path.iterdir())
    assert [one.name for one in kept] == ["actions.jsonl", "actions.jsonl.1", "actions.jsonl.2"]
    assert all(one.stat().st_size <= 200 for one in kept)
    ids = [line["id"] for one in reversed(kept) for line in lines(one)]
    assert ids == [f"id-{number}" for number in range(50 - len(ids), 50)]


KILLED = """
import os, signal, sys
from pathlib import Path
from emf_agent.action_trail import ActionTrail

ActionTrail(Path(sys.argv[1])).started("a1")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_start_is_there_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "actions.jsonl"
    killed = subprocess.run([sys.executable, "-c", KILLED, path], check=False, env=os.environ)

    assert killed.returncode == -signal.SIGKILL
    assert [(line["what"], line["id"]) for line in lines(path)] == [("started", "a1")]
