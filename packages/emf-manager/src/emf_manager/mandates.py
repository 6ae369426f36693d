"""Whether an order is within somebody's mandates; a pure decision, default deny (R17).

A user without mandates may order what the role allows. One with mandates may order what at least
one of them allows, for each node on its own: the node, the action, and every argument it names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic import JsonValue

from emf_manager.authorization import Mandate
from emf_manager.nodesets import NodeSetError, parse_nodes

__all__ = ["allows", "named_arguments", "nodes_of"]


def nodes_of(mandate: Mandate, known: Sequence[str]) -> frozenset[str]:
    """Return which of the known nodes a mandate is about.

    Raises:
        NodeSetError: the node set cannot be read, or names a group, whose nodes may change.

    """
    if "@" in mandate.nodes:
        raise NodeSetError(mandate.nodes, "groups may change later; name the nodes")
    return frozenset(parse_nodes(mandate.nodes.lower(), {}, known=known)) & frozenset(known)


def allows(mandate: Mandate, action: str, args: Mapping[str, JsonValue] | None) -> bool:
    """Tell whether a mandate allows an action with these arguments, on the nodes it is about.

    ``args`` are by name; None where nobody can tell their names, and then nothing is allowed that
    is bound to a value. An argument that a mandate names and the order leaves out is not allowed:
    what it would be is for the node to say.
    """
    if not any(fnmatchcase(action, pattern) for pattern in mandate.actions):
        return False
    if not mandate.args:
        return True
    return args is not None and all(
        name in args and fits(args[name], patterns) for name, patterns in mandate.args.items()
    )


def fits(value: JsonValue, patterns: Iterable[str]) -> bool:
    """Tell whether a value is one of those allowed; each one of a list has to be."""
    if isinstance(value, list):
        return bool(value) and all(fits(each, patterns) for each in value)
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def named_arguments(
    args: JsonValue, schema: Mapping[str, Any] | None
) -> Mapping[str, JsonValue] | None:
    """Return arguments by name, whichever way they were given; None where that cannot be told."""
    if args is None:
        return {}
    if isinstance(args, dict):
        return args
    places = (schema or {}).get("x-positional")
    if not isinstance(places, list) or not places:
        return None
    given = args if isinstance(args, list) else [args]
    return dict(zip(places, given, strict=False)) if len(given) <= len(places) else None
