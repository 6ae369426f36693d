"""From a node set, as people type it, to enrolled nodes; a name that is none is never dropped."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from emf_manager.api.problems import FieldFault, ProblemError
from emf_manager.api.service import Service
from emf_manager.fact_filters import Filter, FilterError, explain, parse_filter, unknown_names
from emf_manager.groups import Member, Roster
from emf_manager.nodesets import NodeSetError, fold_nodes, full_names, natural_order
from emf_manager.views import NodeView

__all__ = ["LeftOut", "Selection", "matching", "pick", "roster_of", "select", "targeted"]

NAMED = 5
"""Unknown names, and reasons, that are told one by one."""


@dataclass(frozen=True)
class LeftOut:
    """A node that a node set means and that nothing is run on, and why."""

    node: str
    reason: str


@dataclass(frozen=True)
class Selection:
    """What a node set and filters come to, both by name."""

    nodes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


async def roster_of(manager: Service, views: Iterable[NodeView]) -> Roster:
    """Return these nodes with the groups they are in."""
    defined = {group.name: group.nodes for group in await manager.engine.groups()}
    members = (Member(view.fqdn, view.state, view.role, view.labels) for view in views)
    return Roster(members, defined)


async def matching(manager: Service, nodes: str | None, exclude: str | None) -> tuple[str, ...]:
    """Return the enrolled nodes that a node set means, those too that wait for approval.

    Raises:
        ProblemError: as ``select``.

    """
    return select(nodes, exclude, await roster_of(manager, await manager.engine.nodes()))


async def targeted(
    manager: Service, nodes: str, exclude: str | None, facts: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the nodes that something is to be run on.

    Raises:
        ProblemError: as ``select``, or no node matches the facts.

    """
    selection = await pick(manager, nodes, exclude, facts)
    if not selection.nodes:
        said = dict.fromkeys(one.reason for one in selection.left_out if one.reason != EXCLUDED)
        without = f" once {exclude[:255]} is left out" if exclude else ""
        told = f": {'; '.join(list(said)[:NAMED])}" if said else ""
        detail = f"no enrolled node is in {nodes[:255]!r}{without}{told}"
        raise ProblemError(404, "no-node-matched", detail)
    return selection.nodes


EXCLUDED = "excluded"
WAITING = "not approved yet; see emf node approve"


async def pick(
    manager: Service, nodes: str, exclude: str | None, facts: Sequence[str]
) -> Selection:
    """Return what a node set, without the excluded nodes and what does not fit, comes to.

    A node that waits for approval is left out where a group or a wildcard means it, and refused
    where it is named.

    Raises:
        ProblemError: a node set or a filter cannot be read, or names what there is not.

    """
    filters = tuple(read_filter(text, place) for place, text in enumerate(facts))
    views = await manager.engine.nodes()
    waiting = frozenset(view.fqdn for view in views if view.waiting)
    everyone = await roster_of(manager, views)
    approved = await roster_of(manager, (view for view in views if not view.waiting))
    meant = enrolled(read(nodes, "nodes", approved), everyone.known)
    if refused := [name for name in meant if name in waiting]:
        raise ProblemError(
            403, "refused", f"not approved yet: {shown(refused)}; see 'emf node approve'"
        )
    without = excluded(exclude, approved, waiting)
    out = {name: EXCLUDED for name in meant if name in without}
    if waiting:
        out |= {name: WAITING for name in read(nodes, "nodes", everyone) if name in waiting}
    if filters:
        known = await manager.engine.facts()
        names = {name for node in approved.known for name in known.get(node, ())}
        refuse_unknown(unknown_names(filters, names))
        for name in meant:
            why = explain(known.get(name, {}), filters)
            if why is not None:
                out.setdefault(name, why)
    left_out = tuple(LeftOut(name, out[name]) for name in natural_order(out))
    return Selection(natural_order(name for name in meant if name not in out), left_out)


def select(nodes: str | None, exclude: str | None, roster: Roster) -> tuple[str, ...]:
    """Return the enrolled nodes that a node set means, without the excluded ones, by name.

    A name is a full name, or the first label of exactly one. None and ``*`` mean every node.

    Raises:
        ProblemError: it cannot be read, names what is not enrolled, or leaves nothing.

    """
    text = "*" if nodes is None else nodes
    without = excluded(exclude, roster)
    names = enrolled(read(text, "nodes", roster), roster.known)
    chosen = natural_order(name for name in names if name not in without)
    if not chosen:
        left_out = f" once {exclude} is left out" if without else ""
        raise ProblemError(
            404, "no-node-matched", f"no enrolled node is in {text[:255]!r}{left_out}"
        )
    return chosen


def excluded(exclude: str | None, roster: Roster, waiting: Collection[str] = ()) -> frozenset[str]:
    """Return the nodes to leave out.

    Raises:
        ProblemError: it cannot be read, or names what is not enrolled: who mistypes a node to be
            spared would not spare it.

    """
    if exclude is None:
        return frozenset()
    without = read(exclude, "exclude", roster)
    enrolled(roster.written(exclude), (*roster.known, *full_names(waiting)))
    return frozenset(without)


def read(text: str, field: str, roster: Roster) -> tuple[str, ...]:
    try:
        return roster.read(text)
    except NodeSetError as error:
        fault = FieldFault(field=field, expected="a node set", got=f"{text[:80]!r}")
        raise ProblemError(422, "invalid", str(error), errors=[fault]) from error


def read_filter(text: str, place: int) -> Filter:
    try:
        return parse_filter(text)
    except FilterError as error:
        fault = FieldFault(
            field=f"facts.{place}", expected="NAME=VALUE or the like", got=f"{text[:80]!r}"
        )
        raise ProblemError(422, "invalid", str(error), errors=[fault]) from error


def refuse_unknown(names: dict[str, list[str]]) -> None:
    """Refuse a filter on a fact that no node has: it is a slip of the pen, or always empty."""
    if not names:
        return
    name, near = next(iter(names.items()))
    hint = f"; did you mean {' or '.join(near)}?" if near else "; see 'emf targets NODESET --facts'"
    fault = FieldFault(field="facts", expected="a fact that some node has", got=repr(name))
    raise ProblemError(
        422, "invalid", f"no node has a fact {name!r}{hint}", errors=[fault], suggestions=near
    )


def enrolled(names: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Return the names, all of which are enrolled.

    Raises:
        ProblemError: with those that are not.

    """
    there = frozenset(known)
    unknown = [name for name in names if name not in there]
    if not unknown:
        return names
    near = difflib.get_close_matches(unknown[0], list(full_names(known)), n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; see 'emf node list'"
    raise ProblemError(
        404, "no-node-matched", f"not enrolled: {shown(unknown)}{hint}", suggestions=near
    )


def shown(names: Sequence[str]) -> str:
    told = fold_nodes(names) if len(names) > NAMED else ", ".join(names)
    return told[:500]
