"""The rules of alerts: raised once, cleared when over, calm under flapping; what deserves one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emf_agent.wire import CertificateReport
from emf_manager.alerts import conditions as c
from emf_manager.alerts import rules
from emf_manager.alerts.rules import CALM_S, Gone, Happened, Raise, Seen, Tick
from emf_manager.alerts.values import HAPPENED, KINDS, Acknowledgement, Alert, Condition, Key

NODE = "oss1.example.com"
DAY = 86400.0


def condition(kind: str = "node.silent", subject: str | None = None, **more: Any) -> Condition:
    return Condition(Key(kind, NODE, subject), "critical", "go and see", **more)


@dataclass
class Scene:
    """One node's watch, its clock, and the alerts that came of it."""

    watch: rules.Watch = field(default_factory=rules.Watch)
    now: float = 1000.0
    current: dict[int, Key] = field(default_factory=dict)
    raised: int = 0
    cleared: int = 0

    @property
    def wall(self) -> float:
        return self.now + 1e9

    def step(self, event: rules.Event) -> None:
        """Step, and write what that comes to as the store does."""
        self.watch, orders = rules.step(self.watch, event, self.now, self.wall)
        numbers: dict[Key, int] = {}
        for order in orders:
            if isinstance(order, Raise):
                self.raised += 1
                numbers[order.condition.key] = self.raised
                assert order.condition.key not in self.current.values(), "raised twice"
                self.current[self.raised] = order.condition.key
            else:
                self.cleared += 1
                del self.current[order.alert]
        self.watch = rules.named(self.watch, numbers)

    def see(self, *conditions: Condition) -> None:
        self.step(Seen(conditions))

    def after(self, seconds: float) -> None:
        """Let time pass, with a tick whenever one is due."""
        until = self.now + seconds
        while (due := rules.due(self.watch)) is not None and due <= until:
            self.now = max(self.now, due)
            self.step(Tick())
        self.now = until

    @property
    def kinds(self) -> list[str]:
        return sorted(key.kind for key in self.current.values())


def test_a_condition_is_raised_once_however_often_it_is_seen() -> None:
    scene = Scene()
    for _ in range(5):
        scene.see(condition())
        scene.after(10)

    assert (scene.raised, scene.kinds) == (1, ["node.silent"])


def test_it_is_cleared_when_it_has_been_gone_for_a_moment() -> None:
    scene = Scene()
    scene.see(condition())
    scene.see()
    assert scene.kinds == ["node.silent"]

    scene.after(CALM_S)

    assert scene.current == {}


def test_the_next_time_is_a_new_alert() -> None:
    scene = Scene()
    for _ in range(2):
        scene.see(condition())
        scene.see()
        scene.after(3600)

    assert (scene.raised, scene.cleared) == (2, 2)


def test_one_that_must_hold_for_a_while_is_not_raised_before() -> None:
    scene = Scene()
    scene.see(condition("daemon.late", "host"))
    scene.after(KINDS["daemon.late"] - 1)
    assert scene.raised == 0

    scene.after(1)

    assert scene.kinds == ["daemon.late"]


def test_one_that_ends_within_its_while_leaves_no_trace() -> None:
    scene = Scene()
    scene.see(condition("daemon.late", "host"))
    scene.after(KINDS["daemon.late"] - 1)
    scene.see()
    scene.after(3600)

    assert scene.raised == 0
    assert scene.watch == rules.Watch()


def test_flapping_is_a_handful_of_alerts_and_not_a_hundred() -> None:
    scene = Scene()
    for _ in range(100):
        scene.see(condition())
        scene.after(10)
        scene.see()
        scene.after(10)

    assert scene.raised <= 4
    scene.after(rules.MAX_CALM_S)
    assert scene.current == {}, "and it is over when it stays away"


def test_one_that_begins_at_a_moment_is_raised_then() -> None:
    scene = Scene()
    scene.see(condition("certificate.ending", holds_from=scene.wall + 5 * DAY))
    scene.after(5 * DAY - 1)
    assert scene.raised == 0

    scene.after(1)

    assert scene.kinds == ["certificate.ending"]


def test_a_renewal_moves_the_moment_and_clears_what_was_raised() -> None:
    scene = Scene()
    scene.see(condition("certificate.ending", holds_from=scene.wall))
    assert scene.kinds == ["certificate.ending"]

    scene.see(condition("certificate.ending", holds_from=scene.wall + 90 * DAY))
    scene.after(CALM_S)

    assert scene.current == {}


def test_what_happened_stays_until_somebody_acknowledges_it() -> None:
    scene = Scene()
    two_places = condition("identity.two_places")
    scene.step(Happened(two_places))
    scene.step(Happened(two_places))
    scene.see()
    scene.after(30 * DAY)
    assert scene.kinds == ["identity.two_places"]

    (number,) = scene.current
    scene.step(rules.Ended(number))
    scene.current.clear()

    scene.step(Happened(two_places))
    assert scene.raised == 2, "once more is a new alert"


