"""Replacing the authority: the steps as rules, whom each would lose, the folder they are in."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.errors import ConfigurationError, RefusedError
from emf_manager.identity.authorities import (
    Authorities,
    begin_rotation,
    open_authorities,
    rotation_mark,
    step_rotation,
)
from emf_manager.identity.rotation import (
    Rotation,
    Standing,
    behind_finish,
    behind_switch,
    standing_of,
    standings_of,
)

NOW = 1_800_000_000.0
OLD, NEW = "a" * 64, "b" * 64


# The rules


def test_a_rotation_ends_with_the_next_authority_alone() -> None:
    begun = Rotation("old").begin("new")
    switched = begun.switch()

    assert (begun.phase, begun.trusted) == ("announced", ("old", "new"))
    assert (switched.phase, switched.trusted) == ("switched", ("new", "old"))
    assert switched.finish() == Rotation("new")


def test_going_back_issues_by_the_one_before_and_loses_nobody() -> None:
    begun = Rotation("old").begin("new")

    assert begun.abort() == Rotation("old")
    assert begun.switch().abort() == Rotation("old", previous="new")
    assert begun.switch().abort().finish() == Rotation("old")


@pytest.mark.parametrize(
    ("rotation", "step", "says"),
    [
        (Rotation("a", next="b"), lambda r: r.begin("c"), "announced already.*switch"),
        (Rotation("a", previous="b"), lambda r: r.begin("c"), "switched already.*finish"),
        (Rotation("a"), Rotation.switch, "begin"),
        (Rotation("a", previous="b"), Rotation.switch, "finish"),
        (Rotation("a"), Rotation.finish, "begin"),
        (Rotation("a", next="b"), Rotation.finish, "switch"),
        (Rotation("a"), Rotation.abort, "nothing to abort"),
    ],
)
def test_a_step_out_of_turn_says_what_to_do(rotation: Rotation, step: object, says: str) -> None:
    assert callable(step)
    with pytest.raises(RefusedError, match=says):
        step(rotation)


@given(st.lists(st.sampled_from(["begin", "switch", "finish", "abort"]), max_size=12))
def test_who_is_trusted_changes_by_one_at_a_time_and_the_issuing_one_was_trusted_before(
    steps: list[str],
) -> None:
    rotation, made = Rotation("0"), 0
    for step in steps:
        before = set(rotation.trusted)
        try:
            if step == "begin":
                made += 1
                rotation = rotation.begin(str(made))
            else:
                rotation = getattr(rotation, step)()
        except RefusedError:
            continue
        assert rotation.issuing in before
        assert len(before ^ set(rotation.trusted)) <= 1
        assert len(rotation.trusted) <= 2


@pytest.mark.parametrize(
    "report",
    [
        None,
        [],
        "x",
        {},
        {"certificate": None},
        {"certificate": {}},
        {"certificate": {"authorities": "x", "issuer": 1}},
        {"certificate": {"authorities": [1, None], "issuer": None}},
    ],
)
def test_a_node_that_says_nothing_of_use_knows_nothing(report: object) -> None:
    assert standing_of("n", report) == Standing("n")  # type: ignore[arg-type]


def test_who_would_be_lost_is_named_in_order() -> None:
    def report(issuer: str, *trusts: str) -> object:
        return {"certificate": {"authorities": list(trusts), "issuer": issuer}}

    reports = {
        "knows": report(OLD, OLD, NEW),
        "uses": report(NEW, OLD, NEW),
        "behind": report(OLD, OLD),
        "gone": report(OLD, OLD),
    }
    counted = {"uses", "silent", "knows", "behind"}
    standings = standings_of(reports, counted)  # type: ignore[arg-type]

    assert behind_switch(standings, NEW) == ("behind", "silent")
    assert behind_finish(standings, NEW) == ("behind", "knows", "silent")


# The folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "authority"
    open_authorities(made, now=NOW)
    return made


def now_in(folder: Path) -> Authorities:
    return open_authorities(folder, now=NOW)


def test_the_folder_goes_through_a_whole_rotation(folder: Path) -> None:
    first = now_in(folder).issuing
    begun = begin_rotation(folder, now=NOW)
    assert begun.fingerprints[0] == first.fingerprint
    assert len(begun.fingerprints) == 2

    switched = step_rotation(folder, Rotation.switch, now=NOW)
    assert switched.fingerprints == (begun.fingerprints[1], first.fingerprint)
    assert switched.pem.count("BEGIN CERTIFICATE") == 2
    assert switched.knows(first.name)

    finished = step_rotation(folder, Rotation.finish, now=NOW)
    assert finished.fingerprints == begun.fingerprints[1:]
    assert not finished.knows(first.name)
    assert now_in(folder).fingerprints == finished.fingerprints
    keys = list(folder.rglob("ca.key"))
    assert len(keys) == 1, "the key of the one before is gone"
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600

    again = begin_rotation(folder, now=NOW)
    assert again.fingerprints[0] == finished.fingerprints[0]


def test_an_aborted_one_leaves_no_key(folder: Path) -> None:
    first = now_in(folder).fingerprints
    begin_rotation(folder, now=NOW)

    assert step_rotation(folder, Rotation.abort, now=NOW).fingerprints == first
    assert len(list(folder.rglob("ca.key"))) == 1


def test_each_step_is_seen_from_outside(folder: Path) -> None:
    marks = [rotation_mark(folder)]
    begin_rotation(folder, now=NOW)
    marks.append(rotation_mark(folder))
    for step in (Rotation.switch, Rotation.abort, Rotation.finish):
        step_rotation(folder, step, now=NOW)
        marks.append(rotation_mark(folder))

    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("step", ["begin", "switch", "finish", "abort"])
@pytest.mark.parametrize("crash_at", range(6))
def test_a_crash_leaves_a_step_undone_or_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, crash_at: int
) -> None:
    if step != "begin":
        begin_rotation(folder, now=NOW)
    if step == "finish":
        step_rotation(folder, Rotation.switch, now=NOW)

    def go() -> Authorities:
        if step == "begin":
            return begin_rotation(folder, now=NOW)
        return step_rotation(folder, getattr(Rotation, step), now=NOW)

    before = now_in(folder)
    calls = 0
    real = {name: getattr(Path, name) for name in ("replace", "rename", "unlink")}

    def breaking(name: str) -> object:
        def call(self: Path, *rest: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls > crash_at:
                raise KeyboardInterrupt
            return real[name](self, *rest, **named)

        return call

    with monkeypatch.context() as crash:
        for name in real:
            crash.setattr(Path, name, breaking(name))
        try:
            done = go()
        except KeyboardInterrupt:
            done = None

    after = now_in(folder)
    undone = after.rotation == before.rotation
    assert done is None or not undone
    if undone:
        go()
    assert now_in(folder).issuing.certificate is not None
    assert len(list(folder.rglob("ca.key"))) >= len(now_in(folder).trusted)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"issuing": 1}', '{"issuing": "../x"}', '{"issuing": "", "x": 1}', "\x00"],
)
def test_a_damaged_file_is_named(folder: Path, content: str) -> None:
    (folder / "rotation.json").write_text(content)

    with pytest.raises(ConfigurationError, match=r"rotation\.json.*restore"):
        now_in(folder)
