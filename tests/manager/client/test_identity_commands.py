"""``emf node approve``, ``revoke``, ``remove`` and ``emf audit``: what an admin types."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from emf_manager.api import models as m
from emf_manager.audit_chain import FIRST_DIGEST, digest
from emf_manager.records import AuditEntry, NewAudit
from tests.manager.api.fakes import NODES, NOW
from tests.manager.client.conftest import Desk

NAME = NODES[0]


@pytest.fixture
def admin(desk: Desk) -> Desk:
    desk.environ["EMF_TOKEN"] = "admin-token"
    return desk


def trail(length: int) -> list[AuditEntry]:
    links: list[AuditEntry] = []
    last = FIRST_DIGEST
    for number in range(1, length + 1):
        entry = NewAudit(NOW + number / 3, "user:maria", f"POST /{number}", detail={"n": number})
        last = digest(last, number, entry)
        links.append(AuditEntry(number, entry, last))
    return links


def shown(links: list[AuditEntry]) -> tuple[m.AuditLine, ...]:
    return tuple(
        m.AuditLine(sequence=link.sequence, digest=link.digest, **asdict(link.entry))
        for link in links
    )


def test_a_node_is_approved_revoked_and_removed(admin: Desk) -> None:
    admin.engine.views[NAME] = replace(admin.engine.views[NAME], waiting=True)

    for words in (
        ["node", "approve", "oss01"],
        ["node", "revoke", "oss01", "--reason", "stolen"],
        ["node", "remove", "oss01", "--yes"],
    ):
        result = admin.emf(*words)
        assert result.exit_code == 0, result.output

    kinds = [event.kind for event in admin.engine.log]
    assert kinds == ["node.approved", "node.revoked", "node.removed"]
    assert admin.engine.log[1].body == {"by": "user:admin", "reason": "stolen"}


def test_nothing_is_removed_that_was_not_confirmed(admin: Desk) -> None:
    assert admin.emf("node", "remove", "oss01", stdin="n\n").exit_code == 1
    assert NAME in admin.engine.views
    assert admin.emf("node", "remove", "oss01", stdin="y\n").exit_code == 0
    assert NAME not in admin.engine.views


@pytest.mark.parametrize("verb", ["approve", "revoke"])
def test_an_operator_may_not(desk: Desk, verb: str) -> None:
    result = desk.emf("node", verb, "oss01")

    assert result.exit_code == 5
    assert "operator" in result.stderr


def test_the_newest_lines_are_listed(admin: Desk) -> None:
    admin.accounts.trail = shown(trail(7))

    newest = admin.json("audit", "list", "--limit", "2", "--json")
    after = admin.json("audit", "list", "--after", "3", "--limit", "2", "--json")

    assert [line["sequence"] for line in newest] == [6, 7]
    assert [line["sequence"] for line in after] == [4, 5]
    assert "user:maria" in admin.emf("audit", "list").stdout


def test_only_the_lines_that_are_listed_are_read(admin: Desk) -> None:
    admin.accounts.trail = shown(trail(5000))

    assert len(admin.json("audit", "list", "--limit", "600", "--json")) == 600
    assert admin.accounts.read < 700


def test_a_whole_trail_is_verified_and_its_last_line_printed(admin: Desk) -> None:
    links = trail(1200)
    admin.accounts.trail = shown(links)
    head = f"1200:{links[-1].digest}"

    result = admin.emf("audit", "verify")

    assert result.exit_code == 0, result.output
    assert result.stdout == f"1200 lines, unbroken; the last is {head}\n"
    assert admin.emf("audit", "verify", "--expect", head).exit_code == 0


def edited(links: list[AuditEntry]) -> list[AuditEntry]:
    changed = replace(links[2], entry=replace(links[2].entry, actor="user:jo"))
    return [*links[:2], changed, *links[3:]]


def rewritten(links: list[AuditEntry]) -> list[AuditEntry]:
    made: list[AuditEntry] = []
    last = FIRST_DIGEST
    for link in edited(links):
        last = digest(last, link.sequence, link.entry)
        made.append(replace(link, digest=last))
    return made


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (edited, "at line 3"),
        (lambda links: [*links[:2], *links[3:]], "at line 4"),
        (lambda links: links[:-1], "at line 5"),
        (rewritten, "rewritten"),
    ],
    ids=["edited", "deleted", "cut off", "rewritten as a whole"],
)
def test_tampering_is_named(admin: Desk, change: Any, says: str) -> None:
    links = trail(5)
    admin.accounts.trail = shown(change(links))

    result = admin.emf("audit", "verify", "--expect", f"5:{links[-1].digest}")

    assert result.exit_code == 1
    assert says in result.stderr


@pytest.mark.parametrize("noted", ["5", "x:y", "0:" + "0" * 64, "5:abc", "9" * 30 + ":" + "0" * 64])
def test_a_note_that_is_none_is_refused(admin: Desk, noted: str) -> None:
    assert admin.emf("audit", "verify", "--expect", noted).exit_code == 2
