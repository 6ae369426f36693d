"""From a node set, as people type it, to enrolled nodes; a name that is none is never dropped."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from emf_agent.errors import UsageError
from emf_manager.api.problems import FieldFault, ProblemError
from emf_manager.nodesets import fold_nodes, parse_nodes

__all__ = ["by_name", "select"]

EVERYTHING = {"*", "@all"}
NAMED = 5
"""Unknown names that are told one by one."""


def select(nodes: str | None, exclude: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the enrolled nodes that a node set means, without the excluded ones.

    A name is a full name, or the first label of exactly one. None and ``*`` mean every node.

    Raises:
        ProblemError: it cannot be read, names what is not enrolled, or leaves nothing.

    """
    text = "*" if nodes is None else nodes
    full = by_name(known)
    names = read(text, "nodes", known)
    unknown = [name for name in names if name not in full]
    if unknown:
        raise strangers(unknown, known)
    without = (
        set() if exclude is None else {full.get(n, n) for n in read(exclude, "exclude", known)}
    )
    chosen = tuple(dict.fromkeys(full[name] for name in names if full[name] not in without))
    if not chosen:
        left_out = f" once {exclude} is left out" if without else ""
        raise ProblemError(
            404, "no-node-matched", f"no enrolled node is in {text[:255]!r}{left_out}"
        )
    return chosen


def read(text: str, field: str, known: Sequence[str]) -> tuple[str, ...]:
    try:
        return parse_nodes("@*" if text.strip() in EVERYTHING else text, {}, known=known)
    except UsageError as error:
        fault = FieldFault(field=field, expected="a node set", got=f"{text[:80]!r}")
        raise ProblemError(422, "invalid", str(error), errors=[fault]) from error


def by_name(known: Sequence[str]) -> dict[str, str]:
    """Return full names by full name, and by first label where only one node has it."""
    labels: dict[str, list[str]] = {}
    for name in known:
        labels.setdefault(name.partition(".")[0], []).append(name)
    short = {label: names[0] for label, names in labels.items() if len(names) == 1}
    return {**short, **{name: name for name in known}}


def strangers(unknown: Sequence[str], known: Sequence[str]) -> ProblemError:
    near = difflib.get_close_matches(unknown[0], list(by_name(known)), n=3, cutoff=0.6)
    told = fold_nodes(unknown) if len(unknown) > NAMED else ", ".join(unknown)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; see 'emf node list'"
    return ProblemError(
        404, "no-node-matched", f"not enrolled: {told[:500]}{hint}", suggestions=near
    )
