"""The pytest fixture ``anyio_backend``: asyncio and trio, both in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from emf_agent.testing.virtual_time import VirtualTimeLoop

__all__ = ["anyio_backend"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run each async test on both backends, in virtual time."""
    if request.param == "asyncio":
        return "asyncio", {"loop_factory": VirtualTimeLoop}
    trio_testing = pytest.importorskip("trio.testing")
    return "trio", {"clock": trio_testing.MockClock(autojump_threshold=0)}
