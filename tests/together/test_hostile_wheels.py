"""No wheel that pip installs runs code in the closed world, or keeps an allowed plugin from it.

Each wheel is first let loose on a loader that trusts an allowlist of names, to show that its
tripwire works; then the same environment is started through the boot archive.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from emf_agent.gate.boot import CONFIGURATION_INVALID
from tests.together.hostile import HOSTILE, Hostile
from tests.together.scratch import GOOD, Environment, install, make_environment, wheel

pytestmark = pytest.mark.slow("makes a virtual environment, and starts pip and Python in it")

NAMES_ONLY = """
from importlib.metadata import entry_points
[found] = [
    one for one in entry_points(group="emf_agent.plugins")
    if one.name == "good" and one.dist.name == "emf-plugin-good"
][:1]
print(found.load().ANSWER)
import httpx
"""
"""A loader that trusts an allowlist of entry point and distribution, with Python's ``-I``."""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    folder = tmp_path_factory.mktemp("closed")
    made = make_environment(folder)
    made.run([made.python, "-I", "-c", NAMES_ONLY])
    assert made.states() == {"good": ("loaded", None)}  # and both have compiled what they import
    kept = folder / "pristine"
    for name in ("venv", "state"):
        shutil.copytree(folder / name, kept / name, symlinks=True, copy_function=os.link)
    return made, kept


@pytest.fixture
def environment(pristine: tuple[Environment, Path]) -> Environment:
    made, kept = pristine
    made.renew(kept)
    return made


def test_the_closed_world_runs_what_is_locked(environment: Environment) -> None:
    done = environment.closed("action", "run", "ask")

    assert (done.returncode, json.loads(done.stdout)) == (0, {"Ok": {"number": 42}}), done.stderr


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda one: one.title)
def test_a_hostile_wheel_runs_nothing(
    environment: Environment, hostile: Hostile, tmp_path: Path
) -> None:
    tripwire = tmp_path / "tripwire"
    spring = f"open({str(tripwire)!r}, 'w').close()"
    install(environment, hostile.build(tmp_path, spring))

    plain = environment.run([environment.python, "-I", "-c", NAMES_ONLY])
    harmed = tripwire.exists() or (plain.returncode, plain.stdout) != (0, "42\n")
    assert harmed or hostile.title == "the same entry point from another distribution"
    tripwire.unlink(missing_ok=True)

    state, reason = environment.states()["good"]

    assert not tripwire.exists()
    assert state in hostile.states, reason
    assert state == "loaded" or "hash: " in str(reason)


def test_what_is_installed_beside_the_lock_is_listed_and_does_not_exist(
    environment: Environment, tmp_path: Path
) -> None:
    install(
        environment,
        wheel(
            tmp_path,
            "emf-plugin-late",
            {"emf_late/__init__.py": "", "emf_late/plugin.py": "raise SystemExit"},
            entries={"emf_agent.plugins": {"late": "emf_late.plugin"}},
        ),
    )

    state, reason = environment.states()["late"]

    assert state == "refused"
    assert "not in the lock" in str(reason)


@pytest.mark.parametrize("module", ["emf_agent/errors.py", "pluggy/__init__.py"])
def test_an_agent_that_is_not_itself_does_not_start(environment: Environment, module: str) -> None:
    file = environment.site / module
    text = file.read_bytes()
    file.unlink()
    file.write_bytes(text + b"\n# changed\n")

    done = environment.closed("plugin", "list")

    assert done.returncode == CONFIGURATION_INVALID
    assert f"hash: {file}" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda etc: (etc / "allowlist.lock").unlink(), "missing: ", id="no lock"),
        pytest.param(
            lambda etc: (etc / "allowlist.lock").write_text("{}"), "lock: ", id="no lock's text"
        ),
        pytest.param(
            lambda etc: (etc / "allowlist.lock").chmod(0o666), "perm: ", id="anyone's lock"
        ),
        pytest.param(lambda etc: (etc / "allowlist.toml").unlink(), "missing: ", id="no policy"),
        pytest.param(
            lambda etc: (etc / "allowlist.toml").chmod(0o666), "perm: ", id="anyone's policy"
        ),
        pytest.param(
            lambda etc: add(etc / "allowlist.toml", "require_signature = true\n", first=True),
            "sig: ",
            id="no signature",
        ),
        pytest.param(
            lambda etc: add(etc / "allowlist.toml", "nonsense = 1\n", first=True),
            "no such key",
            id="a policy that is wrong",
        ),
    ],
)
def test_without_policy_and_lock_the_agent_is_reachable_and_loads_nothing(
    environment: Environment, spoil: Callable[[Path], object], reason: str
) -> None:
    etc = environment.state / "etc"
    for name in ("allowlist.lock", "allowlist.toml"):
        text = (etc / name).read_bytes()
        (etc / name).unlink()
        (etc / name).write_bytes(text)
    spoil(etc)

    done = environment.closed("action", "list", "--json")

    assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stderr
    assert "safe mode" in done.stderr
    assert reason in done.stderr


def add(path: Path, text: str, *, first: bool) -> None:
    """Add a line at the beginning or at the end of a file."""
    old = path.read_text()
    path.write_text(text + old if first else old + text)


