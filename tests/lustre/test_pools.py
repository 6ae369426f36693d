"""OST pools: the actions and the daemon, against a simulated node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from emf_agent.command import CommandFailedError
from emf_agent.errors import ActionError
from emf_agent.plugin import DaemonFault, NotApplicableError
from emf_agent.plugin.daemon import payload_adapter
from emf_plugins_lustre.pools.actions import pool_actions
from emf_plugins_lustre.pools.daemon import OstPools
from emf_plugins_lustre.pools.listing import parse_listing
from emf_plugins_lustre.testing.node import SimulatedNode
from tests.lustre.calls import ActionDesk
from tests.lustre.real_time import anyio_backend

__all__ = ["anyio_backend"]

FLASH = {"filesystem": "fs1", "name": "flash"}


@pytest.fixture
def desk(simulated_node: SimulatedNode) -> ActionDesk:
    return ActionDesk(pool_actions())


def pools(node: SimulatedNode) -> Any:
    with node.state() as state:
        return state.cluster["pools"].get("fs1", {})


@pytest.mark.anyio
async def test_a_pool_lives_and_dies(desk: ActionDesk, simulated_node: SimulatedNode) -> None:
    assert await desk.call("ostpool_create", FLASH) is None
    assert await desk.call("ostpool_wait", FLASH) is None
    assert await desk.call("ostpool_add", {**FLASH, "ost": "fs1-OST0001"}) is None
    assert pools(simulated_node) == {"flash": ["fs1-OST0001"]}
    assert await desk.call("ostpool_remove", {**FLASH, "ost": "fs1-OST0001"}) is None
    assert await desk.call("ostpool_destroy", FLASH) is None
    assert pools(simulated_node) == {}


@pytest.mark.anyio
async def test_what_lctl_refuses_is_an_error(desk: ActionDesk) -> None:
    await desk.call("ostpool_create", FLASH)
    with pytest.raises(CommandFailedError, match=r"^exit code: 17, .*already exists"):
        await desk.call("ostpool_create", FLASH)
    with pytest.raises(CommandFailedError, match="not part of the 'fs1' filesystem"):
        await desk.call("ostpool_add", {**FLASH, "ost": "fs1-OST0099"})
    with pytest.raises(CommandFailedError, match=r"^exit code: 2, .*not found in pool"):
        await desk.call("ostpool_remove", {**FLASH, "ost": "fs1-OST0001"})
    await desk.call("ostpool_add", {**FLASH, "ost": "fs1-OST0001"})
    with pytest.raises(CommandFailedError, match="not empty"):
        await desk.call("ostpool_destroy", FLASH)


@pytest.mark.anyio
async def test_an_ost_of_another_file_system_is_refused(desk: ActionDesk) -> None:
    with pytest.raises(ActionError, match="ost: fs2-OST0001 is no OST of fs1"):
        await desk.call("ostpool_add", {**FLASH, "ost": "fs2-OST0001"})


@pytest.mark.anyio
async def test_dry_runs_change_nothing_and_destroy_says_what_it_would_touch(
    desk: ActionDesk, simulated_node: SimulatedNode
) -> None:
    said = await desk.call("ostpool_create", FLASH, dry_run=True)
    assert said == "would run: lctl pool_new fs1.flash"
    assert pools(simulated_node) == {}
    await desk.call("ostpool_create", FLASH)
    await desk.call("ostpool_add", {**FLASH, "ost": "fs1-OST0001"})
    said = await desk.call("ostpool_destroy", FLASH, dry_run=True)
    assert said == "would destroy pool fs1.flash, whose OSTs are: fs1-OST0001"
    said = await desk.call("ostpool_wait", FLASH, dry_run=True)
    assert said == "would wait for pool fs1.flash, which is listed"
    assert pools(simulated_node) == {"flash": ["fs1-OST0001"]}


@pytest.mark.anyio
async def test_a_listing_that_fails_ends_the_wait(
    desk: ActionDesk, simulated_node: SimulatedNode
) -> None:
    simulated_node.fail_program("lctl", "pool_list", status=5)
    with pytest.raises(CommandFailedError, match="exit code: 5"):
        await desk.call("ostpool_wait", FLASH)


def test_a_listing_is_what_stands_below_the_heading_after_the_last_dot() -> None:
    assert parse_listing("Pools from fs1:\nfs1.flash\nfs1.disk\n") == ("flash", "disk")
    assert parse_listing("Pool: fs1.flash\nfs1-OST0000_UUID\n\n") == ("fs1-OST0000_UUID",)
    assert parse_listing("") == ()


class PoolsOfANode:
    """The daemon on a node, as its driver uses it; ``look`` stands for the time between looks."""

    def __init__(self) -> None:
        self.daemon = OstPools()

    async def look(self) -> Any:
        await self.daemon._look(starting=False)
        return self.dump(await self.daemon.update_session())

    async def start(self) -> Any:
        return self.dump(await self.daemon.start_session())

    def dump(self, value: Any) -> Any:
        return payload_adapter(OstPools).dump_python(value, mode="json")


@pytest.mark.anyio
async def test_the_daemon_sends_pools_in_the_ancestors_shape(
    desk: ActionDesk, simulated_node: SimulatedNode
) -> None:
    await desk.call("ostpool_create", FLASH)
    for ost in ("fs1-OST0001", "fs1-OST0000"):
        await desk.call("ostpool_add", {**FLASH, "ost": ost})
    assert await PoolsOfANode().start() == {
        "fs1": [{"name": "flash", "filesystem": "fs1", "osts": ["fs1-OST0000", "fs1-OST0001"]}]
    }


@pytest.mark.anyio
async def test_a_pool_that_was_destroyed_is_gone(
    desk: ActionDesk, simulated_node: SimulatedNode
) -> None:
    await desk.call("ostpool_create", FLASH)
    node = PoolsOfANode()
    await node.start()
    await desk.call("ostpool_destroy", FLASH)
    assert await node.look() == {"fs1": []}


@pytest.mark.anyio
@pytest.mark.parametrize("simulated_role", ["oss"])
async def test_a_node_without_a_first_mdt_sends_an_empty_map(simulated_node: SimulatedNode) -> None:
    assert await PoolsOfANode().start() == {}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("pool_list", "fs1"), id="pools"),
        pytest.param(("pool_list", "fs1.flash"), id="members"),
        pytest.param(("get_param",), id="targets"),
    ],
)
async def test_a_listing_that_fails_is_a_fault_and_never_an_empty_one(
    desk: ActionDesk, simulated_node: SimulatedNode, words: tuple[str, ...]
) -> None:
    await desk.call("ostpool_create", FLASH)
    node = PoolsOfANode()
    before = await node.start()
    simulated_node.fail_program("lctl", *words, status=5, stderr="Input/output error")
    with pytest.raises(DaemonFault, match="Input/output error"):
        await node.look()
    simulated_node.heal_programs()
    assert await node.look() == before


@pytest.mark.anyio
async def test_a_first_listing_that_fails_sends_nothing(simulated_node: SimulatedNode) -> None:
    simulated_node.fail_program("lctl", "pool_list", status=5)
    with pytest.raises(DaemonFault, match="could not list fs1: exit code: 5"):
        await PoolsOfANode().start()


@pytest.mark.anyio
async def test_without_lctl_the_daemon_has_no_place_here(simulated_node: SimulatedNode) -> None:
    simulated_node.remove_program("lctl")
    with pytest.raises(NotApplicableError, match="lctl"):
        await PoolsOfANode().start()


@pytest.mark.anyio
async def test_a_pool_made_on_the_mgs_is_seen_on_an_mds_with_a_failing_ost_in_between(
    simulated_nodes: Callable[[str], SimulatedNode],
) -> None:
    mgs, mds, oss = map(simulated_nodes, ("mgs", "mds", "oss"))
    on_mgs, on_mds, node = ActionDesk(pool_actions()), ActionDesk(pool_actions()), PoolsOfANode()
    with mgs.entered():
        await on_mgs.call("ostpool_create", FLASH)
        await on_mgs.call("ostpool_add", {**FLASH, "ost": "fs1-OST0000"})
    oss.fail_target("fs1-OST0001")
    with mds.entered():
        await on_mds.call("ostpool_wait", FLASH)
        assert [pool["name"] for pool in (await node.start())["fs1"]] == ["flash"]
    with mds.entered(), pytest.raises(CommandFailedError, match="must be run on the MGS"):
        await on_mds.call("ostpool_destroy", FLASH)
    with mgs.entered():
        await on_mgs.call("ostpool_remove", {**FLASH, "ost": "fs1-OST0000"})
        await on_mgs.call("ostpool_destroy", FLASH)
    with mds.entered():
        assert await node.look() == {"fs1": []}
