"""One machine for all of these tests; skipped, with the reason, where none can be made."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.sandbox import Machine, missing
from tests.together.sandbox.site import Site


@pytest.fixture(scope="session")
def whole() -> Generator[Site]:
    why = missing()
    if why is not None:
        pytest.skip(why)
    machine = Machine(f"emf-long-{os.getpid()}")
    try:
        site = Site(machine)
        site.set_up()
        yield site
    finally:
        machine.close()


@pytest.fixture
def site(whole: Site) -> Site:
    """The site, with nothing done yet."""
    whole.machine.run("rm", "-f", "/effects", "/go")
    return whole
