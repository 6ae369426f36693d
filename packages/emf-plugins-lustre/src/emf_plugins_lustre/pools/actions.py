"""The actions of ``lustre.pools``. Pools are made on the MGS, and waited for on an MDS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio

from emf_agent.errors import ActionError
from emf_agent.plugin import Action, ActionContext, action
from emf_plugins_lustre.lctl import change_with_lctl
from emf_plugins_lustre.names import FileSystemName, OstName, PoolName, file_system_of_target
from emf_plugins_lustre.pools.listing import list_pools, pool_members

__all__ = ["pool_actions", "wait_until_listed"]

LOCK = ("pool:{filesystem}.{name}",)
LISTED_WITHIN_S = 120.0
LOOK_EVERY_S = 0.5


@action(dry_run=True, locks=LOCK)
async def ostpool_create(
    filesystem: FileSystemName, name: PoolName, context: ActionContext
) -> str | None:
    """Make an OST pool; runs on the MGS."""
    return await change_with_lctl("pool_new", f"{filesystem}.{name}", context=context)


@action(dry_run=True, locks=LOCK)
async def ostpool_destroy(
    filesystem: FileSystemName, name: PoolName, context: ActionContext
) -> str | None:
    """Destroy an OST pool; runs on the MGS. Files keep their data; its OSTs leave it first."""
    pool = f"{filesystem}.{name}"
    if context.dry_run:
        members = await pool_members(filesystem, name)
        return f"would destroy pool {pool}, whose OSTs are: {', '.join(members) or 'none'}"
    return await change_with_lctl("pool_destroy", pool, context=context)


@action(dry_run=True, locks=LOCK)
async def ostpool_add(
    filesystem: FileSystemName, name: PoolName, ost: OstName, context: ActionContext
) -> str | None:
    """Take an OST into a pool; runs on the MGS."""
    check_ost(filesystem, ost)
    return await change_with_lctl("pool_add", f"{filesystem}.{name}", ost, context=context)


@action(dry_run=True, locks=LOCK)
async def ostpool_remove(
    filesystem: FileSystemName, name: PoolName, ost: OstName, context: ActionContext
) -> str | None:
    """Take an OST out of a pool; runs on the MGS. New files no longer go there."""
    check_ost(filesystem, ost)
    return await change_with_lctl("pool_remove", f"{filesystem}.{name}", ost, context=context)


@action(timeout_s=LISTED_WITHIN_S + 30, dry_run=True, idempotent=True, read_only=True)
async def ostpool_wait(
    filesystem: FileSystemName, name: PoolName, context: ActionContext
) -> str | None:
    """Wait until a pool is listed, 120 s at most; runs on an MDS, where pools come later."""

    async def is_listed() -> bool:
        return name in await list_pools(filesystem)

    if context.dry_run:
        state = "is listed" if await is_listed() else "is not listed yet"
        return f"would wait for pool {filesystem}.{name}, which {state}"
    await wait_until_listed(f"{filesystem}.{name}", is_listed)
    return None


async def wait_until_listed(pool: str, is_listed: Callable[[], Awaitable[bool]]) -> None:
    """Look twice a second until a pool is listed.

    Raises ActionError where it is not after 120 s, and at once what ``is_listed`` raises.
    """
    with anyio.move_on_after(LISTED_WITHIN_S):
        while not await is_listed():  # noqa: ASYNC110 - lctl tells nobody; one has to look
            await anyio.sleep(LOOK_EVERY_S)
        return
    raise ActionError(f'"pool {pool} not listed after {LISTED_WITHIN_S:.0f} s"')


def check_ost(filesystem: str, ost: str) -> None:
    """Raise where an OST is another file system's."""
    if file_system_of_target(ost) != filesystem:
        raise ActionError(f"ost: {ost} is no OST of {filesystem}")


def pool_actions() -> Sequence[Action[..., Any]]:
    """Return the actions on OST pools."""
    return [ostpool_create, ostpool_wait, ostpool_destroy, ostpool_add, ostpool_remove]
