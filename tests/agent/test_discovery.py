"""Which installed plugin is imported, which is not, and what its registration may do wrong."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emf_agent.allowlist import Allowlist, Rule, parse_allowlist
from emf_agent.discovery import (
    Entry,
    Owner,
    Scene,
    discover,
    installed_entries,
    judge,
    load_plugins,
    survey,
)
from emf_agent.errors import ConfigurationError
from emf_agent.plugin import ActionNotice, NodeFacts
from emf_agent.registry import Registry
from emf_agent.settings import Settings, load_settings
from emf_agent.wire import PluginReport
from tests.agent.distributions import Site, importing, rule

NODE = NodeFacts(fqdn="n", kernel="6", machine="x86_64", os_id="debian", os_like=())


@pytest.fixture
def site(tmp_path: Path) -> Generator[Site, None, None]:
    made = Site(tmp_path / "site")
    with importing(made):
        yield made


def allow(*rules: str) -> Allowlist:
    return parse_allowlist(('schema = 1\nmode = "allowlist"\n' + "".join(rules)).encode(), "F")


def configured(tmp_path: Path, text: str = "") -> Settings:
    (tmp_path / "etc").mkdir(exist_ok=True)
    (tmp_path / "etc/agent.toml").write_text(text)
    return load_settings(None, tmp_path, environment={})


def found(site: Site, *rules: str, config: str = "") -> Registry:
    return discover(configured(site.folder.parent, config), allow(*rules), NODE, path=site.path)


def report(registry: Registry, name: str) -> PluginReport:
    [one] = [one for one in registry.plugins if one.name == name]
    return one


def test_a_listed_plugin_is_loaded_and_one_that_is_not_is_never_imported(site: Site) -> None:
    good = site.plugin("emf-plugin-good", "good")
    site.plugin("emf-plugin-other", "other")

    registry = found(site, rule("good", "emf-plugin-good", good))

    assert report(registry, "good").state == "loaded"
    assert report(registry, "good").actions == ("good_now",)
    assert report(registry, "good").daemons == ("good",)
    assert set(registry.actions) == {"good_now"}
    assert set(registry.daemons) == {"good"}
    assert report(registry, "other").state == "refused"
    assert "add [[plugin]]" in str(report(registry, "other").reason)
    assert "emf_plugin_other" not in sys.modules


def test_a_survey_imports_nothing_at_all(site: Site) -> None:
    good = site.plugin("emf-plugin-good", "good")

    [told] = survey(allow(rule("good", "emf-plugin-good", good)), site.path)

    assert told.state == "loaded"
    assert "emf_plugin_good" not in sys.modules


@pytest.mark.parametrize(
    ("more", "state", "reason"),
    [
        pytest.param({"version": '">=2"'}, "version", "1.0 is installed", id="version"),
        pytest.param({"enabled": "false"}, "disabled", "switched off", id="disabled"),
        pytest.param({"actions": "[]"}, "refused", "action good_now", id="action above ceiling"),
        pytest.param({"daemons": '["x*"]'}, "refused", "daemon good", id="daemon above ceiling"),
    ],
)
def test_a_rule_that_does_not_hold_is_the_reason(
    site: Site, more: dict[str, str], state: str, reason: str
) -> None:
    value = site.plugin("emf-plugin-good", "good")

    registry = found(site, rule("good", "emf-plugin-good", value, **more))

    told = report(registry, "good")
    assert told.state == state
    assert reason in str(told.reason)
    assert not registry.actions
    assert not registry.daemons


def test_another_value_than_the_allowlist_has_is_refused_before_import(site: Site) -> None:
    site.plugin("emf-plugin-good", "good")

    told = report(found(site, rule("good", "emf-plugin-good", "emf_plugin_good")), "good")

    assert (told.state, "emf_plugin_good" in sys.modules) == ("refused", False)
    assert "'emf_plugin_good.plugin'" in str(told.reason)


def test_a_plugin_that_is_not_installed_is_missing(site: Site) -> None:
    site.install("emf-plugin-empty", {})

    registry = found(site, rule("a", "emf-plugin-a", "a"), rule("b", "emf-plugin-empty", "b"))

    assert report(registry, "a").state == "missing"
    assert report(registry, "a").reason == "emf-plugin-a is not installed"
    assert report(registry, "b").state == "missing"
    assert "offers no entry point 'b'" in str(report(registry, "b").reason)


def test_two_distributions_with_one_entry_point_get_neither_and_both_are_named(site: Site) -> None:
    value = site.plugin("emf-plugin-good", "good")
    site.install("emf-plugin-evil", {"good": value})

    registry = found(site, rule("good", "emf-plugin-good", value))

    assert [one.state for one in registry.plugins] == ["refused", "refused"]
    told = str(registry.plugins[0].reason)
    assert "emf-plugin-good 1.0" in told
    assert "emf-plugin-evil 1.0" in told
    assert not registry.actions
    assert "emf_plugin_good" not in sys.modules


def test_a_name_that_only_a_stranger_offers_is_refused(site: Site) -> None:
    value = site.plugin("emf-plugin-evil", "good")

    registry = found(site, rule("good", "emf-plugin-good", value))

    assert {one.state for one in registry.plugins} == {"refused"}
    assert "emf_plugin_evil" not in sys.modules


def test_a_second_metadata_directory_of_the_name_shadows_the_plugin(site: Site) -> None:
    value = site.plugin("emf-plugin-good", "good")
    site.install("emf-plugin-good", {"good": value}, version="9.9")

    told = report(found(site, rule("good", "emf-plugin-good", value)), "good")

    assert told.state == "shadowed"
    assert "emf_plugin_good-9.9.dist-info" in str(told.reason)


def test_metadata_that_lies_about_its_name_is_believed_in_nothing(site: Site) -> None:
    value = site.plugin("emf-plugin-evil", "good", "raise SystemExit(3)")
    info = site.folder / "emf_plugin_evil-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: emf-plugin-good\nVersion: 1.0\n")

    registry = found(site, rule("good", "emf-plugin-good", value))
    assert {one.state for one in registry.plugins} == {"refused"}

    told = report(found(site, rule("good", "emf-plugin-evil", value)), "good")
    assert told.state == "shadowed"
    assert "says that its name is emf-plugin-good" in str(told.reason)


def test_damaged_metadata_costs_nobody_else_anything(site: Site) -> None:
    good = site.plugin("emf-plugin-good", "good")
    for name, text in (("a", b"\xff\xfe\x00"), ("b", b"[[[[\n= ="), ("c", b"")):
        info = site.install(f"emf-plugin-{name}", {"x": "x"})
        (info / "entry_points.txt").write_bytes(text)
        (info / "METADATA").write_bytes(text)

    assert report(found(site, rule("good", "emf-plugin-good", good)), "good").state == "loaded"


def test_a_foreign_finder_is_not_asked_when_metadata_is_listed(site: Site) -> None:
    asked = []

    class Finder:
        @staticmethod
        def find_distributions(context: object) -> list[object]:
            asked.append(context)
            return []

        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            return None

    sys.meta_path.insert(0, Finder)
    try:
        installed_entries(site.path)
    finally:
        sys.meta_path.remove(Finder)

    assert asked == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("1 / 0", "ZeroDivisionError: division by zero", id="an error"),
        pytest.param("import sys; sys.exit(0)", "SystemExit: 0", id="an exit"),
        pytest.param("raise KeyboardInterrupt", "KeyboardInterrupt", id="an interrupt"),
        pytest.param("class E(BaseException): ...\nraise E('x')", "E: x", id="its own kind"),
        pytest.param("import nowhere_at_all", "ModuleNotFoundError", id="a missing import"),
        pytest.param("def (", "SyntaxError", id="no Python"),
        pytest.param("", "implements no hook", id="no hook"),
        pytest.param("def f(): f()\nf()", "RecursionError", id="endless"),
    ],
)
def test_what_a_plugin_raises_at_import_makes_it_failed_and_nothing_else(
    site: Site, text: str, reason: str
) -> None:
    good = site.plugin("emf-plugin-good", "good")
    bad = site.plugin("emf-plugin-bad", "bad", text or "x = 1")

    registry = found(
        site, rule("bad", "emf-plugin-bad", bad), rule("good", "emf-plugin-good", good)
    )

    assert report(registry, "bad").state == "failed"
    assert reason in str(report(registry, "bad").reason)
    assert report(registry, "good").state == "loaded"


def test_the_reason_of_a_failed_import_names_file_and_line(site: Site) -> None:
    bad = site.plugin("emf-plugin-bad", "bad", "x = 1\n\n1 / 0\n")

    told = report(found(site, rule("bad", "emf-plugin-bad", bad)), "bad")

    assert f"{site.folder}/emf_plugin_bad/plugin.py:3: " in str(told.reason)


HEAD = "from emf_agent.plugin import Daemon, action, hookimpl\nfrom pydantic import BaseModel\n"


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        pytest.param(
            "@hookimpl\ndef emf_acitons(): return []", ["no hook 'emf_acitons'"], id="unknown hook"
        ),
        pytest.param(
            "@hookimpl\ndef emf_actions(setings): return []",
            ["asks for argument 'setings'", "the hook gives settings"],
            id="wrong argument",
        ),
        pytest.param(
            "@hookimpl\nasync def emf_actions(): return []", ["is async"], id="async hook"
        ),
        pytest.param(
            "@hookimpl(wrapper=True)\ndef emf_actions(): yield", ["is a wrapper"], id="a wrapper"
        ),
        pytest.param(
            "def emf_actions(): return []", ["emf_actions is not marked @hookimpl"], id="no mark"
        ),
        pytest.param(
            "@hookimpl\ndef emf_actions(): return 3", ["returned int, not a list"], id="no list"
        ),
        pytest.param(
            "async def f() -> int: ...\n@hookimpl\ndef emf_actions(): return [f]",
            ["f is no action; decorate it with @action"],
            id="no action",
        ),
        pytest.param(
            "@action\nasync def f(x): ...\n@hookimpl\ndef emf_actions(): return [f]",
            ["action f has no docstring", "parameter x has no type", "no return annotation"],
            id="an action without types",
        ),
        pytest.param(
            'A = action(name="b")\n@A\nasync def f() -> int:\n    "F."\n@A\nasync def g() -> int:\n'
            '    "G."\n@hookimpl\ndef emf_actions(): return [f, g]',
            ["action b is registered twice"],
            id="one action twice",
        ),
        pytest.param(
            '@action(name="a b")\nasync def f() -> int:\n    "F."\n'
            "@hookimpl\ndef emf_actions(): return [f]",
            ["letters, digits"],
            id="a name with a blank",
        ),
        pytest.param(
            "class D(Daemon): ...\n@hookimpl\ndef emf_daemons(): return [D, D(), 3, int]",
            ["D has no name", "is an instance", "neither class nor factory", "makes no Daemon"],
            id="daemons of the wrong kind",
        ),
        pytest.param(
            'class D(Daemon):\n    name = "agent"\n    interval_s = 0\n    delivery = "some"\n'
            "    def update_session(self): ...\n@hookimpl\ndef emf_daemons(): return [D]",
            ["belongs to the agent", "interval_s = 0", "delivery = 'some'", "is not async"],
            id="a daemon with wrong values",
        ),
        pytest.param(
            'class D(Daemon):\n    name = "d"\n    def __init__(self): 1 / 0\n'
            "@hookimpl\ndef emf_daemons(): return [D]",
            ["ZeroDivisionError"],
            id="a daemon that cannot be made",
        ),
        pytest.param(
            "@hookimpl\ndef emf_settings(): return dict", ["not a pydantic model"], id="no model"
        ),
        pytest.param(
            "class S(BaseModel):\n    port: int\n@hookimpl\ndef emf_settings(): return S",
            ["settings port have no default"],
            id="a setting without default",
        ),
        pytest.param(
            "@hookimpl\ndef emf_metrics(): return [3]", ["3 is not callable"], id="no service"
        ),
        pytest.param(
            "@hookimpl\ndef emf_actions(): raise ValueError('no')", ["ValueError: no"], id="raises"
        ),
        pytest.param(
            "@hookimpl\ndef emf_applicable(node): raise SystemExit", ["SystemExit"], id="exits"
        ),
    ],
)
def test_every_fault_of_a_registration_is_told_at_once(
    site: Site, text: str, reasons: list[str]
) -> None:
    bad = site.plugin("emf-plugin-bad", "bad", HEAD + text)

    told = report(found(site, rule("bad", "emf-plugin-bad", bad)), "bad")

    assert told.state == "failed"
    assert [one for one in reasons if one not in str(told.reason)] == [], told.reason


def test_a_plugin_may_say_that_it_has_no_place_here(site: Site) -> None:
    value = site.plugin(
        "emf-plugin-rhel",
        "rhel",
        HEAD + "@hookimpl\ndef emf_applicable(node):\n    return f'{node.os_id} is not for me'\n"
        "@hookimpl\ndef emf_actions(): raise AssertionError('asked too much')",
    )

    told = report(found(site, rule("rhel", "emf-plugin-rhel", value)), "rhel")

    assert (told.state, told.reason) == ("not-applicable", "debian is not for me")


SETTINGS = (
    HEAD
    + """
