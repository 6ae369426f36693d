"""Groups of nodes: every role and label, who is in contact, and what operators define. Pure.

``@oss`` is every node of that role, ``@rack=r1`` every node with that label, ``@connected``,
``@silent`` and ``@never`` those in that state. A defined group is a node set that may name other
groups. Node sets are evaluated from left to right, always over full names: ``@oss!oss01`` leaves
out ``oss01.example.com``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import filter as filter_names

from emf_manager.labels import LABEL
from emf_manager.nodesets import MAX_NODES, NodeSetError, full_names, parse_nodes

__all__ = ["GROUP_NAME", "Member", "Roster", "groups_named"]

GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A defined group's name; those of labels have an ``=``, so they never meet."""
STATES = ("connected", "silent", "never")
RESERVED = frozenset({*STATES, "all"})
EVERYTHING = frozenset({"*", "@all", "@*"})
ATOM = re.compile(r"([,!&^]?)((?:\[[^\[\]]*\]|[^,!&^])*)")
NAMED = re.compile(r"@(?:nodes:)?([^\s,!&^@:*?\[\]]+)")
SPECIAL = re.compile(r"[@*?]")
MOST_PIECES = 100
MOST_PATTERNS = 100
MOST_NAMES = 2 * MAX_NODES
STAND_INS = {"*": "qStarq", "?": "qOneq"}
"""What wildcards are while the library expands the numbers beside them."""
DEEPEST = 16
"""Groups that name groups that name groups…"""


@dataclass(frozen=True)
class Member:
    """A node, as far as groups go."""

    fqdn: str
    state: str
    role: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


