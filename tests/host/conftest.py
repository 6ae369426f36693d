"""The host room's fixtures: both loops in real time (threads and programs take part), and fakes."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.host.bus import FakeBus
from tests.host.programs import Programs

# hypothesis's default deadline is a timing assertion, and a loaded machine fails it.
settings.register_profile("no timing", deadline=None)
settings.load_profile("no timing")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both backends, in real time."""
    name: str = request.param
    return name


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Return the only programs that this test's commands can find; none at first."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("EMF_AGENT_PROGRAM_PATH", str(folder))
    return Programs(folder)


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[FakeBus, None, None]:
    """Return the system bus of this test."""
    path = tmp_path / "bus"
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
    fake = FakeBus(path)
    yield fake
    fake.close()
