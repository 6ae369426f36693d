"""``emf node label``: what an admin types, and what comes of it."""

from __future__ import annotations

import pytest

from tests.manager.api.fakes import NODES
from tests.manager.client.conftest import Desk


@pytest.fixture
def admin(desk: Desk) -> Desk:
    desk.environ["EMF_TOKEN"] = "admin-token"
    return desk


def test_labels_are_set_and_taken_away_and_the_others_stay(admin: Desk) -> None:
    assert admin.emf("node", "label", "oss01", "rack=r1", "ha=pair1").exit_code == 0

    result = admin.emf("node", "label", "oss01", "ha-", "row=7")

    assert (result.exit_code, result.stdout) == (0, "rack=r1\nrow=7\n")
    assert admin.engine.views[NODES[0]].labels == {"rack": "r1", "row": "7"}


def test_without_a_change_they_are_shown_to_everybody(admin: Desk, desk: Desk) -> None:
    admin.emf("node", "label", "oss01", "rack=r1")
    desk.environ["EMF_TOKEN"] = "viewer-token"

    shown = desk.json("node", "label", "oss01", "--json")

    assert shown == {"fqdn": NODES[0], "labels": {"rack": "r1"}}
    assert desk.emf("node", "label", "oss01", "rack-").exit_code == 5


@pytest.mark.parametrize("word", ["rack", "rack-", "a b=c", "@oss=1"])
def test_a_word_that_changes_nothing_is_told(admin: Desk, word: str) -> None:
    result = admin.emf("node", "label", "oss01", word)

    assert result.exit_code == 2
    assert word.rstrip("-") in result.stderr
    assert admin.engine.log == []


def test_a_node_that_runs_things_is_chosen_by_its_label(admin: Desk) -> None:
    admin.emf("node", "label", "oss02", "rack=r1")

    found = admin.json("targets", "@rack=r1", "--json")

    assert [one["node"] for one in found["matched"]] == ["oss02.example.com"]
