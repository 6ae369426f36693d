"""Actions on a Lustre client mount that runs on every node of the cluster, as a clone."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from emf_agent.plugin import ActionContext, action
from emf_plugins_host.cluster import pacemaker
from emf_plugins_host.cluster.resource_actions import wait_for_role
from emf_plugins_host.cluster.resources import (
    Agent,
    Constraint,
    Operations,
    Order,
    OrderConstraint,
    OrderScore,
    ResourceId,
    ResourceInfo,
    ScoreValue,
    Ticket,
    TicketConstraint,
    configuration,
)
from emf_plugins_host.cluster.xml_text import to_text

__all__ = ["ha_cloned_client_create", "ha_cloned_client_destroy"]

LONG_TIMEOUT_S = 420
LOCKS = ("cib",)
MGS = "mgs"
FileSystemName = Annotated[ResourceId, StringConstraints(max_length=64)]
MountPoint = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9_./-]+$", max_length=1024)]


@action(timeout_s=LONG_TIMEOUT_S, dry_run=True, idempotent=True, detached=True, locks=LOCKS)
async def ha_cloned_client_create(
    file_system: FileSystemName, mountpoint: MountPoint, context: ActionContext
) -> str | None:
    """Make a file system's client mount a resource of every node, stopped; its unit must exist."""
    name = f"{file_system}-client"
    resources = await pacemaker.resource_ids()
    if f"{name}:0" in resources:
        return f"would do nothing: {name} is there" if context.dry_run else None
    resource = ResourceInfo(
        agent=Agent(standard="systemd", ocftype=mount_unit(mountpoint)),
        id=name,
        args={},
        ops=Operations(start="900s", monitor="60s"),
    )
    templates = await pacemaker.lustre_templates(file_system)
    constraints = client_constraints(file_system, resources, templates)
    part = configuration(resource, constraints, cloned=True, stopped=True)
    if context.dry_run:
        return f"would add {to_text(part)}"
    await pacemaker.create(part)
    await wait_for_role(name, "stop", "Stopped", context)
    return None


def client_constraints(
    file_system: str, resources: list[str], templates: list[str]
) -> list[Constraint]:
    """Return what ties a client to the servers that are there."""
    name = f"{file_system}-client"
    found: list[Constraint] = []
    if file_system in resources:
        ticket = Ticket(
            id=f"ticket-{file_system}-allocated-client",
            rsc=name,
            ticket=f"{file_system}-allocated",
            loss_policy="stop",
        )
        found.append(TicketConstraint(TICKET=ticket))
    firsts = [(MGS, MGS)] if MGS in resources else []
    firsts += [(template, template.rpartition("-")[2]) for template in templates]
    for first, kind in firsts:
        order = Order(
            id=f"{name}-after-{kind}",
            first=first,
            first_action="start",
            then=name,
            then_action="start",
            kind=OrderScore(SCORE=ScoreValue(VALUE=0)),
        )
        found.append(OrderConstraint(ORDER=order))
    return found


def mount_unit(mountpoint: str) -> str:
    """Return the mount unit of a path, as the ancestor escaped it: ``/mnt/fs-1`` mnt-fs--1."""
    return mountpoint.strip("/").replace("-", "--").replace("/", "-") + ".mount"


@action(timeout_s=LONG_TIMEOUT_S, dry_run=True, idempotent=True, locks=LOCKS)
async def ha_cloned_client_destroy(
    file_system: FileSystemName, context: ActionContext
) -> str | None:
    """Remove a file system's client mount from every node, with its constraints."""
    name = f"{file_system}-client"
    resources = await pacemaker.resource_ids()
    if f"{name}:0" not in resources:
        return f"would do nothing: {name} is not there" if context.dry_run else None
    constraints = client_constraints(
        file_system, resources, await pacemaker.lustre_templates(file_system)
    )
    ids = [constraint_id(one) for one in constraints]
    if context.dry_run:
        return f"would remove {', '.join([f'cl-{name}', *ids])}"
    paths = [f'//constraints/*[@id="{one}"]' for one in ids]
    await pacemaker.delete([*paths, f'//resources/clone[@id="cl-{name}"]'])
    return None


def constraint_id(constraint: Constraint) -> str:
    """Return a constraint's id."""
    (inner,) = (getattr(constraint, field) for field in type(constraint).model_fields)
    return str(inner.id)
