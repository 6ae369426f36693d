"""Routes of groups: every group there is now, and those that operators define."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from emf_manager.api import rollout_models as m
from emf_manager.api.fleet import PageQuery, missing
from emf_manager.api.paging import Page, page
from emf_manager.api.problems import FieldFault, ProblemError
from emf_manager.api.service import Caller, Manager, Service
from emf_manager.api.targets import roster_of
from emf_manager.api.translate import certain
from emf_manager.authorization import Principal
from emf_manager.groups import GROUP_NAME, RESERVED, Roster, groups_named
from emf_manager.nodesets import NodeSetError, fold_nodes
from emf_manager.store.groups import Group

__all__ = ["router"]

router = APIRouter(tags=["groups"])

MOST_GROUPS = 1000
Name = Annotated[str, Path(pattern=rf"^{GROUP_NAME.pattern}$", examples=["rack1"])]


@router.get("/groups", response_model=Page[m.Group])
async def list_groups(manager: Manager, query: Annotated[PageQuery, Query()]) -> Any:
    """List groups, by name: defined ones, and those of roles, labels and states."""
    defined = {group.name: group for group in await manager.engine.groups()}
    roster = await roster_of(manager, await manager.engine.nodes())
    names, following = page(
        roster.names(), lambda name: (name,), cursor=query.cursor, limit=query.limit
    )
    items = tuple(shown(name, roster, defined.get(name)) for name in names)
    return Page[m.Group](items=items, next=following)


@router.put("/groups/{name}", response_model=m.Group)
async def put_group(manager: Manager, caller: Caller, name: Name, body: m.GroupRequest) -> Any:
    """Define a group, or define it anew; it may name other groups, but not itself through them."""
    bound(caller)
    group = Group(name, body.nodes, manager.now(), caller.user)
    known = {one.name: one for one in await manager.engine.groups()}
    if name not in known and len(known) >= MOST_GROUPS:
        raise ProblemError(403, "refused", f"there are {MOST_GROUPS} groups; delete some")
    roster = await with_group(manager, {**known, name: group})
    if name in RESERVED or name in roster.built_in:
        raise ProblemError(409, "conflict", f"@{name} is a role or a state; take another name")
    try:
        for other in (name, *named_by(name, known)):
            roster.group(other)
    except NodeSetError as error:
        fault = FieldFault(field="nodes", expected="a node set", got=f"{body.nodes[:80]!r}")
        raise ProblemError(422, "invalid", str(error), errors=[fault]) from error
    await manager.engine.put_group(group)
    return shown(name, roster, group)


@router.delete("/groups/{name}", status_code=204)
async def delete_group(manager: Manager, caller: Caller, name: Name) -> Response:
    """Forget a group that no other group names."""
    bound(caller)
    known = {one.name: one for one in await manager.engine.groups()}
    if name not in known:
        raise missing("defined group", name, known)
    if others := named_by(name, known):
        told = ", ".join(f"@{other}" for other in others[:5])
        raise ProblemError(409, "conflict", f"@{name} is named by {told}; change them first")
    await manager.engine.remove_group(name)
    return Response(status_code=204)


def bound(caller: Principal) -> None:
    """Refuse those with mandates: whose group changes, changes where other people's jobs go.

    Raises:
        ProblemError: 403.

    """
    if caller.mandates:
        raise ProblemError(403, "forbidden", f"{caller.user} has mandates, and defines no groups")


async def with_group(manager: Service, groups: dict[str, Group]) -> Roster:
    now = await roster_of(manager, await manager.engine.nodes())
    return now.redefined({group.name: group.nodes for group in groups.values()})


def named_by(name: str, groups: dict[str, Group]) -> list[str]:
    """Return the groups that name this one."""
    return sorted(other for other, its in groups.items() if name in groups_named(its.nodes))


def shown(name: str, roster: Roster, group: Group | None) -> m.Group:
    nodes: tuple[str, ...] = ()
    fault = None
    try:
        nodes = roster.group(name)
    except NodeSetError as error:
        fault = str(error)
    return m.Group(
        name=name,
        nodes=fold_nodes(nodes),
        node_count=len(nodes),
        defined=None if group is None else group.nodes,
        changed=None if group is None else certain(group.changed),
        changed_by=None if group is None else group.changed_by,
        fault=fault,
    )
