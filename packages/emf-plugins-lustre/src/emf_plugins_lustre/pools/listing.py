"""List OST pools with ``lctl pool_list``; what could not be listed is raised, never empty."""

from __future__ import annotations

import anyio
from pydantic import BaseModel, ConfigDict

from emf_agent.command import CommandFailedError
from emf_agent.errors import EmfError
from emf_plugins_lustre.lctl import lctl, local_mdt0_targets, says_nothing_matches
from emf_plugins_lustre.names import file_system_of_target
from emf_plugins_lustre.surveys import Survey

__all__ = ["Pool", "list_pools", "parse_listing", "pool_members", "survey_pools"]

LISTINGS_AT_ONCE = 4


class Pool(BaseModel):
    """A pool as the manager gets it."""

    model_config = ConfigDict(frozen=True)

    name: str
    filesystem: str
    osts: tuple[str, ...]


def parse_listing(text: str) -> tuple[str, ...]:
    """Return the names below the heading, each without what stands before its last dot."""
    lines = [line.strip() for line in text.splitlines()[1:]]
    return tuple(line.rpartition(".")[2] for line in lines if line)


async def list_pools(file_system: str) -> tuple[str, ...]:
    """Return the names of a file system's pools, sorted."""
    return tuple(sorted(parse_listing(await listing(file_system))))


async def pool_members(file_system: str, pool: str) -> tuple[str, ...]:
    """Return the OSTs of a pool, sorted."""
    members = parse_listing(await listing(f"{file_system}.{pool}"))
    return tuple(sorted(member.removesuffix("_UUID") for member in members))


async def listing(what: str) -> str:
    """Return what ``pool_list`` prints; nothing where it says that there is none."""
    try:
        return (await lctl("pool_list", what)).stdout.text
    except CommandFailedError as error:
        if says_nothing_matches(error):
            return ""
        raise


async def survey_pools() -> Survey[tuple[Pool, ...]]:
    """List the pools of each file system whose first MDT is served here."""
    found: dict[str, tuple[Pool, ...]] = {}
    failed: dict[str, str] = {}
    limiter = anyio.CapacityLimiter(LISTINGS_AT_ONCE)

    async def one(file_system: str) -> None:
        try:
            found[file_system] = await pools_of(file_system, limiter)
        except EmfError as error:
            failed[file_system] = str(error)

    targets = await local_mdt0_targets()
    async with anyio.create_task_group() as tasks:
        for target in targets:
            tasks.start_soon(one, file_system_of_target(target))
    return Survey(found, failed)


async def pools_of(file_system: str, limiter: anyio.CapacityLimiter) -> tuple[Pool, ...]:
    """Return the pools of a file system, ordered by name; one that fails fails them all."""
    names = await list_pools(file_system)
    members: dict[str, tuple[str, ...]] = {}
    failures: list[EmfError] = []

    async def one(name: str) -> None:
        try:
            async with limiter:
                members[name] = await pool_members(file_system, name)
        except EmfError as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(one, name)
    if failures:
        raise failures[0]
    return tuple(Pool(name=name, filesystem=file_system, osts=members[name]) for name in names)
