"""Loops that run beside a block: they end with it, and its own error comes out as it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio

__all__ = ["running_beside"]


@asynccontextmanager
async def running_beside(*loops: Callable[[], Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    """Run loops until the block ends; one that fails ends the block, in an exception group.

    A task group would wrap the error of the block itself, too, and nobody who waits for a
    ``StoreError`` would know it again.
    """
    failed: list[Exception] = []
    async with anyio.create_task_group() as tasks:
        for loop in loops:
            tasks.start_soon(loop)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below
            failed.append(error)
        finally:
            tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]
