"""Where orders meet mandates: asked before any job is stored, cancelled, or node pinged (R17)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NoReturn

from pydantic import JsonValue

from emf_manager.api import models as m
from emf_manager.api.problems import ProblemError
from emf_manager.api.service import Service
from emf_manager.authorization import Mandate, Principal, Role
from emf_manager.mandates import allows, named_arguments, nodes_of
from emf_manager.nodesets import fold_nodes

__all__ = ["allow", "allow_nodes", "check_mandates"]


async def allow(
    manager: Service, caller: Principal, action: str, args: JsonValue, nodes: Sequence[str]
) -> None:
    """Let an order pass that is within the caller's mandates.

    Raises:
        ProblemError: 403, with the nodes for which no mandate allows it.

    """
    if not caller.mandates:
        return
    entries = [entry for entry in await manager.engine.catalogue() if entry.name == action]
    schemas = {
        node: variant.description.args_schema
        for entry in entries
        for variant in entry.variants
        for node in variant.nodes
    }
    about = [(mandate, nodes_of(mandate, nodes)) for mandate in caller.mandates]
    denied = [
        node
        for node in nodes
        if not any(
            node in its_nodes and allows(one, action, named_arguments(args, schemas.get(node)))
            for one, its_nodes in about
        )
    ]
    if denied:
        refuse(caller, f"order {action} with these arguments", denied)


def allow_nodes(caller: Principal, nodes: Sequence[str], what: str = "ping") -> None:
    """Let a caller touch nodes that a mandate of theirs is about, whatever the action.

    Raises:
        ProblemError: 403, with the other nodes.

    """
    if caller.mandates:
        mine = frozenset().union(*(nodes_of(one, nodes) for one in caller.mandates))
        if denied := [node for node in nodes if node not in mine]:
            refuse(caller, what, denied)


def check_mandates(role: Role, mandates: Collection[m.Mandate]) -> None:
    """Refuse mandates that cannot be read, or bind nobody.

    Raises:
        ProblemError: an admin could lift them. NodeSetError: a node set.

    """
    if mandates and role == "admin":
        raise ProblemError(
            409, "conflict", "mandates bind no admin, who could lift them; make an operator"
        )
    for one in mandates:
        nodes_of(Mandate(nodes=one.nodes), ("node",))


def refuse(caller: Principal, what: str, nodes: Sequence[str]) -> NoReturn:
    where = fold_nodes(nodes)
    shown = where if len(where) <= 200 else f"{where[:200]}…"
    raise ProblemError(403, "forbidden", f"no mandate of {caller.user} allows to {what} on {shown}")
