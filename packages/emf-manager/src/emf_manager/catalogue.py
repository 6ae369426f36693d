"""What the fleet can do: the agents' own descriptions of their actions, merged. Pure.

Most nodes say the same, and say it again with every change of their health: a catalogue is read
once for each content, shared by the nodes that have it, and compared by its hash.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue, ValidationError

from emf_agent.wire import ActionDescription, AgentReport
from emf_manager.arguments import check_arguments
from emf_manager.nodesets import fold_nodes
from emf_manager.series import Shape, read_shapes
from emf_manager.views import CatalogueEntry, JobOrder, UnknownActionError, Variant

__all__ = ["Catalogue", "check_order", "merge", "read_catalogue"]


@dataclass(frozen=True)
class Catalogue:
    """What one agent says it can do."""

    claimed: str
    """The agent's own digest; believed as far as it tells that this node has changed."""
    content: str
    """SHA-256 of what follows."""
    actions: tuple[ActionDescription, ...]
    streams: frozenset[str]
    """Daemons whose every value is an event."""
    schemas: Mapping[str, JsonValue] = field(default_factory=dict)
    """What each daemon's value looks like, as JSON Schema."""
    _read: dict[str, tuple[Shape, ...]] = field(default_factory=dict, repr=False, compare=False)

    def shapes(self, daemon: str) -> tuple[Shape, ...]:
        """Return which numbers of a daemon's value are series; its schema is read once."""
        if daemon not in self._read:
            self._read[daemon] = read_shapes(self.schemas.get(daemon))
        return self._read[daemon]


def read_catalogue(body: JsonValue, previous: Catalogue | None = None) -> Catalogue | None:
    """Return the catalogue in a value of the daemon ``agent``, or None where it is unreadable."""
    if not isinstance(body, dict):
        return None
    if previous is not None and body.get("catalogue_digest") == previous.claimed:
        return previous
    try:
        text = json.dumps([body.get("actions"), body.get("daemons")], sort_keys=True)
        report = AgentReport.model_validate_json(json.dumps(body))
    except ValidationError:
        return None
    return Catalogue(
        claimed=report.catalogue_digest,
        content=hashlib.sha256(text.encode()).hexdigest(),
        actions=report.actions,
        streams=frozenset(each.name for each in report.daemons if each.delivery == "every"),
        schemas={each.name: each.payload_schema for each in report.daemons},
    )


def merge(catalogues: Mapping[str, Catalogue]) -> tuple[CatalogueEntry, ...]:
    """Return every action some node has, by name; nodes that describe it alike stand together."""
    holders: dict[str, list[str]] = {}
    by_content = {catalogue.content: catalogue for catalogue in catalogues.values()}
    for node in sorted(catalogues):
        holders.setdefault(catalogues[node].content, []).append(node)
    forms: dict[str, list[tuple[ActionDescription, list[str]]]] = {}
    for content, nodes in holders.items():
        for description in by_content[content].actions:
            known = forms.setdefault(description.name, [])
            for form, having in known:
                if form == description:
                    having.extend(nodes)
                    break
            else:
                known.append((description, list(nodes)))
    return tuple(
        CatalogueEntry(
            name,
            tuple(
                Variant(form, tuple(sorted(nodes)))
                for form, nodes in sorted(forms[name], key=lambda pair: (-len(pair[1]), pair[1]))
            ),
        )
        for name in sorted(forms)
    )


def check_order(order: JobOrder, catalogues: Mapping[str, Catalogue]) -> None:
    """Refuse an order that a node with a known catalogue would refuse.

    A node without one (an ancestor's agent, or one that has not reported yet) decides itself.

    Raises:
        UnknownActionError: nodes that told what they have do not have it.
        ArgumentsError: the arguments do not fit the action on some of them.

    """
    holders: dict[str, list[str]] = {}
    for node in order.nodes:
        if node in catalogues:
            holders.setdefault(catalogues[node].content, []).append(node)
    without: list[str] = []
    names: set[str] = set()
    for nodes in holders.values():
        actions = catalogues[nodes[0]].actions
        described = _find(order.action, actions)
        if described is None:
            without.extend(nodes)
            names.update(action.name for action in actions)
        else:
            check_arguments(described, order.args)
    if without:
        close = tuple(difflib.get_close_matches(order.action, sorted(names), n=3, cutoff=0.6))
        raise UnknownActionError(order.action, fold_nodes(without), close)


def _find(name: str, actions: Sequence[ActionDescription]) -> ActionDescription | None:
    return next((action for action in actions if action.name == name), None)
