"""Loops beside a block: they end with it, and errors come out as what they are."""

from __future__ import annotations

import anyio
import pytest

from emf_manager.background import running_beside
from emf_manager.store.interface import StoreError

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_loop_ends_with_the_block() -> None:
    begun, ended = anyio.Event(), anyio.Event()

    async def loop() -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with running_beside(loop):
        await begun.wait()

    assert ended.is_set()


async def test_the_error_of_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(StoreError, match="no room"):
        async with running_beside(anyio.sleep_forever):
            raise StoreError("no room")


async def test_a_loop_that_fails_ends_the_block() -> None:
    async def loop() -> None:
        raise StoreError("no room")

    met: list[BaseException] = []
    try:
        async with running_beside(loop):
            await anyio.sleep_forever()
    except Exception as group:  # noqa: BLE001 - it is looked at below
        met.extend(group.exceptions)  # type: ignore[attr-defined]  # a group, also on 3.10

    assert [type(error) for error in met] == [StoreError]
