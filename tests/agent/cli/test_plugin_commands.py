"""``init``, ``plugin`` and ``config`` as an operator calls them, over throw-away distributions."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.agent.cli.node import Node
from tests.agent.distributions import rule


def listed(told: str, name: str) -> dict[str, object]:
    [one] = [one for one in json.loads(told) if one["name"] == name]
    assert isinstance(one, dict)
    return one


def test_init_writes_what_is_installed_and_never_over_what_is_there(node: Node) -> None:
    node.site.plugin("emf-plugin-good", "good")

    first = node("init")
    second = node("init")
    shown = node("plugin", "list", "--json")

    assert first.returncode == 0, first.stderr
    assert "good" in first.stdout
    assert second.returncode == 2
    assert "--force" in second.stderr
    assert node("init", "--force").returncode == 0
    assert node("config", "check").returncode == 0
    assert listed(shown.stdout, "good") == {
        "name": "good",
        "distribution": "emf-plugin-good",
        "version": "1.0",
        "state": "loaded",
        "reason": None,
        "actions": ["good_now"],
        "daemons": ["good"],
    }


def test_init_with_an_unknown_role_lists_the_roles(node: Node) -> None:
    node.site.plugin("emf-plugin-good", "good")
    roles = node.site.folder / "emf_plugin_good/roles"
    roles.mkdir()
    (roles / "tester.toml").write_text(
        'role = "tester"\nsummary = "an object server"\nplugins = ["good", "gone"]'
    )

    wrong = node("init", "--role", "xyz")
    right = node("init", "--role", "tester")

    assert wrong.returncode == 2
    assert "an object server" in wrong.stderr
    assert "everything installed" in wrong.stderr
    assert right.returncode == 0
    assert "allowed: good\n" in right.stdout
    assert "not installed, so not allowed: gone" in right.stderr


def test_plugin_list_never_imports_what_is_refused(node: Node, tmp_path: Path) -> None:
    tripwire = tmp_path / "tripwire"
    text = f"open({str(tripwire)!r}, 'w')"
    node.site.plugin("emf-plugin-evil", "evil", text)
    value = node.site.plugin("emf-plugin-old", "old", text)
    node.allow(rule("old", "emf-plugin-old", value, version='">=2"'))

    shown = node("plugin", "list", "--json")

    assert shown.returncode == 0, shown.stderr
    assert listed(shown.stdout, "evil")["state"] == "refused"
    assert listed(shown.stdout, "old")["state"] == "version"
    assert not tripwire.exists()
    table = node("plugin", "list").stdout.splitlines()
    assert table[0].split() == ["NAME", "DISTRIBUTION", "VERSION", "STATE", "REASON"]


def test_recovery_imports_no_plugin_at_all(node: Node, tmp_path: Path) -> None:
    tripwire = tmp_path / "tripwire"
    value = node.site.plugin("emf-plugin-bad", "bad", f"open({str(tripwire)!r}, 'w')")
    node.allow(rule("bad", "emf-plugin-bad", value))

    for arguments in (
        ("plugin", "list", "--no-load"),
        ("plugin", "explain", "bad"),
        ("config", "check"),
        ("config", "show"),
        ("plugin", "disable", "bad"),
    ):
        done = node(*arguments)
        assert done.returncode == 0, done.stderr
    assert not tripwire.exists()


def test_explain_says_which_rule_holds_and_which_does_not(node: Node) -> None:
    value = node.site.plugin("emf-plugin-good", "good")
    node.site.plugin("emf-plugin-other", "other")
    node.allow(rule("good", "emf-plugin-good", value, version='">=2"'))

    told = node("plugin", "explain", "good").stdout

    assert "yes  installed" in told
    assert "no   version >=2: version 1.0 is installed" in told
    assert told.endswith("good is version\n")
    assert "add [[plugin]]" in node("plugin", "explain", "other").stdout
    unknown = node("plugin", "explain", "nobody")
    assert (unknown.returncode, "plugin list" in unknown.stderr) == (2, True)


def test_disable_keeps_everything_else_of_the_file(node: Node) -> None:
    value = node.site.plugin("emf-plugin-good", "good")
    node.allow("# why we allow it\n" + rule("good", "emf-plugin-good", value))

    done = node("plugin", "disable", "good")

    assert done.returncode == 0, done.stderr
    text = (node.state / "etc/allowlist.toml").read_text()
    assert "# why we allow it" in text
    assert listed(node("plugin", "list", "--json").stdout, "good")["state"] == "disabled"
    assert node("plugin", "disable", "nobody").returncode == 2


def test_config_check_tells_all_faults_of_both_files_and_exits_78(node: Node) -> None:
    node.allow("mod = 1\n")
    (node.state / "etc/agent.toml").write_text("[log]\nlevl = 1\n")

    done = node("config", "check", EMF_AGENT_ACTIONS__CONCURRENT="many")

    assert done.returncode == 78
    assert "did you mean 'mode'?" in done.stderr
    assert "did you mean 'level'?" in done.stderr
    assert "EMF_AGENT_ACTIONS__CONCURRENT" in done.stderr


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("[plugin.host.a]", 'did you mean [plugin."host.a"]?'),
        ('[plugin."host.aa"]', 'did you mean [plugin."host.a"]?'),
        ("[plugin.host.aa]", 'did you mean [plugin."host.a"]?'),
        ("[plugin.quite_other]", "it has host.a"),
    ],
    ids=["no quotes", "a slip", "both", "another"],
)
def test_config_check_says_which_plugins_table_was_meant(node: Node, table: str, told: str) -> None:
    node.allow(rule("host.a", "emf-plugin-a", "emf_plugin_a"))
    (node.state / "etc/agent.toml").write_text(f"{table}\nkey = 1\n")

    done = node("config", "check")

    assert done.returncode == 78
    assert f"{node.state}/etc/agent.toml: plugin." in done.stderr
    assert told in done.stderr


def test_config_check_owns_up_to_what_it_does_not_check(node: Node) -> None:
    node.allow(rule("host.a", "emf-plugin-a", "emf_plugin_a"))
    (node.state / "etc/agent.toml").write_text('[plugin."host.a"]\nkey = 1\n')

    done = node("config", "check")

    assert done.returncode == 0
    assert '[plugin."host.a"]: the plugins\' own keys' in done.stdout


def test_config_show_says_who_set_a_value(node: Node) -> None:
    done = node("config", "show", "--origin", "--json", EMF_AGENT_LOG__LEVEL="debug")

    shown = json.loads(done.stdout)
    assert shown["log.level"] == {
        "value": "debug",
        "origin": "environment variable EMF_AGENT_LOG__LEVEL",
    }
    assert shown["actions.concurrent"]["origin"] == "default"
    assert 'log.level = "info"' in node("config", "show").stdout


def test_without_the_closed_world_mode_enforce_is_judged_from_metadata(
    node: Node, tmp_path: Path
) -> None:
    tripwire = tmp_path / "tripwire"
    value = node.site.plugin("emf-plugin-a", "a", f"open({str(tripwire)!r}, 'w')")
    node.allow(rule("a", "emf-plugin-a", value))
    policy = node.state / "etc/allowlist.toml"
    policy.write_text(policy.read_text().replace('mode = "allowlist"', 'mode = "enforce"'))

    listed_here = node("plugin", "list", "--json")
    acting = node("action", "list")

    assert listed(listed_here.stdout, "a")["state"] == "loaded"
    assert "not started through the boot archive" in listed_here.stderr
    assert (acting.returncode, "boot archive" in acting.stderr) == (78, True)
    assert not tripwire.exists()


def test_lock_tells_every_conflict_and_exits_1(node: Node) -> None:
    value = node.site.plugin("emf-plugin-a", "a")
    node.allow(rule("a", "emf-plugin-a", value))

    done = node("plugin", "lock")

    assert done.returncode == 1
    assert "RECORD cannot be read" in done.stderr
    assert not (node.state / "etc/allowlist.lock").exists()


def test_verify_without_a_lock_says_what_is_missing(node: Node) -> None:
    node.allow("")

    done = node("plugin", "verify", "--json")

    assert done.returncode == 1
    [refusal] = json.loads(done.stdout)
    assert (refusal["code"], refusal["subject"]) == (
        "missing",
        str(node.state / "etc/allowlist.lock"),
    )


def test_check_tells_what_is_wrong_with_a_wheel(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "emf_plugin_a-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil.pth", "import evil")
        archive.writestr("emf_plugin_a-1.0.dist-info/METADATA", "Name: emf-plugin-a\n")

    done = node("plugin", "check", str(tmp_path))

    assert done.returncode == 1
    assert "evil.pth: runs whenever Python starts" in done.stdout


def test_no_archive_is_made_without_a_lock(node: Node, tmp_path: Path) -> None:
    node.allow("")

    done = node("plugin", "boot", str(tmp_path / "boot.pyz"))

    assert done.returncode == 78
    assert not (tmp_path / "boot.pyz").exists()
