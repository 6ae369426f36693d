"""What the fleet can do: the agents' own descriptions of their actions, merged. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from emf_agent.wire import ActionDescription, AgentReport
from emf_manager.arguments import check_arguments
from emf_manager.nodesets import fold_nodes
from emf_manager.views import CatalogueEntry, JobOrder, UnknownActionError, Variant

__all__ = ["check_order", "merge"]


def merge(reports: Mapping[str, AgentReport]) -> tuple[CatalogueEntry, ...]:
    """Return every action some node has, by name; nodes that describe it alike stand together."""
    forms: dict[str, list[tuple[ActionDescription, list[str]]]] = {}
    for node in sorted(reports):
        for description in reports[node].actions:
            known = forms.setdefault(description.name, [])
            for form, nodes in known:
                if form == description:
                    nodes.append(node)
                    break
            else:
                known.append((description, [node]))
    return tuple(
        CatalogueEntry(
            name,
            tuple(
                Variant(form, tuple(nodes))
                for form, nodes in sorted(forms[name], key=lambda pair: (-len(pair[1]), pair[1]))
            ),
        )
        for name in sorted(forms)
    )


def check_order(order: JobOrder, reports: Mapping[str, AgentReport]) -> None:
    """Refuse an order that a node with a known catalogue would refuse.

    A node without one (an ancestor's agent, or one that has not reported yet) decides itself.

    Raises:
        UnknownActionError: nodes that told what they have do not have it.
        ArgumentsError: the arguments do not fit the action on some of them.

    """
    without: list[str] = []
    checked: list[ActionDescription] = []
    for node in order.nodes:
        report = reports.get(node)
        if report is None:
            continue
        described = _find(order.action, report.actions)
        if described is None:
            without.append(node)
        elif described not in checked:
            check_arguments(described, order.args)
            checked.append(described)
    if without:
        names = _names(reports[node] for node in without)
        close = tuple(difflib.get_close_matches(order.action, names, n=3, cutoff=0.6))
        raise UnknownActionError(order.action, fold_nodes(without), close)


def _find(name: str, actions: Sequence[ActionDescription]) -> ActionDescription | None:
    return next((action for action in actions if action.name == name), None)


def _names(reports: Iterable[AgentReport]) -> list[str]:
    return sorted({action.name for report in reports for action in report.actions})
