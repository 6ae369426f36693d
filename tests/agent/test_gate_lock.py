"""The lock's text: written and read back alike, and nothing else is taken for one."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emf_agent.gate.lockfile import CORE, Lock, LockedDistribution, dump_lock, parse_lock
from emf_agent.gate.refusal import GateError

DIGEST = "a" * 64
ONE = LockedDistribution(
    name="emf-plugin-a",
    version="1.0",
    site="/opt/site",
    dist_info="emf_plugin_a-1.0.dist-info",
    required_by=(CORE, "plugin:a"),
    entry_points=(("emf_agent.plugins", "a", "emf_a.plugin"),),
    files={"emf_a/__init__.py": DIGEST, "emf_a/plugin.py": "b" * 64},
)
LOCK = Lock("cpython-311-linux", DIGEST, {ONE.name: ONE})


def test_a_lock_is_read_as_it_was_written() -> None:
    assert parse_lock(dump_lock(LOCK), "L") == LOCK


def test_a_lock_has_one_line_for_each_file_in_a_fixed_order() -> None:
    text = dump_lock(LOCK).decode().splitlines()
    [first, second] = [line for line in text if "emf_a/" in line]

    assert "emf_a/__init__.py" in first
    assert "emf_a/plugin.py" in second


def test_the_core_is_what_the_agent_needs_and_the_rest_knows_its_plugins() -> None:
    other = LockedDistribution("b", "1", "/s", "b-1.dist-info", ("plugin:x", "plugin:y"), (), {})
    lock = Lock("p", DIGEST, {ONE.name: ONE, "b": other})

    assert set(lock.core().distributions) == {"emf-plugin-a"}
    assert lock.plugins_of("b") == ("x", "y")
    assert lock.plugins_of("emf-plugin-a") == ("a",)


def changed(*path: str, to: Any) -> bytes:
    told = json.loads(dump_lock(LOCK))
    here = told
    for key in path[:-1]:
        here = here[key]
    if to is None:
        del here[path[-1]]
    else:
        here[path[-1]] = to
    return json.dumps(told).encode()


DIST = ("dists", "emf-plugin-a")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(b"", "Expecting value", id="empty"),
        pytest.param(b"[]", "the lock is no object", id="no object"),
        pytest.param(b"\xff", "UTF-8", id="not text"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="nested without end"),
        pytest.param(b"#" * (16 * 1024 * 1024 + 1), "larger than", id="too large"),
        pytest.param(changed("schema", to=2), "schema is not 1", id="a newer schema"),
        pytest.param(
            changed("schema", to=True), "schema is not 1", id="a schema that is no number"
        ),
        pytest.param(changed("extra", to=1), "keys it should: extra", id="an unknown key"),
        pytest.param(changed("python", to=None), "keys it should: python", id="a missing key"),
        pytest.param(changed("python", to="a\nb"), "no line of text", id="a line break"),
        pytest.param(changed("policy_sha256", to="x"), "no SHA-256", id="no digest"),
        pytest.param(changed("dists", to=[]), "dists is no object", id="no distributions"),
        pytest.param(changed("dists", "A_B", to={}), "not exactly the keys", id="half a one"),
        pytest.param(changed(*DIST, "site", to="opt/site"), "no absolute folder", id="relative"),
        pytest.param(changed(*DIST, "site", to="/opt/../etc"), "no absolute folder", id="climbing"),
        pytest.param(changed(*DIST, "dist_info", to="../x.dist-info"), "metadata", id="info"),
        pytest.param(changed(*DIST, "entry_points", to=[["a", "b"]]), "three texts", id="points"),
        pytest.param(changed(*DIST, "required_by", to="core"), "array should be", id="needed by"),
        pytest.param(changed(*DIST, "files", to={"../x.py": DIGEST}), "below the site", id="out"),
        pytest.param(changed(*DIST, "files", to={"/x.py": DIGEST}), "below the site", id="root"),
        pytest.param(changed(*DIST, "files", to={"a//x.py": DIGEST}), "below the site", id="empty"),
        pytest.param(changed(*DIST, "files", to={"x.py": "A" * 64}), "no SHA-256", id="upper case"),
        pytest.param(
            dump_lock(LOCK).replace(b'"python"', b'"schema": 1, "python"'),
            "twice",
            id="a key twice",
        ),
        pytest.param(changed("python", to=float("nan")), "holds NaN", id="not a number"),
    ],
)
def test_what_is_no_lock_is_refused_with_the_way_out(text: bytes, said: str) -> None:
    with pytest.raises(GateError) as raised:
        parse_lock(text, "L")

    [refusal] = raised.value.refusals
    assert (refusal.code, refusal.subject) == ("lock", "L")
    assert said in refusal.found
    assert "plugin lock" in refusal.advice


def test_a_file_belongs_to_one_distribution() -> None:
    told = json.loads(dump_lock(LOCK))
    told["dists"]["other"] = {**told["dists"]["emf-plugin-a"]}

    with pytest.raises(GateError, match="claimed by emf-plugin-a and other"):
        parse_lock(json.dumps(told).encode(), "L")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(text: bytes) -> None:
    with suppress(GateError):
        parse_lock(text, "L")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)
PLACES = st.sampled_from(
    [
        ("schema",),
        ("dists",),
        DIST,
        *((*DIST, key) for key in ("version", "site", "dist_info", "required_by", "files")),
        (*DIST, "entry_points"),
    ]
)


@settings(deadline=None)
@given(PLACES, VALUES)
def test_no_value_in_any_place_does_more_than_be_refused(
    place: tuple[str, ...], value: Any
) -> None:
    with suppress(GateError):
        found = parse_lock(changed(*place, to=value), "L")
        for one in found.distributions.values():
            assert all(not file.startswith("/") and ".." not in file for file in one.files)