class S(BaseModel):
    greeting: str = "hello"

@hookimpl
def emf_settings():
    return S

@hookimpl
def emf_actions(settings):
    @action(name="greet_" + settings.greeting)
    async def greet() -> str:
        "Greet."
        return settings.greeting
    return [greet]
"""
)


def test_a_plugin_is_handed_its_own_settings(site: Site) -> None:
    value = site.plugin("emf-plugin-s", "s", SETTINGS)
    one = rule("s", "emf-plugin-s", value)

    assert set(found(site, one).actions) == {"greet_hello"}
    told = found(site, one, config='[plugin.s]\ngreeting = "hi"')
    assert set(told.actions) == {"greet_hi"}


def test_faults_of_all_plugins_tables_stop_the_start_at_once(site: Site) -> None:
    value = site.plugin("emf-plugin-s", "s", SETTINGS)
    plain = site.plugin("emf-plugin-t", "t")

    with pytest.raises(ConfigurationError) as raised:
        found(
            site,
            rule("s", "emf-plugin-s", value),
            rule("t", "emf-plugin-t", plain),
            config="[plugin.s]\ngreetin = 1\n[plugin.t]\nx = 1\n[plugin.stranger]\ny = 1",
        )

    told = str(raised.value)
    assert "plugin.s.greetin: no such setting; did you mean 'greeting'?" in told
    assert "plugin.t: this plugin has no settings" in told
    assert "plugin.stranger: the allowlist has no plugin of this id" in told
    assert told.count("agent.toml") == 3


def test_the_pace_of_a_daemon_is_the_configurations_where_it_says(site: Site) -> None:
    value = site.plugin("emf-plugin-a", "a")

    registry = found(
        site,
        rule("a", "emf-plugin-a", value),
        config="[daemons]\ndeadline_s = 3\n[daemon.a]\ninterval_s = 7",
    )

    assert registry.daemons["a"].interval_s == 7
    assert registry.daemons["a"].deadline_s == 3
    assert registry.daemons["a"].start_deadline_s == 5


def test_a_name_that_two_plugins_claim_goes_to_neither_in_any_order(site: Site) -> None:
    text = HEAD + (
        '@action\nasync def same() -> int:\n    "S."\n@action\nasync def {0}() -> int:\n    "O."\n'
        "@hookimpl\ndef emf_actions(): return [same, {0}]"
    )
    names = ("a", "b", "c")
    rules = [
        rule(name, f"emf-plugin-{name}", site.plugin(f"emf-plugin-{name}", name, text.format(name)))
        for name in names
    ]
    seen = set()
    for order in itertools.permutations(rules):
        registry = found(site, *order)
        assert set(registry.actions) == {"a", "b", "c"}
        seen.add(tuple((one.name, one.state, one.reason) for one in registry.plugins))

    [told] = seen
    assert told[0] == ("a", "loaded", "action same is claimed by a and b and c: neither has it")


def test_observers_are_called_with_what_happens(site: Site) -> None:
    value = site.plugin(
        "emf-plugin-o",
        "o",
        HEAD + "seen = []\n@hookimpl\ndef emf_action_started(notice): seen.append(notice.name)\n",
    )
    registry = found(site, rule("o", "emf-plugin-o", value))

    registry.observe_started(ActionNotice(action_id="1", name="x", plugin="p", requester=None))

    assert sys.modules["emf_plugin_o.plugin"].seen == ["x"]


def write_allowlist(folder: Path, text: str) -> None:
    (folder / "etc").mkdir(exist_ok=True)
    (folder / "etc/allowlist.toml").write_text('schema = 1\nmode = "allowlist"\n' + text)


def test_a_required_plugin_that_is_not_loaded_stops_the_agent(site: Site, tmp_path: Path) -> None:
    bad = site.plugin("emf-plugin-bad", "bad", "1 / 0")
    write_allowlist(
        tmp_path,
        rule("bad", "emf-plugin-bad", bad, required="true")
        + rule("gone", "emf-plugin-gone", "gone", required="true"),
    )

    with pytest.raises(ConfigurationError) as raised:
        load_plugins(configured(tmp_path), NODE, path=site.path)

    assert raised.value.exit_code == 78
    first, second = raised.value.faults
    assert first.startswith("required plugin bad is failed: ")
    assert second == "required plugin gone is missing: emf-plugin-gone is not installed"


def test_every_refusal_reaches_the_log_with_its_reason(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site.plugin("emf-plugin-other", "other")
    write_allowlist(tmp_path, rule("gone", "emf-plugin-gone", "gone"))

    with caplog.at_level(logging.INFO, "emf_agent.discovery"):
        load_plugins(configured(tmp_path), NODE, path=site.path)

    told = [(one.levelname, one.getMessage()) for one in caplog.records]
    assert ("WARNING", "plugin missing name=gone reason=emf-plugin-gone is not installed") in told
    assert any(
        level == "INFO" and text.startswith("plugin refused name=other") for level, text in told
    )


def test_an_allowlist_that_others_may_write_is_not_read(site: Site, tmp_path: Path) -> None:
    write_allowlist(tmp_path, "")
    (tmp_path / "etc/allowlist.toml").chmod(0o666)

    with pytest.raises(ConfigurationError, match="others may write it"):
        load_plugins(configured(tmp_path), NODE, path=site.path)


def test_without_an_allowlist_the_agent_does_not_start_and_says_how_to_get_one(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match="emf-agent init"):
        load_plugins(configured(tmp_path), NODE)


ENTRIES = st.builds(
    Entry,
    name=st.sampled_from("abc"),
    value=st.sampled_from(["m1", "m2"]),
    owner=st.builds(
        lambda name, version, copy: Owner(name, name, version, f"/s/{name}-{version}{copy}"),
        st.sampled_from(["d1", "d2"]),
        st.sampled_from(["1", "2"]),
        st.sampled_from(["", "x"]),
    ),
)
RULES = st.lists(
    st.builds(
        lambda name, owner, value, version: Rule(
            id=name,
            distribution=owner,
            version=version,
            entry_point=("emf_agent.plugins", name, value),
        ),
        st.sampled_from("abc"),
        st.sampled_from(["d1", "d2"]),
        st.sampled_from(["m1", "m2"]),
        st.sampled_from(["", "==1"]),
    ),
    unique_by=lambda one: one.id,
    max_size=3,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RULES, st.lists(ENTRIES, max_size=6), st.randoms())
def test_what_is_let_in_is_exactly_what_one_rule_says_in_any_order(
    rules: list[Rule], entries: list[Entry], random: object
) -> None:
    listed = Allowlist.model_validate({"schema": 1, "plugin": tuple(rules)})
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    told = judge(listed, Scene(tuple(entries), {}))

    assert told == judge(listed, Scene(tuple(shuffled), {}))
    let_in = [one for one in told if one.state is None]
    assert len({one.name for one in let_in}) == len(let_in)
    for one in let_in:
        assert one.rule is not None
        assert one.entry is not None
        assert one.entry.owner.distribution == one.rule.distribution
        assert one.entry.value == one.rule.value
        same_name = [entry for entry in set(entries) if entry.name == one.entry.name]
        assert {entry.owner.distribution for entry in same_name} == {one.rule.distribution}
    assert all(one.reason for one in told if one.state is not None)
