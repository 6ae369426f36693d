"""What several test modules of the agent share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from emf_agent.command import CgroupContainment, Containment, SessionContainment
from emf_agent.command.containment import remove_cgroup


def cgroup2_root() -> Path | None:
    """Return where cgroup v2 is mounted, alone or beside version 1."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return Path(line.split()[4])
    return None


@pytest.fixture
def cgroup() -> Generator[Path, None, None]:
    """A cgroup of our own, as a delegated one would be; skips where none can be made."""
    root = cgroup2_root()
    if root is None:
        pytest.skip("no cgroup v2 is mounted here")
    path = root / f"emf-test-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    yield path
    with contextlib.suppress(OSError):
        (path / "cgroup.kill").write_text("1")
    with contextlib.suppress(OSError):
        remove_cgroup(path)


@pytest.fixture(params=["session", "cgroup"])
def containment(request: pytest.FixtureRequest) -> Containment:
    """Each way to hold a process tree that works here."""
    if request.param == "session":
        return SessionContainment()
    return CgroupContainment(request.getfixturevalue("cgroup"))
