"""Node sets as people type them (ClusterShell's syntax), read within limits, and folded back.

``oss[01-16,20]``, ``@group``, ``@*`` (every node), ``oss*``, and the operators ``,`` ``!`` ``&``
``^``. The library expands while it parses, so what a text would expand to is counted first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException
from ClusterShell.NodeUtils import GroupResolver, GroupResolverError, GroupSource, GroupSourceError

from emf_agent.errors import UsageError

__all__ = [
    "MAX_NODES",
    "NodeSetError",
    "fold_nodes",
    "full_names",
    "natural_order",
    "parse_nodes",
]

MAX_NODES = 20_000
MAX_TEXT = 256 * 1024
MAX_AXES = 4
SLICE = 256
"""Names folded at a time where they have several numbers: folding those grows quadratically."""

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
SIMPLE_NAME = re.compile(r"[A-Za-z0-9._-]+")
BRACKET = re.compile(r"\[([^\[\]]*)\]")
RANGE = re.compile(r"\s*(\d{1,12})(?:-(\d{1,12})(?:/(\d{1,6}))?)?\s*")
NUMBER = re.compile(r"\d+")


class NodeSetError(UsageError):
    """A node set that cannot be read; the message repeats it, shortened."""

    def __init__(self, text: str, why: str) -> None:
        shown = text if len(text) <= 80 else text[:77] + "..."
        super().__init__(f"node set {shown!r}: {why}")


def parse_nodes(
    text: str, groups: Mapping[str, str], *, known: Sequence[str] = (), limit: int = MAX_NODES
) -> tuple[str, ...]:
    """Return the names that a node set stands for, each once, in the library's natural order.

    ``groups`` maps a group's name to a node set, which may name other groups; ``known`` are the
    nodes that ``@*`` and wildcards mean. A set that is empty is an empty tuple.

    Raises:
        NodeSetError: it is not a node set, names an unknown group, or has more than ``limit``
            names.

    """
    _check_size(text, limit)
    for name in _groups_named(text, groups, seen=set()):
        _check_size(groups[name], limit)
    everything = ",".join(known)
    source = GroupSource("nodes", groups=dict(groups), allgroups=everything)
    try:
        names = tuple(str(name) for name in NodeSet(text, resolver=GroupResolver(source)))
    except (GroupResolverError, GroupSourceError) as error:
        raise NodeSetError(text, f"unknown group source {error}; write @group") from error
    except (NodeSetException, ValueError, RecursionError) as error:
        raise NodeSetError(text, str(error) or "it cannot be read") from error
    if len(names) > limit:
        raise NodeSetError(text, f"it has {len(names)} names, the limit is {limit}")
    for name in names:
        if NAME.fullmatch(name) is None:
            raise NodeSetError(
                text, f"{name[:80]!r} is not a node name; separate names with a comma"
            )
    return names


def fold_nodes(names: Iterable[str]) -> str:
    """Return names as one node set, the way people read it: ``oss[01-15]``."""
    plain = sorted({name for name in names if SIMPLE_NAME.fullmatch(name)}, key=_natural)
    size = SLICE if any(len(NUMBER.findall(name)) > 1 for name in plain) else max(len(plain), 1)
    slices = (plain[start : start + size] for start in range(0, len(plain), size))
    return ",".join(str(NodeSet.fromlist(part, resolver=RESOLVER_NOGROUP)) for part in slices)


def natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names as people order them: ``oss2`` before ``oss10``."""
    return tuple(sorted(names, key=_natural))


def full_names(known: Iterable[str]) -> dict[str, str]:
    """Return full names by full name, and by first label where only one node has it."""
    every = tuple(known)
    labels: dict[str, list[str]] = {}
    for name in every:
        labels.setdefault(name.partition(".")[0], []).append(name)
    short = {label: names[0] for label, names in labels.items() if len(names) == 1}
    return {**short, **{name: name for name in every}}


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    pieces = re.split(r"(\d+)", name)
    return tuple((int(p), p) if p.isdigit() else (0, p) for p in pieces)


def _groups_named(text: str, groups: Mapping[str, str], *, seen: set[str]) -> set[str]:
    """Return every group that a text reaches, or refuse an unknown one: the library ignores it."""
    for name in re.findall(r"@(?:nodes:)?([^\s,!&^@:\[\]]+)", text):
        if "*" in name or "?" in name or name in seen:
            continue
        if name not in groups:
            offer = ", ".join("@" + known for known in sorted(groups)) or "there are none"
            raise NodeSetError(text, f"there is no group @{name} (groups: {offer})")
        seen.add(name)
        _groups_named(groups[name], groups, seen=seen)
    return seen


def _check_size(text: str, limit: int) -> None:
    """Refuse a text that would expand beyond the limit, before anything expands it."""
    if len(text) > MAX_TEXT:
        raise NodeSetError(text, f"it is longer than {MAX_TEXT} characters")
    if not text.isprintable():
        raise NodeSetError(text, "it has characters that cannot be printed")
    total = 0
    for pattern in re.split(r"[,!&^]", BRACKET.sub(_counted, text)):
        factors = [int(count) for count in re.findall(r"\[(\d+)\]", pattern)]
        if len(factors) > MAX_AXES:
            raise NodeSetError(text, f"more than {MAX_AXES} ranges in one name")
        product = 1
        for factor in factors:
            product *= factor
        total += product
        if total > limit:
            raise NodeSetError(text, f"it has more than {limit} names; name fewer")


def _counted(bracket: re.Match[str]) -> str:
    """Replace a bracket by how many numbers it has; what is unreadable is left to the library."""
    count = 0
    for part in bracket[1].split(","):
        found = RANGE.fullmatch(part)
        if found is None:
            if len(part) > 64 or re.search(r"\d{13}", part):
                raise NodeSetError(bracket[0], "a number in it is too long")
            count += 1
            continue
        first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
        count += max(0, last - first) // max(step, 1) + 1
    return f"[{count}]"
