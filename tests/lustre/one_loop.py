"""The fixture ``anyio_backend`` in real time on asyncio alone, for long tables of programs' runs.

What their actions do at once is held on both loops by ``test_on_both_loops``.
"""

from __future__ import annotations

import pytest

__all__ = ["anyio_backend"]


@pytest.fixture
def anyio_backend() -> str:
    """Run each async test once."""
    return "asyncio"
