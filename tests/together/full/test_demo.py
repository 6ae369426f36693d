"""README's first line does what it says: one JSON document, exit 0, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[3] / "examples" / "demo" / "demo.py"


@pytest.mark.slow(reason="starts a manager and an agent")
def test_the_demo_shows_sessions_data_and_an_action_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, DEMO, "--once", "--json"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["manager"]["url"].startswith("https://127.0.0.1:")
    assert shown["node"]["protocol"] == 2
    assert shown["sessions"] == dict.fromkeys(
        ("agent", "network", "host", "action_runner"), "active"
    )
    assert shown["data"]["network"]
    assert shown["data"]["host"]
    assert shown["action"]["name"] == "package_installed"
    assert shown["action"]["result"] == {"Ok": True}
    assert 0 < shown["seconds"]["enrolled"] < shown["seconds"]["first_data"]
    assert list(tmp_path.iterdir()) == []
