"""``emf alert``: a table for people, JSON for machines, and an acknowledgement."""

from __future__ import annotations

from tests.manager.api.fakes import NODES
from tests.manager.client.conftest import Desk


def test_alerts_are_listed_the_newest_first(desk: Desk) -> None:
    desk.alerts.put()
    desk.alerts.put("daemon.late", NODES[1], subject="host", severity="warning")
    desk.emf("alert", "acknowledge", "1", "--note", "on my way")

    head, *lines = desk.emf("alert", "list").stdout.splitlines()

    assert head.split() == ["ALERT", "RAISED", "SEVERITY", "STATE", "NODE", "KIND", "TEXT"]
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert lines[0].split()[2:6] == ["warning", "open", NODES[1], "daemon.late"]
    assert [each["id"] for each in desk.json("alert", "list", "--state", "open", "--json")] == [2]
    assert [each["id"] for each in desk.json("alert", "list", "oss01", "--json")] == [1]


def test_an_alert_is_shown_with_what_to_do_and_who_does(desk: Desk) -> None:
    desk.alerts.put(text="it is silent; go and see\x1b[31m")
    desk.emf("alert", "acknowledge", "1", "--note", "on my way")

    shown = desk.emf("alert", "show", "1").stdout

    assert "it is silent; go and see\\x1b[31m" in shown
    assert "operator at" in shown
    assert "on my way" in shown
    assert desk.json("alert", "show", "1", "--json")["state"] == "acknowledged"


def test_who_acknowledges_second_is_told_who_was_first(desk: Desk) -> None:
    desk.alerts.put()
    first = desk.emf("alert", "acknowledge", "1")
    desk.environ["EMF_TOKEN"] = "admin-token"

    second = desk.emf("alert", "acknowledge", "1")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "operator looks after it since" in second.stderr


def test_an_alert_that_is_not_there_is_an_error(desk: Desk) -> None:
    result = desk.emf("alert", "show", "7")

    assert result.exit_code == 1
    assert "there is no alert '7'" in result.stderr


def test_a_number_that_is_none_is_a_usage_error(desk: Desk) -> None:
    for words in (("show", "x"), ("acknowledge", "0"), ("list", "--state", "gone")):
        assert desk.emf("alert", *words).exit_code == 2


def test_nodes_are_listed_with_how_many_alerts_they_have(desk: Desk) -> None:
    desk.alerts.put()
    desk.alerts.put("clock.skew")

    lines = desk.emf("node", "list").stdout.splitlines()

    told = {line.split()[0]: line.split()[3] for line in lines[1:]}
    assert told == {name: "2" if name == NODES[0] else "-" for name in NODES}
