"""The fleet as groups of tiles: the worst first, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emf_manager.views import RollEntry
from emf_manager.web.fleet_map import STANDINGS, grouped, tally, tiles

entries = st.builds(
    RollEntry,
    fqdn=st.from_regex(r"[a-z]{1,3}[0-9]{1,2}", fullmatch=True),
    role=st.sampled_from([None, "oss", "mds", "client"]),
    state=st.sampled_from(["connected", "silent", "never"]),
    waiting=st.booleans(),
    last_contact=st.none() | st.floats(0, 2e9),
)


def node(name: str, role: str | None = "oss", state: str = "connected") -> RollEntry:
    return RollEntry(name, role, state, waiting=state == "waiting", last_contact=None)  # type: ignore[arg-type]


def test_the_worst_comes_first_and_equals_by_name() -> None:
    fleet = [
        node("b"),
        node("a"),
        node("e"),
        node("d", state="silent"),
        node("c", state="waiting"),
    ]

    assert [one.fqdn for one in tiles(fleet, {"e": 1})] == ["d", "e", "c", "a", "b"]


def test_the_role_with_most_in_trouble_comes_first() -> None:
    fleet = [
        node("a", "client"),
        node("b", "mds", "never"),
        node("c", "oss", "silent"),
        node("d", None),
    ]

    assert [group.role for group in grouped(tiles(fleet, {}))] == ["oss", "mds", "client", None]


def test_a_silent_node_with_alerts_is_silent_before_all() -> None:
    (tile,) = tiles([node("a", state="silent")], {"a": 2})

    assert (tile.standing, tile.alerts) == ("silent", 2)


def test_a_node_that_waits_for_approval_is_shown_as_that() -> None:
    (tile,) = tiles([node("a", state="waiting")], {"a": 1})

    assert tile.standing == "waiting"


def test_no_nodes_are_no_groups() -> None:
    assert grouped([]) == ()
    assert tally([]) == {}


@given(st.lists(entries, max_size=30), st.dictionaries(st.just("a1"), st.integers(0, 3)))
def test_every_node_stands_in_one_group_and_the_counts_add_up(
    fleet: list[RollEntry], alerts: dict[str, int]
) -> None:
    groups = grouped(tiles(fleet, alerts))

    assert sorted(n.fqdn for g in groups for n in g.nodes) == sorted(n.fqdn for n in fleet)
    for group in groups:
        assert sum(group.counts.values()) == len(group.nodes)
        assert len(group.troubled) == len(group.nodes) - group.counts.get("connected", 0)
        ranks = [STANDINGS.index(one.standing) for one in group.nodes]
        assert ranks == sorted(ranks)
