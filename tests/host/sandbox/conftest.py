"""One machine for all of these tests; they are skipped, and say why, where none can be made."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.host.sandbox.machine import Inside
from tests.sandbox import Machine, missing


@pytest.fixture(scope="session")
def machine() -> Generator[Machine, None, None]:
    """Return a machine with a real systemd and a cluster of one node."""
    why = missing()
    if why is not None:
        pytest.skip(why)
    made = Machine(f"emf-host-{os.getpid()}", cluster=True)
    yield made
    made.close()


@pytest.fixture(scope="session")
def inside(machine: Machine) -> Generator[Inside, None, None]:
    """Return the process inside that calls actions and daemons, on asyncio."""
    made = Inside(machine, "asyncio")
    yield made
    made.close()


@pytest.fixture(scope="session")
def inside_on_trio(machine: Machine) -> Generator[Inside, None, None]:
    """Return another one, on trio."""
    made = Inside(machine, "trio")
    yield made
    made.close()