class Roster:
    """The nodes there are now, and the groups they are in; reads node sets."""

    def __init__(self, members: Iterable[Member], defined: Mapping[str, str]) -> None:
        self._members = tuple(members)
        self._defined = dict(defined)
        self.known = tuple(member.fqdn for member in self._members)
        self._full = full_names(self.known)
        self._groups: dict[str, tuple[str, ...]] = built_in(self._members)
        self.built_in = frozenset(self._groups)
        self._spent: Counter[str] = Counter()
        """Names and wildcards of one reading, groups included: each takes the loop's time."""

    def redefined(self, defined: Mapping[str, str]) -> Roster:
        """Return the same nodes with other defined groups."""
        return Roster(self._members, defined)

    def names(self) -> tuple[str, ...]:
        """Return the name of every group."""
        return tuple(sorted(self.built_in | self._defined.keys()))

    def group(self, name: str) -> tuple[str, ...]:
        """Return the nodes of a group; what it names that is not enrolled is returned as it is.

        Raises:
            NodeSetError: there is no such group, or it cannot be read.

        """
        self._spent.clear()
        return self._resolve(name, ())

    def read(self, text: str) -> tuple[str, ...]:
        """Return the nodes that a node set means, each once: full names where they are enrolled.

        Raises:
            NodeSetError: it is none, names a group that there is not, or is too large.

        """
        self._spent.clear()
        return self._evaluate(text, ())

    def written(self, text: str) -> tuple[str, ...]:
        """Return the names that stand in a node set themselves, not by a group or a wildcard.

        Raises:
            NodeSetError: as ``read``.

        """
        plain = [piece for _, piece in pieces(text) if SPECIAL.search(piece) is None]
        return tuple(dict.fromkeys(name for piece in plain for name in self._piece(piece, ())))

    def _evaluate(self, text: str, above: tuple[str, ...]) -> tuple[str, ...]:
        if text.strip() in EVERYTHING:
            return self.known
        found: dict[str, None] = {}
        for number, (operator, piece) in enumerate(pieces(text)):
            if number == MOST_PIECES:
                raise NodeSetError(text, f"more than {MOST_PIECES} groups, wildcards, operators")
            names = self._piece(piece, above)
            if operator == ",":
                found.update(dict.fromkeys(names))
                continue
            these = frozenset(names)
            if operator == "!":
                found = {name: None for name in found if name not in these}
            elif operator == "&":
                found = {name: None for name in found if name in these}
            else:
                both = these & found.keys()
                joined = (*found, *names)
                found = {name: None for name in joined if name not in both}
        if len(found) > MAX_NODES:
            raise NodeSetError(text, f"it has {len(found)} names, the limit is {MAX_NODES}")
        return tuple(found)

    def _piece(self, piece: str, above: tuple[str, ...]) -> tuple[str, ...]:
        piece = piece.strip()
        if piece in EVERYTHING:
            return self.known
        named = NAMED.fullmatch(piece)
        if named is not None:
            return self._resolve(named[1], above)
        if "@" in piece:
            raise NodeSetError(piece, "a group is @NAME, or @LABEL=VALUE")
        if SPECIAL.search(piece) is not None:
            return self._wild(piece)
        names = parse_nodes(piece, {})
        self._spend(piece, "names", len(names), MOST_NAMES)
        return tuple(dict.fromkeys(self._full.get(name, name) for name in names))

    def _spend(self, piece: str, what: str, count: int, most: int) -> None:
        self._spent[what] += count
        if self._spent[what] > most:
            raise NodeSetError(piece, f"more than {most} {what} with all before it")

    def _wild(self, piece: str) -> tuple[str, ...]:
        """Return what wildcards mean: the library takes a second for each over a large fleet."""
        plain = piece
        for sign, letters in STAND_INS.items():
            plain = plain.replace(sign, letters)
        patterns = parse_nodes(plain, {})
        self._spend(piece, "names with a wildcard", len(patterns), MOST_PATTERNS)
        found: dict[str, None] = {}
        for stood_in in patterns:
            pattern = stood_in.replace(STAND_INS["*"], "*").replace(STAND_INS["?"], "?")
            found.update(dict.fromkeys(filter_names(self.known, pattern)))
        return tuple(found)

    def _resolve(self, name: str, above: tuple[str, ...]) -> tuple[str, ...]:
        if name in self._groups:
            return self._groups[name]
        if name in above:
            circle = " → ".join(f"@{one}" for one in (*above[above.index(name) :], name))
            raise NodeSetError(f"@{name}", f"the groups name each other: {circle}")
        if name not in self._defined or len(above) >= DEEPEST:
            deep = f"groups name groups more than {DEEPEST} deep"
            raise NodeSetError(f"@{name}", deep if name in self._defined else self._offer(name))
        self._groups[name] = self._evaluate(self._defined[name], (*above, name))
        return self._groups[name]

    def _offer(self, name: str) -> str:
        offer = ", ".join(f"@{known}" for known in self.names()[:20]) or "there are none"
        return f"there is no group @{name[:64]} (groups: {offer})"


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield operators with what follows; plain names that are only joined stay together."""
    plain: list[str] = []
    for operator, piece in ATOM.findall(text):
        if not operator and not piece:
            continue
        if operator in ("", ",") and SPECIAL.search(piece) is None:
            plain.append(piece)
            continue
        if plain:
            yield ",", ",".join(plain)
            plain = []
        yield operator or ",", piece
    if plain:
        yield ",", ",".join(plain)


def groups_named(text: str) -> tuple[str, ...]:
    """Return the groups that a node set names."""
    return tuple(dict.fromkeys(NAMED.findall(text)))


def built_in(members: Iterable[Member]) -> dict[str, tuple[str, ...]]:
    """Return the groups that nobody has to define; a role named like a state is the state."""
    found: dict[str, list[str]] = {name: [] for name in STATES}
    for member in members:
        names = {member.state} & set(STATES)
        if member.role is not None and member.role not in RESERVED:
            names.add(member.role)
        names |= {f"{key}={value}" for key, value in member.labels.items()}
        for name in names:
            if "=" not in name or LABEL.fullmatch(name):
                found.setdefault(name, []).append(member.fqdn)
    return {name: tuple(nodes) for name, nodes in found.items()}
