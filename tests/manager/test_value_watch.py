"""Followers of a value: woken for their own daemon, once for many changes, and never too many."""

from __future__ import annotations

import anyio
import pytest

from emf_agent.errors import RefusedError
from emf_manager.value_watch import Follower, ValueWatch

pytestmark = pytest.mark.anyio


async def is_woken(follower: Follower) -> bool:
    with anyio.move_on_after(0.001):
        await follower.changed()
        return True
    return False


async def test_a_follower_is_woken_for_its_own_value_only() -> None:
    watch = ValueWatch()
    with watch.follow("oss1", "host") as follower:
        watch.wake("oss2", "host")
        watch.wake("oss1", "stats")
        assert not await is_woken(follower)

        watch.wake("oss1", "host")
        assert await is_woken(follower)


async def test_many_changes_wake_a_busy_follower_once() -> None:
    watch = ValueWatch()
    with watch.follow("oss1", "host") as follower:
        for _ in range(1000):
            watch.wake("oss1", "host")

        assert await is_woken(follower)
        assert not await is_woken(follower)


async def test_every_follower_of_a_value_is_woken_and_forgotten_when_it_leaves() -> None:
    watch = ValueWatch()
    with watch.follow("oss1", "host") as one:
        with watch.follow("oss1", "host") as two:
            watch.wake("oss1", "host")
            assert await is_woken(one)
            assert await is_woken(two)
        assert len(watch) == 1
    assert len(watch) == 0


async def test_more_followers_than_there_may_be_are_refused() -> None:
    watch = ValueWatch(limit=1)
    with (
        watch.follow("oss1", "host"),
        pytest.raises(RefusedError, match="being followed"),
        watch.follow("oss1", "host"),
    ):
        pass
    with watch.follow("oss1", "host"):
        pass


async def test_the_end_of_the_manager_is_told() -> None:
    watch = ValueWatch()
    with watch.follow("oss1", "host") as follower:
        watch.close()
        assert await is_woken(follower)
        assert follower.closed
    with watch.follow("oss1", "host") as late:
        assert late.closed
