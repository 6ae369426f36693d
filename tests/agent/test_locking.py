"""The lock is made of exactly what was reviewed; everything else is a conflict that is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from emf_agent.allowlist import Allowlist, parse_allowlist
from emf_agent.gate.lockfile import Lock
from emf_agent.gate.verification import verify_files
from emf_agent.locking import LockConflictError, differences, make_lock
from tests.agent.distributions import Site, rule

CORE = "emf-agent-core"
POLICY = b"policy"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A core that needs ``needed``, a plugin that needs ``helper``, and a stranger."""
    made = Site(tmp_path / "site")
    for name, package, requires in (
        (CORE, "core_package", ["needed>=1", "absent; python_version < '3'"]),
        ("needed", "needed", []),
        ("emf-plugin-a", "emf_plugin_a", [f"{CORE}>=1", "helper[fast]"]),
        ("helper", "helper", ["booster; extra == 'fast'", "slow; extra == 'slow'"]),
        ("booster", "booster", []),
        ("stranger", "stranger", []),
    ):
        made.module(f"{package}.plugin", f"# {name}\n")
        entries = {"a": "emf_plugin_a.plugin"} if name == "emf-plugin-a" else {}
        info = made.install(name, entries)
        lines = "".join(f"Requires-Dist: {one}\n" for one in requires)
        (info / "METADATA").write_text((info / "METADATA").read_text() + lines)
        made.seal(info, package)
    return made


def info(site: Site, name: str) -> Path:
    [found] = site.folder.glob(f"{name.replace('-', '_')}-*.dist-info")
    return found


def allow(**more: str) -> Allowlist:
    text = rule("a", "emf-plugin-a", "emf_plugin_a.plugin", **more)
    return parse_allowlist(f"schema = 1{text}".encode(), "F")


def locked(site: Site, **more: str) -> Lock:
    return make_lock(allow(**more), POLICY, path=site.path)[0]


def test_the_lock_holds_the_closure_and_who_needs_each_part(site: Site) -> None:
    lock = locked(site)

    assert {name: one.required_by for name, one in lock.distributions.items()} == {
        CORE: ("core", "plugin:a"),
        "needed": ("core", "plugin:a"),
        "emf-plugin-a": ("plugin:a",),
        "helper": ("plugin:a",),
        "booster": ("plugin:a",),
    }
    assert lock.policy_sha256 == hashlib.sha256(POLICY).hexdigest()
    one = lock.distributions["emf-plugin-a"]
    assert one.entry_points == (("emf_agent.plugins", "a", "emf_plugin_a.plugin"),)
    assert set(one.files) == {
        "emf_plugin_a/__init__.py",
        "emf_plugin_a/plugin.py",
        "emf_plugin_a-1.0.dist-info/METADATA",
        "emf_plugin_a-1.0.dist-info/entry_points.txt",
        "emf_plugin_a-1.0.dist-info/RECORD",
    }


def test_what_was_locked_verifies(site: Site) -> None:
    owners = frozenset({0, site.folder.stat().st_uid})

    assert verify_files(locked(site), owners) == {}


