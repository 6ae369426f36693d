"""The fixture ``anyio_backend`` in real time, for modules whose tests run programs or sockets."""

from __future__ import annotations

import pytest

__all__ = ["anyio_backend"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both backends."""
    name: str = request.param
    return name
