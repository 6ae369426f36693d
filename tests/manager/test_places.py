"""When one identity is used from two places, and when it only looks like it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.agents import values as v
from emf_manager.agents.places import RETURNS, Places, Speaker, heard
from tests.manager.test_agents import FIRST, SECOND, Bench

A4, A6 = Speaker("a", "192.0.2.1"), Speaker("a", "2001:db8::1")
B4, C4 = Speaker("b", "192.0.2.2"), Speaker("a", "192.0.2.3")


def alarms(speakers: list[Speaker], *, every_s: float = 1.0) -> int:
    places, told = Places(), 0
    for number, speaker in enumerate(speakers):
        places, alarming = heard(places, speaker, number * every_s)
        told += alarming
    return told


@pytest.mark.parametrize(
    ("speakers", "every_s", "told"),
    [
        ([A4] * 100, 1.0, 0),
        ([A4, B4] * 10, 1.0, 1),
        ([A4, C4] * 10, 1.0, 1),
        ([A4, A6] * 50, 1.0, 0),
        ([A4, A4, B4, A4, B4, A4, *[B4] * 50], 1.0, 0),
        ([A4, B4] * 10, 400.0, 0),
        ([Speaker(str(n), "192.0.2.1") for n in range(50)], 1.0, 0),
        ([A4, B4] * 2000, 1.0, 2),
    ],
    ids=[
        "one agent",
        "two processes take turns",
        "two addresses take turns",
        "one host with IPv4 and IPv6",
        "a restart, with late requests",
        "a change now and then",
        "an agent that restarts and restarts",
        "told again after an hour",
    ],
)
def test_only_taking_turns_is_an_alarm(speakers: list[Speaker], every_s: float, told: int) -> None:
    assert alarms(speakers, every_s=every_s) == told


@given(st.lists(st.sampled_from([A4, A6, B4, C4]), max_size=200))
def test_what_is_remembered_is_bounded(speakers: list[Speaker]) -> None:
    places = Places()
    for number, speaker in enumerate(speakers):
        places, _ = heard(places, speaker, float(number))
        assert len(places.recent) <= 4
        assert len(places.returns) <= RETURNS


def test_two_agents_with_one_certificate_are_named() -> None:
    bench = Bench()
    first = replace(FIRST, address="192.0.2.1")
    second = replace(SECOND, address="192.0.2.2")
    told: list[v.TwoPlaces] = []
    for _ in range(6):
        for contact in (first, second):
            bench.do(v.Polled(contact))
            told += bench.all(v.TwoPlaces)

    (alarm,) = told
    assert {(one.instance, one.address) for one in alarm.speakers} == {
        ("start-1", "192.0.2.1"),
        ("start-2", "192.0.2.2"),
    }