def test_only_an_isolated_interpreter_starts(environment: Environment) -> None:
    for flags in ([], ["-I"], ["-S"]):
        done = environment.run([environment.python, *flags, environment.archive, "plugin", "list"])
        assert done.returncode == CONFIGURATION_INVALID
        assert "interp: " in done.stderr
        assert "-I -S" in done.stderr


def test_mode_allowlist_is_refused_by_the_boot_and_enforce_without_it(
    environment: Environment,
) -> None:
    without = environment.plain("action", "list")
    policy = environment.state / "etc/allowlist.toml"
    text = policy.read_text()
    policy.unlink()
    policy.write_text(text.replace('mode = "enforce"', 'mode = "allowlist"'))
    within = environment.closed("action", "list")

    assert (without.returncode, within.returncode) == (78, 78)
    assert "not started through the boot archive" in without.stderr
    assert 'mode is not "enforce"' in within.stderr


def test_the_environment_changes_nothing_that_the_owner_decided(
    environment: Environment, tmp_path: Path
) -> None:
    done = environment.closed(
        "config",
        "show",
        "--origin",
        EMF_AGENT_POLICY__DENY='["x"]',
        EMF_AGENT_CONFIG=str(tmp_path / "agent.toml"),
        EMF_AGENT_PLUGIN__GOOD__X="1",
        EMF_AGENT_TEST="1",
        CRT_PATH="/tmp/mine",
        EMF_AGENT_LOG__LEVEL="debug",
        PYTHONPATH=str(tmp_path),
        PYTHONSTARTUP=str(tmp_path / "x.py"),
    )

    assert done.returncode == 0, done.stderr
    assert "policy.deny = []  # default" in done.stdout
    assert "tls.certificate = null  # default" in done.stdout
    assert 'log.level = "debug"' in done.stdout


def test_an_update_is_seen_by_verify_and_diff_and_refused_until_it_is_locked(
    environment: Environment, tmp_path: Path
) -> None:
    assert environment.plain("plugin", "verify").returncode == 0
    assert environment.plain("plugin", "diff").returncode == 0
    newer = wheel(
        tmp_path,
        "emf-plugin-good",
        {**GOOD, "emf_good/sub.py": "ANSWER = 43\n"},
        version="1.1",
        entries={"emf_agent.plugins": {"good": "emf_good.plugin"}},
    )
    install(environment, newer)

    verified = environment.plain("plugin", "verify", "--json")
    changed = environment.plain("plugin", "diff")
    assert verified.returncode == 1
    assert {one["code"] for one in json.loads(verified.stdout)} >= {"missing", "hash"}
    assert (changed.returncode, changed.stdout) == (1, "~ emf-plugin-good 1.0 -> 1.1\n")
    assert environment.states()["good"][0] == "tampered"

    locked = environment.closed("plugin", "lock")
    assert locked.returncode == 0, locked.stderr
    assert environment.states()["good"] == ("loaded", None)
    asked = environment.closed("action", "run", "ask")
    assert json.loads(asked.stdout) == {"Ok": {"number": 43}}


def test_a_signed_lock_is_loaded_and_one_that_was_changed_after_it_is_not(
    environment: Environment, tmp_path: Path
) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here")
    etc = environment.state / "etc"
    key = tmp_path / "key"
    environment.check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    (etc / "lock_signers").write_text(f"release {key.with_suffix('.pub').read_text()}")
    policy = etc / "allowlist.toml"
    text = policy.read_text()
    policy.unlink()
    policy.write_text(f"require_signature = true\n{text}")

    assert environment.plain("plugin", "sign", str(key)).returncode == 0
    assert environment.plain("plugin", "verify", "--signature").returncode == 0
    assert environment.states()["good"] == ("loaded", None)

    lock = etc / "allowlist.lock"
    changed = lock.read_bytes().replace(b"\n", b" \n", 1)
    lock.unlink()
    lock.write_bytes(changed)
    assert environment.plain("plugin", "verify", "--signature").returncode == 1
    refused = environment.closed("action", "list")
    assert "sig: " in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("action", "run", "ask"), id="an action"),
        pytest.param(("plugin", "verify"), id="the gate's own commands"),
        pytest.param(("config", "show"), id="the configuration"),
    ],
)
def test_the_audit_hook_sees_no_foreign_file(
    environment: Environment, arguments: tuple[str, ...]
) -> None:
    done = environment.run(environment.collecting(*arguments))

    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"


def test_what_goes_past_the_import_table_is_stopped_by_the_audit_hook(
    environment: Environment, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.py"
    foreign.write_text("raise SystemExit('it ran')")
    careless = f"""
        import importlib.util
        spec = importlib.util.spec_from_file_location("foreign", {str(foreign)!r})
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        """
    install(
        environment,
        wheel(
            tmp_path,
            "emf-plugin-careless",
            {"emf_careless/__init__.py": "", "emf_careless/plugin.py": careless},
            entries={"emf_agent.plugins": {"careless": "emf_careless.plugin"}},
        ),
    )
    environment.check(
        [
            *(environment.python, "-m", "emf_agent", "init", "--force", "--mode", "enforce"),
            *("--state-dir", environment.state),
        ]
    )
    assert environment.plain("plugin", "lock").returncode == 0

    state, reason = environment.states()["careless"]

    assert state == "failed"
    assert f"refused(foreign): {foreign} is not in the lock" in str(reason)
