"""The shipped unit: it starts the closed world, and its hardening does not get weaker (R31)."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from emf_manager.settings import DEFAULT_DATA_DIR

SHARE = Path(__file__).parents[2] / "packages/emf-agent-core/share"
UNIT = SHARE / "systemd/system/emf-agent.service"
PATH_UNIT = SHARE / "systemd/system/emf-agent.path"
EXPOSURE_TENTHS = 62
"""What `systemd-analyze security` may say at most, times ten; lower it as the unit gets better."""
MANAGER = Path(__file__).parents[2] / "packages/emf-manager/share"
MANAGER_UNIT = MANAGER / "systemd/system/emf-manager.service"
MANAGER_EXPOSURE_TENTHS = 16
OWN_MOUNTS = ("ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts")


class Unit(configparser.ConfigParser):
    """A unit file; keys keep their case, and no key stands twice."""

    def __init__(self, path: Path) -> None:
        super().__init__(interpolation=None, delimiters=("=",), strict=True)
        self.read_string(path.read_text())

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def test_the_unit_starts_the_closed_world_and_nothing_else() -> None:
    service = Unit(UNIT)["Service"]

    assert service["ExecStart"].split()[1:3] == ["-I", "-S"]
    assert "boot.pyz run" in service["ExecStart"]
    assert "/opt/" not in service["ExecStart"], "pip writes into an environment, also its bin"
    assert service["RestartPreventExitStatus"] == "78"
    assert not [key for key in service if key.startswith("Environment")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("Restart", "always"),
        ("KillMode", "mixed"),
        ("Delegate", "yes"),
        ("NoNewPrivileges", "yes"),
        ("UMask", "0077"),
        ("LimitCORE", "0"),
        ("StateDirectoryMode", "0700"),
        ("CacheDirectoryMode", "0700"),
    ],
)
def test_the_unit_promises_what_the_agent_relies_on(key: str, value: str) -> None:
    assert Unit(UNIT)["Service"][key] == value


@pytest.mark.parametrize("key", ["WatchdogSec", "MemoryMax", "MemoryHigh", "TasksMax"])
def test_everything_is_bounded(key: str) -> None:
    assert key in Unit(UNIT)["Service"]


def test_the_agent_mounts_on_the_node_not_in_a_namespace_of_its_own() -> None:
    service = Unit(UNIT)["Service"]

    assert [key for key in OWN_MOUNTS if key in service] == []
    dropped_in = Unit(SHARE / "systemd/examples/hardened.conf")["Service"]
    assert dropped_in["ProtectHome"] == "yes"


def test_a_failed_agent_is_not_started_by_its_path_without_end() -> None:
    path = Unit(PATH_UNIT)["Path"]

    assert path["PathChanged"] == "/etc/emf-agent/tls/agent.key"
    assert "PathExists" not in path
    assert Unit(UNIT)["Unit"]["ConditionPathExists"] == path["PathChanged"]


def test_only_root_may_write_what_decides() -> None:
    lines = [
        line.split()
        for line in (SHARE / "tmpfiles.d/emf-agent.conf").read_text().splitlines()
        if line and not line.startswith("#")
    ]

    modes = {words[1]: (words[2], words[3]) for words in lines}
    assert modes["/etc/emf-agent"] == ("0755", "root")
    assert modes["/etc/emf-agent/tls"] == ("0700", "root")
    assert modes["/etc/emf-agent/allowlist.toml"] == ("0644", "root")
    assert modes["/var/cache/emf-agent/code"] == ("0700", "root")
    assert {owner for _, owner in modes.values()} == {"root"}


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    version = subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True, check=True
    )
    if int(version.stdout.split()[1]) < 252:
        pytest.skip("this systemd-analyze knows no --offline")
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_hardening_does_not_get_weaker() -> None:
    done = analyze(
        "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_TENTHS}", UNIT
    )

    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_systemd_finds_nothing_wrong_with_the_units() -> None:
    done = analyze("verify", "--man=no", UNIT, PATH_UNIT)

    assert (done.returncode, done.stderr) == (0, "")


# The manager


def test_the_manager_runs_as_a_user_of_its_own_who_alone_reads_its_keys() -> None:
    service = Unit(MANAGER_UNIT)["Service"]
    made = (MANAGER / "sysusers.d/emf-manager.conf").read_text().splitlines()[-1].split()

    assert made[:2] == ["u", service["User"]]
    assert (service["StateDirectory"], service["StateDirectoryMode"]) == ("emf-manager", "0700")
    assert str(DEFAULT_DATA_DIR) == f"/var/lib/{service['StateDirectory']}"
    assert service["CapabilityBoundingSet"] == ""
    assert (service["UMask"], service["LimitCORE"], service["Type"]) == ("0077", "0", "notify")


def test_the_managers_hardening_does_not_get_weaker() -> None:
    threshold = f"--threshold={MANAGER_EXPOSURE_TENTHS}"
    done = analyze("security", "--offline=true", "--no-pager", threshold, MANAGER_UNIT)

    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_systemd_finds_nothing_wrong_with_the_managers_unit(tmp_path: Path) -> None:
    here = tmp_path / MANAGER_UNIT.name
    here.write_text(MANAGER_UNIT.read_text().replace("/usr/bin/emf-manager", "/bin/true"))

    done = analyze("verify", "--man=no", here)

    assert (done.returncode, done.stderr) == (0, "")
