"""The boot's own decisions: places, the policy's one key, the environment, the archive."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from emf_agent.gate.archive import boot_archive
from emf_agent.gate.boot import Places, is_dropped, requires_signature
from emf_agent.gate.locked_files import TamperedError
from emf_agent.gate.lockfile import Lock, LockedDistribution, parse_lock
from emf_agent.gate.verification import verify_files
from emf_agent.settings import Paths


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        pytest.param(["run"], "/etc/emf-agent", id="on a node"),
        pytest.param(["run", "--state-dir", "/d"], "/d/etc", id="a folder"),
        pytest.param(["--state-dir=/d", "run"], "/d/etc", id="a folder in one word"),
    ],
)
def test_policy_and_lock_are_where_the_settings_look_for_them(
    arguments: list[str], folder: str
) -> None:
    found = Places.of(arguments)
    paths = Paths.under(Path("/d")) if "/d" in folder else Paths.system()

    assert found.policy == Path(folder, "allowlist.toml") == paths.allowlist
    assert found.lock == Path(folder, "allowlist.lock") == paths.lock
    assert found.cache == paths.code_cache
    assert found.signature == paths.signature


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ("", False),
        ("require_signature = false", False),
        ("require_signature=false # for now", False),
        ("# require_signature = true", False),
        ("require_signature = true", True),
        ('"require_signature" = false', True),
        ("require_signature = False", True),
        ("x = 1\n  require_signature\t=\ttrue", True),
    ],
)
def test_a_signature_is_wanted_unless_the_policy_plainly_says_no(policy: str, wanted: bool) -> None:
    assert requires_signature(policy.encode()) is wanted


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("EMF_AGENT_POLICY__DENY", True),
        ("EMF_AGENT_STATE_DIR", True),
        ("EMF_AGENT_ANYTHING", True),
        ("CRT_PATH", True),
        ("EMF_AGENT_LOG__LEVEL", False),
        ("EMF_AGENT_MANAGER__URL", False),
        ("EMF_MANAGER_URL", False),
        ("PATH", False),
    ],
)
def test_the_environment_sets_little(name: str, dropped: bool) -> None:
    assert is_dropped(name) is dropped


def core_of(site: Path, *names: str) -> Lock:
    """Write modules of a core, and lock them."""
    (site / "emf_agent/gate").mkdir(parents=True, exist_ok=True)
    files = {}
    for name in names:
        (site / name).write_text(f"NAME = {name!r}\n")
        files[name] = hashlib.sha256((site / name).read_bytes()).hexdigest()
    one = LockedDistribution(
        "emf-agent-core", "1", str(site), "emf_agent_core-1.dist-info", ("core",), (), files
    )
    return Lock("p", "0" * 64, {one.name: one})


def test_the_archive_holds_the_gate_as_it_is_locked_and_nothing_that_lies_beside(
    tmp_path: Path,
) -> None:
    core = core_of(tmp_path, "emf_agent/gate/boot.py", "emf_agent/agent.py")
    (tmp_path / "emf_agent/gate/stranger.py").write_text("raise SystemExit")

    with zipfile.ZipFile(io.BytesIO(boot_archive(core))) as archive:
        names = archive.namelist()
        held = parse_lock(archive.read("core.lock"), "core.lock")

    assert held == core
    assert [name for name in names if "gate" in name] == [
        "emf_agent/gate/boot.py",
        "emf_agent/gate/boot.pyc",
    ]


def test_equal_cores_make_equal_archives(tmp_path: Path) -> None:
    core = core_of(tmp_path, "emf_agent/gate/boot.py")

    assert boot_archive(core) == boot_archive(core)


def test_no_archive_is_made_of_a_changed_gate(tmp_path: Path) -> None:
    core = core_of(tmp_path, "emf_agent/gate/boot.py")
    (tmp_path / "emf_agent/gate/boot.py").write_text("NAME = 2\n")

    with pytest.raises(TamperedError):
        boot_archive(core)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        pytest.param("Name: a\nVersion: 1\n", [], id="as locked"),
        pytest.param("Name: b\nVersion: 1\n", ["METADATA says b 1"], id="another name"),
        pytest.param("Name: a\nVersion: 2\n", ["METADATA says a 2"], id="another version"),
        pytest.param("", ["METADATA says none None"], id="nothing"),
    ],
)
def test_metadata_must_agree_with_its_folder_and_the_lock(
    tmp_path: Path, metadata: str, said: list[str]
) -> None:
    (tmp_path / "a-1.dist-info").mkdir()
    (tmp_path / "a-1.dist-info/METADATA").write_text(metadata)
    digest = hashlib.sha256(metadata.encode()).hexdigest()
    files = {"a-1.dist-info/METADATA": digest}
    one = LockedDistribution("a", "1", str(tmp_path), "a-1.dist-info", ("core",), (), files)

    found = verify_files(Lock("p", "0" * 64, {"a": one}), frozenset({0, tmp_path.stat().st_uid}))

    told = [refusal.found for refusals in found.values() for refusal in refusals]
    assert [text.partition(",")[0] for text in told] == said
