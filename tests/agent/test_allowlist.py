"""The allowlist's text: what is accepted, and how each mistake is told."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emf_agent.allowlist import Allowlist, Rule, covers, parse_allowlist
from emf_agent.errors import ConfigurationError

PLUGIN = """
[[plugin]]
id = "lustre"
distribution = "EMF_Plugins.Lustre"
version = ">=1.4,<2"
entry_point = ["emf_agent.plugins", "lustre", "emf_plugins_lustre:plugin"]
actions = ["lustre.*"]
daemons = ["stats", "ostpool"]
"""


def parsed(text: str) -> Allowlist:
    return parse_allowlist(text.encode(), "F")


def faults_of(text: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        parsed(text)
    assert raised.value.exit_code == 78
    return str(raised.value)


def test_the_file_of_the_design_is_read_and_names_are_normalised() -> None:
    found = parsed('schema = 1\nmode = "enforce"\nrequire_signature = false\n' + PLUGIN)

    assert found.enforced
    [rule] = found.plugin
    assert rule.distribution == "emf-plugins-lustre"
    assert (rule.name, rule.value) == ("lustre", "emf_plugins_lustre:plugin")
    assert rule.enabled
    assert not rule.required


def test_the_mode_is_enforce_unless_the_file_says_otherwise() -> None:
    assert parsed("schema = 1").enforced
    assert not parsed('schema = 1\nmode = "development"').enforced


def test_a_rule_without_a_ceiling_admits_no_name() -> None:
    rule = Rule(id="x", distribution="x", entry_point=("emf_agent.plugins", "x", "x"))

    assert rule.unclaimable(("a",), ("b",)) == ["action a", "daemon b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("schema = 2", "schema: must be 1", id="a newer schema"),
        pytest.param("schema = true", "schema: must be 1", id="a schema that is no number"),
        pytest.param("", "schema: must be 1", id="an empty file"),
        pytest.param("schema = ", "not valid TOML", id="broken TOML"),
        pytest.param("schema = 1\nplugins = []", "did you mean 'plugin'?", id="a misspelt key"),
        pytest.param("schema = 1\nplugin = 3", "plugin:", id="plugin that is no table"),
        pytest.param("schema = 1\nplugin = [3]", "plugin number 1", id="an entry that is no table"),
        pytest.param('schema = 1\nmode = "off"', "mode:", id="an unknown mode"),
        pytest.param(
            "schema = 1" + PLUGIN.replace("version", "versoin"),
            "plugin 'lustre'.versoin: no such key; did you mean 'version'?",
            id="a misspelt key of a plugin",
        ),
        pytest.param(
            "schema = 1" + PLUGIN.replace(">=1.4,<2", "newest"), "version range", id="no range"
        ),
        pytest.param(
            "schema = 1" + PLUGIN.replace('"lustre.*"', '"*.start"'),
            "in the last part",
            id="a glob before the last part",
        ),
        pytest.param(
            "schema = 1" + PLUGIN.replace("emf_plugins_lustre:plugin", "../x"),
            "third part",
            id="a value that cannot be imported",
        ),
        pytest.param(
            "schema = 1" + PLUGIN.replace('["emf_agent.plugins"', '["console_scripts"'),
            "entry_point.0",
            id="another group",
        ),
        pytest.param("schema = 1" + PLUGIN * 2, "'lustre' stands in 2 tables", id="one id twice"),
        pytest.param(
            "schema = 1" + PLUGIN + "required = true\nenabled = false",
            "cannot be both",
            id="required and off",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_a_way_out(text: str, said: str) -> None:
    told = faults_of(text)

    assert told.startswith("F: ")
    assert said in told


def test_all_mistakes_are_told_at_once() -> None:
    told = faults_of("schema = 1\nmod = 1" + PLUGIN.replace("version", "v").replace('"stats"', "3"))

    assert told.count("\n") == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(b"\xff\xfe", "UTF-8", id="not text"),
        pytest.param(b"#" * (1024 * 1024 + 1), "larger than", id="too large"),
        pytest.param(b"a = " + b"[" * 100_000, "F: ", id="nested without end"),
    ],
)
def test_hostile_bytes_are_refused(text: bytes, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_allowlist(text, "F")


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_do_more_than_be_refused(text: bytes) -> None:
    with suppress(ConfigurationError):
        parse_allowlist(b"schema = 1\n" + text, "F")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def toml(value: object) -> str:
    """Write a value as an inline TOML value."""
    import json

    if value is None:
        return '""'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["id", "distribution", "entry_point", "version", "actions", "enabled"]),
        JSON,
    )
)
def test_no_table_does_more_than_be_refused(table: dict[str, object]) -> None:
    lines = "\n".join(f"{key} = {toml(value)}" for key, value in table.items())
    with suppress(ConfigurationError):
        parse_allowlist(f"schema = 1\n[[plugin]]\n{lines}".encode("utf-8", "replace"), "F")


@pytest.mark.parametrize(
    ("ceiling", "name", "admitted"),
    [
        pytest.param(("*",), "a.b.c", True, id="star admits all"),
        pytest.param(("lustre.*",), "lustre.start", True, id="the last part"),
        pytest.param(("lustre.*",), "lustre.ost.start", False, id="not two parts"),
        pytest.param(("lustre.*",), "lustrex", False, id="not a longer first part"),
        pytest.param(("start_*",), "start_unit", True, id="a name without dots"),
        pytest.param(("start_*",), "a.start_unit", False, id="not below another part"),
        pytest.param((), "a", False, id="nothing admits nothing"),
        pytest.param(("A",), "a", False, id="case counts"),
    ],
)
def test_wildcards_stand_for_one_part(ceiling: tuple[str, ...], name: str, admitted: bool) -> None:
    assert covers(ceiling, name) is admitted


@pytest.mark.parametrize(
    ("wanted", "version", "admitted"),
    [
        ("", "0.1", True),
        ("", "what", True),
        (">=1,<2", "1.9", True),
        (">=1,<2", "2.0", False),
        (">=1", "2.0rc1", True),
        (">=1", "what", False),
    ],
)
def test_versions_are_compared_as_pip_does(wanted: str, version: str, admitted: bool) -> None:
    rule = Rule(
        id="x", distribution="x", version=wanted, entry_point=("emf_agent.plugins", "x", "x")
    )

    assert rule.admits(version) is admitted