def test_a_removed_node_has_only_what_happened() -> None:
    scene = Scene()
    scene.see(condition(), condition("daemon.late", "host"))
    scene.step(Happened(condition("job.conflict", "a1")))

    scene.step(Gone())

    assert scene.kinds == ["job.conflict"]


def test_a_manager_that_starts_again_goes_on_with_what_there_is() -> None:
    key = Key("node.silent", NODE)
    alert = Alert(
        7, key, "critical", "go and see", raised=1.0, acknowledged=Acknowledgement("m", 2)
    )
    scene = Scene(rules.recalled([alert]), current={7: key}, raised=7)

    scene.see(condition())
    assert scene.raised == 7, "it is the same one"
    scene.see()
    scene.after(CALM_S)

    assert scene.current == {}


def test_a_node_that_names_a_thousand_things_raises_a_bounded_number() -> None:
    scene = Scene()
    scene.see(*(condition("plugin.failed", f"p{number}") for number in range(1000)))
    for number in range(1000):
        scene.step(Happened(condition("data.lost", f"d{number}")))

    assert scene.raised == 2 * rules.MAX_CONDITIONS


AGAIN = Key("actions.fault", NODE, "a")
STATEFUL = sorted(set(KINDS) - HAPPENED)
keys = st.builds(Key, st.sampled_from(STATEFUL), st.just(NODE), st.sampled_from(["a", "b"]))
seen = st.lists(
    st.builds(
        Condition,
        keys,
        st.just("warning"),
        st.just("text"),
        st.none() | st.floats(1e9, 1e9 + 5000),
    ),
    max_size=4,
    unique_by=lambda each: each.key,
)


@pytest.mark.parametrize(
    ("ahead", "raised", "cleared"), [(1.0, 1, 0), (CALM_S, 1, 0), (CALM_S + 1, 2, 1)]
)
def test_what_will_hold_again_is_raised_again_only_where_it_was_cleared_between(
    ahead: float, raised: int, cleared: int
) -> None:
    scene = Scene()
    scene.see(condition("actions.fault"))
    scene.see(replace(condition("actions.fault"), holds_from=scene.wall + ahead))
    scene.after(100)

    assert (scene.raised, scene.cleared) == (raised, cleared)
    assert scene.kinds == ["actions.fault"]


def test_what_was_to_hold_again_and_will_not_stays_cleared() -> None:
    scene = Scene()
    scene.see(condition("actions.fault"))
    scene.see(replace(condition("actions.fault"), holds_from=scene.wall + 50))
    scene.see()
    scene.after(100)

    assert (scene.raised, scene.current) == (1, {})


@given(st.lists(st.tuples(seen, st.floats(0, 900)), max_size=30))
@example(
    [
        ([Condition(AGAIN, "warning", "text")], 0.0),
        ([Condition(AGAIN, "warning", "text", 1e9 + 1001)], 0.0),
    ]
)
def test_any_history_leaves_what_holds_raised_and_all_else_cleared(
    history: list[tuple[list[Condition], float]],
) -> None:
    scene = Scene()
    holding: list[Condition] = []
    for conditions, seconds in history:
        scene.see(*conditions)
        scene.after(seconds)
        holding = conditions
        moments = [e.due for e in scene.watch.entries.values() if not isinstance(e, rules.Raised)]
        assert all(due > scene.now for due in moments), "nothing that is due is left"

    scene.see(*holding)
    scene.after(10_000)

    assert set(scene.current.values()) == {each.key for each in holding}
    assert scene.raised - scene.cleared == len(scene.current)


@given(st.lists(st.tuples(seen, st.floats(0, 900)), max_size=10), st.floats(0, 0.99))
def test_a_tick_before_its_time_changes_nothing(
    history: list[tuple[list[Condition], float]], share: float
) -> None:
    scene = Scene()
    for conditions, seconds in history:
        scene.see(*conditions)
        scene.after(seconds)
    due = rules.due(scene.watch)
    early = scene.now if due is None else scene.now + (due - scene.now) * share

    after, orders = rules.step(scene.watch, Tick(), early, scene.wall)

    assert (after.entries, orders) == (scene.watch.entries, ())


# What deserves an alert


def vitals(**more: Any) -> c.Vitals:
    return c.read_vitals({"clock_offset_s": 0.2, **more})


def plugin(state: str, name: str = "units", reason: str | None = "why") -> dict[str, Any]:
    return {
        "name": name,
        "distribution": "emf-plugins-host",
        "version": "0.1",
        "state": state,
        "reason": reason,
    }


def daemon(condition: str, name: str = "host") -> dict[str, Any]:
    return {"name": name, "session": "active", "condition": condition, "reason": "why"}