def test_scripts_and_compiled_code_are_not_locked(site: Site) -> None:
    with (info(site, "emf-plugin-a") / "RECORD").open("a") as record:
        record.write("../../../bin/tool,sha256=x,1\nemf_plugin_a/__pycache__/plugin.pyc,,\n")

    files = locked(site).distributions["emf-plugin-a"].files

    assert not [name for name in files if "tool" in name or name.endswith(".pyc")]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(
            lambda site: (site.folder / "emf_plugin_a/plugin.py").write_text("evil"),
            "emf_plugin_a/plugin.py differs from the RECORD of emf-plugin-a 1.0",
            id="a file overwritten by a later install",
        ),
        pytest.param(
            lambda site: (site.folder / "helper/plugin.py").unlink(),
            "helper/plugin.py: No such file or directory; reinstall helper 1.0",
            id="a file that is gone",
        ),
        pytest.param(
            lambda site: site.seal(info(site, "stranger"), "helper/plugin.py"),
            "helper/plugin.py is claimed by helper and stranger 1.0",
            id="a file that a stranger lists",
        ),
        pytest.param(
            lambda site: site.install("helper", {}, version="2.0"),
            "several metadata directories claim helper",
            id="two metadata directories",
        ),
        pytest.param(
            lambda site: (info(site, "helper") / "METADATA").write_text("Name: x\nVersion: 1.0\n"),
            "says that its name is x",
            id="metadata of another name",
        ),
        pytest.param(
            lambda site: (info(site, "helper") / "direct_url.json").write_text(
                '{"dir_info": {"editable": true}}'
            ),
            "helper 1.0 is installed editable",
            id="an editable install",
        ),
        pytest.param(
            lambda site: (info(site, "helper") / "RECORD").unlink(),
            "RECORD cannot be read",
            id="no RECORD",
        ),
        pytest.param(
            lambda site: (info(site, "booster") / "METADATA").rename(site.folder / "x"),
            "reinstall booster",
            id="no METADATA",
        ),
        pytest.param(
            lambda site: remove(site, "needed"),
            "needed is not installed, and emf-agent-core requires it",
            id="a requirement that is not there",
        ),
        pytest.param(
            lambda site: remove(site, CORE), "emf-agent-core is not installed", id="no agent"
        ),
    ],
)
def test_what_cannot_be_locked_is_a_conflict(
    site: Site, spoil: Callable[[Site], object], said: str
) -> None:
    spoil(site)

    with pytest.raises(LockConflictError) as raised:
        locked(site)

    assert said in str(raised.value)
    assert raised.value.exit_code == 1


def remove(site: Site, name: str) -> None:
    for one in info(site, name).iterdir():
        one.unlink()
    info(site, name).rmdir()


def test_all_conflicts_are_told_at_once(site: Site) -> None:
    for name in ("helper", "emf_plugin_a", "booster"):
        (site.folder / name / "plugin.py").write_text("evil")

    with pytest.raises(LockConflictError) as raised:
        locked(site)

    assert len(raised.value.conflicts) == 3


def test_a_plugin_that_may_not_run_is_left_out_unless_it_is_required(site: Site) -> None:
    lock, left_out = make_lock(allow(version='">=2"'), POLICY, path=site.path)

    assert "emf-plugin-a" not in lock.distributions
    assert left_out == ("plugin a: version 1.0 is installed, the allowlist wants >=2",)
    with pytest.raises(LockConflictError, match=r"plugin a: version 1\.0"):
        locked(site, version='">=2"', required="true")


def test_the_build_hosts_hashes_decide_where_wheels_are_given(site: Site) -> None:
    plain = locked(site)
    wheels = {
        f"{name}-1.0": {
            file: digest for file, digest in one.files.items() if not file.endswith("RECORD")
        }
        for name, one in plain.distributions.items()
    }

    lock, _ = make_lock(allow(), POLICY, path=site.path, wheels=wheels)
    assert lock.distributions["helper"].files == wheels["helper-1.0"]

    wheels["helper-1.0"]["helper/plugin.py"] = "f" * 64
    wheels["helper-1.0"]["helper/more.py"] = "f" * 64
    del wheels["booster-1.0"]
    with pytest.raises(LockConflictError) as raised:
        make_lock(allow(), POLICY, path=site.path, wheels=wheels)
    told = str(raised.value)
    assert "helper/plugin.py is not what the wheel of helper 1.0 holds" in told
    assert "helper/more.py is in the wheel of helper 1.0 and not installed" in told
    assert "there is no wheel of booster 1.0" in told


def test_a_diff_names_distributions_and_files(site: Site) -> None:
    before = locked(site)
    (site.folder / "helper/plugin.py").write_text("# newer\n")
    site.seal(info(site, "helper"), "helper")

    after = locked(site)

    assert differences(before, before) == []
    assert differences(before, after) == [
        "~ helper 1.0",
        "    ~ helper-1.0.dist-info/RECORD",
        "    ~ helper/plugin.py",
    ]
    assert differences(Lock("p", "", {}), after)[:3] == [
        f"~ python p -> {after.python}",
        "~ the allowlist",
        "+ booster 1.0 (plugin:a)",
    ]
