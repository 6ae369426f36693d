"""Actions that make, start, stop, move and remove cluster resources."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from emf_agent.errors import ActionError
from emf_agent.plugin import ActionContext, action
from emf_plugins_host.cluster import pacemaker
from emf_plugins_host.cluster.resources import (
    Constraint,
    NodeName,
    ResourceId,
    ResourceInfo,
    configuration,
)
from emf_plugins_host.cluster.status import Resource
from emf_plugins_host.cluster.xml_text import to_text

__all__ = [
    "WAIT_S",
    "ha_resource_create",
    "ha_resource_create_cloned",
    "ha_resource_destroy",
    "ha_resource_move",
    "ha_resource_start",
    "ha_resource_stop",
    "wait_for_role",
]

logger = logging.getLogger(__name__)

TIMEOUT_S = 120
LONG_TIMEOUT_S = 420
WAIT_S = 300.0
PAUSE_S = 1.0
CLEAR_WITHIN_S = 30.0
CIB_LOCK = ("cib",)
RESOURCE_LOCK = ("resource:{resource}",)


@action(timeout_s=TIMEOUT_S, dry_run=True, idempotent=True, locks=CIB_LOCK)
async def ha_resource_create(
    resource: ResourceInfo, constraints: list[Constraint], context: ActionContext
) -> str | None:
    """Make a cluster resource with its constraints, in one step; nothing where it is there."""
    if resource.id in await pacemaker.resource_ids():
        return f"would do nothing: {resource.id} is there" if context.dry_run else None
    part = configuration(resource, constraints)
    if context.dry_run:
        return f"would add {to_text(part)}"
    await pacemaker.create(part)
    return None


@action(timeout_s=TIMEOUT_S, dry_run=True, idempotent=True, locks=CIB_LOCK)
async def ha_resource_create_cloned(
    resource: ResourceInfo, constraints: list[Constraint], context: ActionContext
) -> str | None:
    """Make a resource that runs on every node, with its constraints, in one step."""
    if await pacemaker.has_clone(resource.id):
        return f"would do nothing: {resource.id} is there" if context.dry_run else None
    part = configuration(resource, constraints, cloned=True)
    if context.dry_run:
        return f"would add {to_text(part)}"
    await pacemaker.create(part)
    return None


@action(timeout_s=TIMEOUT_S, dry_run=True, idempotent=True, locks=CIB_LOCK)
async def ha_resource_destroy(
    resource: ResourceId, constraints: list[ResourceId], context: ActionContext
) -> str | None:
    """Remove a resource and its constraints from the configuration; does not stop it first."""
    paths = [
        f'//resources/primitive[@id="{resource}"]',
        f'//resources/clone[@id="cl-{resource}"]',
    ]
    paths += [f'//constraints/*[@id="{one}"]' for one in constraints]
    if context.dry_run:
        return f"would remove {', '.join([resource, *constraints])}"
    await pacemaker.delete(paths)
    return None


@action(timeout_s=LONG_TIMEOUT_S, dry_run=True, idempotent=True, detached=True, locks=RESOURCE_LOCK)
async def ha_resource_start(resource: ResourceId, context: ActionContext) -> str | None:
    """Start a cluster resource and wait until it is started, for at most 300 s."""
    return await set_role(resource, "start", "Started", context)


@action(timeout_s=LONG_TIMEOUT_S, dry_run=True, idempotent=True, detached=True, locks=RESOURCE_LOCK)
async def ha_resource_stop(resource: ResourceId, context: ActionContext) -> str | None:
    """Stop a cluster resource and wait until it is stopped, for at most 300 s."""
    return await set_role(resource, "stop", "Stopped", context)


async def set_role(name: str, verb: str, role: str, context: ActionContext) -> str | None:
    """Say what a resource should do, and wait until it does."""
    if context.dry_run:
        roles = [one["role"] for one in await instances(name)]
        return f"would {verb} {name}, now {', '.join(roles) or 'not there'}"
    await pacemaker.set_target_role(name, role)
    await wait_for_role(name, verb, role, context)
    return None


async def wait_for_role(name: str, verb: str, role: str, context: ActionContext) -> None:
    """Wait until a resource, or each instance of a clone, has a role.

    Raises:
        ActionError: it has not after 300 s; says what it has.

    """

    def is_done(found: list[Resource]) -> bool:
        return bool(found) and all(one["role"] == role for one in found)

    found = await wait_until(name, is_done, context)
    if not is_done(found):
        now = ", ".join(f"{one['id']}: {one['role']}" for one in found) or f"{name} is not there"
        raise ActionError(f"{verb} {name}: not {role} after {WAIT_S:g} s, now {now}")


async def wait_until(
    name: str, is_done: Callable[[list[Resource]], bool], context: ActionContext
) -> list[Resource]:
    """Look every second until something is so, and return the last look; with progress."""
    began = anyio.current_time()
    while True:
        found = await instances(name)
        waited_s = anyio.current_time() - began
        if is_done(found) or waited_s >= WAIT_S:
            return found
        roles = ", ".join(one["role"] for one in found) or "not there"
        context.progress(waited_s / WAIT_S, f"{name}: {roles}, on {places(found)}")
        await anyio.sleep(PAUSE_S)


async def instances(name: str) -> list[Resource]:
    """Return a resource, or all instances of a cloned one, as crm_mon sees them."""
    found = (await pacemaker.cluster())["resources"]
    return [one for one in found if one["id"].partition(":")[0] == name]


@action(timeout_s=LONG_TIMEOUT_S, dry_run=True, idempotent=True, detached=True, locks=RESOURCE_LOCK)
async def ha_resource_move(
    resource: ResourceId, node: NodeName, context: ActionContext
) -> str | None:
    """Move a cluster resource to a node and wait until it is there, for at most 300 s."""

    def is_done(found: list[Resource]) -> bool:
        return any(one["id"] == resource and one["active_node_name"] == node for one in found)

    found = await instances(resource)
    if context.dry_run:
        return f"would move {resource} to {node}, now on {places(found)}"
    if is_done(found):
        return None
    await pacemaker.move(resource, node)
    try:
        found = await wait_until(resource, is_done, context)
    finally:
        # The rule must not stay, however the waiting ended.
        with anyio.move_on_after(CLEAR_WITHIN_S, shield=True):
            await pacemaker.clear_move(resource, node)
    if not is_done(found):
        now = places(found)
        raise ActionError(f"move {resource}: not on {node} after {WAIT_S:g} s, now on {now}")
    return None


def places(found: list[Resource]) -> str:
    """Return the nodes that instances are active on."""
    return ", ".join(one["active_node_name"] or "no node" for one in found) or "no node"
