"""A disk that is full, read-only or without power, with the real journal on a real file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.rigs import disks
from tests.agent.rigs.mounting import rig, why_no_mounts

pytestmark = pytest.mark.skipif(why_no_mounts() is not None, reason=str(why_no_mounts()))


def test_on_a_full_disk_no_action_is_taken_and_the_results_of_running_ones_are_kept(
    tmp_path: Path,
) -> None:
    found = rig(disks, "full", str(tmp_path))
    assert found["accept"].startswith("refused: ")
    assert "free some space" in found["accept"]
    assert found["finish"] == ["done", "done", "done"]
    assert not found["ballast"]
    assert found["told"] == ["a", "b", "c"]
    assert not found["moved_aside"]
    assert found["ballast later"]
    assert found["accept later"] == "done"


def test_it_is_the_ballast_that_keeps_them(tmp_path: Path) -> None:
    found = rig(disks, "full", str(tmp_path), "without-ballast")
    assert "failed: database or disk is full" in found["finish"]
    assert not found["moved_aside"]
    assert found["accept later"] == "done"


def test_an_agent_that_starts_on_a_full_disk_settles_what_the_former_one_had_begun(
    tmp_path: Path,
) -> None:
    found = rig(disks, "full", str(tmp_path), "restart")
    assert found["lost"] == ["a", "b", "c"]
    assert found["accept"].startswith("refused: ")
    assert found["told"] == ["a", "b", "c"]
    assert not found["moved_aside"]


def test_on_a_read_only_disk_the_journal_refuses_and_loses_nothing(tmp_path: Path) -> None:
    found = rig(disks, "read-only", str(tmp_path))
    assert found["accept"].startswith(("failed: ", "refused: "))
    assert found["told"] == ["a"]
    assert found["open"].startswith(("failed: ", "refused: "))
    assert not [name for name in found["files"] if "corrupt" in name]


def test_what_was_promised_outlives_a_power_cut(tmp_path: Path) -> None:
    found = rig(disks, "power-cut", str(tmp_path))
    assert found["promised"] >= disks.ROUND
    assert found["lost"] == 0


def test_a_power_cut_would_show_a_journal_that_does_not_sync(tmp_path: Path) -> None:
    assert rig(disks, "power-cut", str(tmp_path), "normal")["lost"] > 0