def kinds_of(**facts: Any) -> list[tuple[str, str | None]]:
    found = c.node_conditions(c.NodeFacts(NODE, **facts))
    return [(each.key.kind, each.key.subject) for each in found]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({}, [], id="a node that is well"),
        pytest.param(
            {"silent": True, "reason": "no contact"}, [("node.silent", None)], id="silent"
        ),
        pytest.param(
            {"silent": True, "reason": "goodbye: stopped"}, [("node.stopped", None)], id="stopped"
        ),
        *(
            pytest.param(
                {"vitals": vitals(plugins=[plugin(state)])},
                [(f"plugin.{state}", "units")],
                id=state,
            )
            for state in ("missing", "version", "tampered", "shadowed", "failed")
        ),
        *(
            pytest.param({"vitals": vitals(plugins=[plugin(state)])}, [], id=state)
            for state in ("loaded", "refused", "not-applicable", "disabled")
        ),
        pytest.param(
            {"vitals": vitals(plugins=[plugin("loaded"), plugin("refused")])},
            [("plugin.contested", "units")],
            id="claimed by a stranger",
        ),
        *(
            pytest.param(
                {"vitals": vitals(health={"daemons": [daemon(how)]})},
                [(f"daemon.{how}", "host")],
                id=how,
            )
            for how in ("fault", "late", "quarantined", "stuck", "failed")
        ),
        *(
            pytest.param(
                {"vitals": vitals(health={"daemons": [daemon(how)]})}, [], id=f"{how} daemon"
            )
            for how in ("ok", "starting", "not-applicable")
        ),
        pytest.param(
            {"vitals": vitals(health={"actions_fault": "no journal"})},
            [("actions.fault", None)],
            id="takes no actions",
        ),
        pytest.param({"vitals": vitals(clock_offset_s=-301.0)}, [("clock.skew", None)], id="ahead"),
        pytest.param({"vitals": vitals(clock_offset_s=300.0)}, [], id="five minutes are allowed"),
    ],
)
def test_what_is_known_of_a_node_says_what_deserves_an_alert(
    facts: dict[str, Any], expected: list[tuple[str, str | None]]
) -> None:
    assert kinds_of(**facts) == expected


def test_the_worst_comes_first_where_there_are_too_many() -> None:
    facts = {"silent": True, "reason": "x", "vitals": vitals(plugins=[plugin("failed")])}

    assert [kind for kind, _ in kinds_of(**facts)] == ["node.silent", "plugin.failed"]


@pytest.mark.parametrize(
    "report",
    [None, 3, [], {"plugins": 4}, {"plugins": [{"name": "x"}]}, {"health": {"daemons": 1}}],
)
def test_a_report_that_cannot_be_read_says_nothing(report: Any) -> None:
    assert c.read_vitals(report) == c.Vitals()


def test_a_certificate_says_when_its_renewal_evidently_did_not_work() -> None:
    life = c.Life(0.0, 90 * DAY)

    found = c.node_conditions(c.NodeFacts(NODE, certificate=life))

    assert {each.key.kind: each.holds_from for each in found} == {
        "certificate.ending": 75 * DAY,
        "certificate.ended": 86.25 * DAY,
    }


def test_the_certificate_in_use_counts_and_not_the_newest() -> None:
    newest = c.Life(60 * DAY, 150 * DAY)
    fresh = CertificateReport(subject=NODE, days_left=89.9)
    old = CertificateReport(subject=NODE, days_left=5.0)

    assert c.certificate_in_use(newest, fresh, 60 * DAY) == newest
    assert c.certificate_in_use(newest, old, 85 * DAY) == c.Life(0.0, 90 * DAY)
    assert c.certificate_in_use(newest, None, 0.0) == newest
    assert c.certificate_in_use(None, old, 0.0) is None


@pytest.mark.parametrize(("free", "kinds"), [(9, ["store.filling"]), (10, [])])
def test_a_disk_that_fills_is_an_alert_of_the_manager(free: int, kinds: list[str]) -> None:
    found = c.manager_conditions(c.Room("/var/lib/emf-manager", 100, free))

    assert [each.key.kind for each in found] == kinds
    assert all(each.key.node is None for each in found)


def test_a_disk_that_tells_nothing_is_none() -> None:
    assert c.manager_conditions(None) == ()


@pytest.mark.parametrize("kind", ["node.silent", "job.done", "data", "made.up"])
def test_other_events_are_no_alerts(kind: str) -> None:
    assert c.happened(kind, NODE, {}) is None


@pytest.mark.parametrize(
    "kind", ["identity.two_places", "job.conflict", "node.journal_lost", "data.dropped", "data.gap"]
)
def test_every_kind_is_in_the_table_and_its_text_is_bounded(kind: str) -> None:
    found = c.happened(
        kind, NODE, {"daemon": "d" * 9999, "reason": "r" * 9999, "action_id": "a" * 9999}
    )

    assert found is not None
    assert found.key.kind in HAPPENED
    assert found.key.kind in KINDS
    assert len(found.text) < 1000
    assert len(found.key.subject or "") <= c.SHOWN
