"""Runs a rig in a mount namespace of its own, which takes its mounts along when it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["rig", "why_no_mounts"]

NAMESPACE = ("unshare", "--mount", "--propagation", "private")
ROOT = Path(__file__).parents[3]


@cache
def why_no_mounts() -> str | None:
    """Return why no file system of our own can be mounted here; None if it can."""
    if os.geteuid() != 0:
        return "only root can mount a file system"
    for tool in ("unshare", "mkfs.ext4", "losetup", "fsfreeze"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    probe = run((*NAMESPACE, "losetup", "--find"))
    return None if probe.returncode == 0 else f"no loop device: {probe.stderr.strip()}"


def run(argv: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run a program that finds the tests as this process does."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))}
    return subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=120, env=environment
    )


def rig(module: ModuleType, *arguments: str) -> dict[str, Any]:
    """Run a rig and return what it found."""
    done = run((*NAMESPACE, sys.executable, str(module.__file__), *arguments))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
