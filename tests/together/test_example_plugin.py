"""The example plugin, installed and used as a third party's: built, gated, run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "emf-plugin-example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example's wheel form into a folder of its own, without any index."""
    site = tmp_path_factory.mktemp("site")
    dist_info = site / "emf_plugin_example-0.1.0.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: emf-plugin-example\nVersion: 0.1.0\n"
        "Requires-Dist: emf-agent-core~=0.1\n"
    )
    (dist_info / "entry_points.txt").write_text(
        "[emf_agent.plugins]\nexample = emf_plugin_example.plugin\n"
    )
    (site / "emf_plugin_example").symlink_to(EXAMPLE / "src" / "emf_plugin_example")
    return site


def agent(site: Path, node: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "emf_agent", *arguments, "--state-dir", str(node)],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def state(site: Path, node: Path) -> Any:
    listed = json.loads(agent(site, node, "plugin", "list", "--json").stdout)
    (found,) = [one for one in listed if one["name"] == "example"]
    return found


@pytest.mark.slow(reason="starts the real program several times")
def test_it_is_refused_until_listed_and_then_does_its_job(installed: Path, tmp_path: Path) -> None:
    node = tmp_path / "node"
    assert agent(installed, node, "init", "--role", "all").returncode == 0
    allowlist = node / "etc" / "allowlist.toml"
    listed = allowlist.read_text()
    allowlist.write_text('schema = 1\nmode = "allowlist"\n')

    assert state(installed, node)["state"] == "refused"
    refused = agent(installed, node, "action", "run", "count_lines", '"/etc/hosts"')
    assert refused.returncode == 2
    assert "count_lines" in refused.stderr

    allowlist.write_text(listed)
    assert state(installed, node)["state"] == "loaded"
    assert state(installed, node)["actions"] == ["count_lines"]
    text = tmp_path / "three"
    text.write_text("a\nb\nc\n")
    ran = agent(installed, node, "action", "run", "count_lines", json.dumps(str(text)))
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"Ok": 3})
    sampled = agent(installed, node, "daemon", "sample", "uptime")
    assert json.loads(sampled.stdout)["value"]["seconds"] > 0


@pytest.mark.slow(reason="starts the real program several times")
def test_its_errors_are_answers_and_not_tracebacks(installed: Path, tmp_path: Path) -> None:
    node = tmp_path / "node"
    agent(installed, node, "init", "--role", "all")

    missing = agent(installed, node, "action", "run", "count_lines", '"/no/such"')
    assert missing.returncode == 1
    assert "No such file" in json.loads(missing.stdout)["Err"]
    wrong = agent(installed, node, "action", "run", "count_lines", "3")
    assert wrong.returncode == 1
    assert "path" in json.loads(wrong.stdout)["Err"]
    unquoted = agent(installed, node, "action", "run", "count_lines", "/etc/hosts")
    assert unquoted.returncode == 2
    assert "quotes" in unquoted.stderr
    misspelt = agent(installed, node, "action", "run", "count_line")
    assert misspelt.returncode == 2
    assert "did you mean 'count_lines'" in misspelt.stderr
