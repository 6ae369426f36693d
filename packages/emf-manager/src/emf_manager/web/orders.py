"""What somebody orders on an action's page: from a form to a request of the API, and back. Pure.

The options are those that the API's own request has: its schema makes their part of the form, so
that page and API never differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from emf_manager.api import models as m
from emf_manager.api.problems import ProblemError
from emf_manager.web.schema_forms.filled import (
    ABSENT,
    Filled,
    Path,
    explained,
    fill,
    read,
    submitted,
)
from emf_manager.web.schema_forms.from_schema import form_of
from emf_manager.web.schema_forms.shapes import Field, Members

__all__ = ["OPTIONS", "Order", "fresh", "holds_something", "judged", "sent", "split", "with_faults"]

OPTIONS = "options"
OWN = frozenset({"nodes", "exclude", "action", "args", "dry_run"})
"""What has a place of its own on the page."""


@dataclass(frozen=True)
class Order:
    """A form that is being filled in."""

    nodes: str
    exclude: str
    args: Filled
    options: Filled
    dry_run: bool = False
    faults: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with the other fields, by name; what is wrong as a whole, by the empty name."""

    @property
    def where_is_faulty(self) -> bool:
        """Whether something is wrong with where it is to run."""
        return bool(self.faults) or has_fault(self.options)

    @property
    def is_faulty(self) -> bool:
        """Whether something is wrong with it."""
        return self.where_is_faulty or has_fault(self.args)


def option_names() -> frozenset[str]:
    shape = option_fields().shape
    return (
        frozenset(one.name for one in shape.fields) if isinstance(shape, Members) else frozenset()
    )


def split(options: Filled) -> tuple[Filled | None, Filled]:
    """Return the filter by facts, which stands beside the nodes, and the other options."""
    facts = next((one for one in options.parts if one.field.name == "facts"), None)
    others = tuple(one for one in options.parts if one is not facts)
    return facts, replace(options, parts=others)


def holds_something(options: Filled) -> bool:
    """Tell whether an option is set, or wrong, so that it has to be seen."""
    return any(one.presence == "given" or has_fault(one) for one in options.parts)


def has_fault(filled: Filled) -> bool:
    return bool(filled.fault) or any(map(has_fault, filled.parts))


@cache
def option_fields() -> Field:
    """Return the form of the options: members of a job's request without a place of their own."""
    schema = m.JobRequest.model_json_schema()
    members = {name: member for name, member in schema["properties"].items() if name not in OWN}
    return form_of({**schema, "properties": members, "required": []}, OPTIONS)


def fresh(schema: Mapping[str, Any], *, nodes: str = "", args: Any = ABSENT) -> Order:
    """Return a form to begin with; ``args`` are those of an earlier job that is ordered again."""
    options = fill(option_fields(), ABSENT, (OPTIONS,))
    parts = tuple(
        replace(one, presence="given") if one.field.name == "facts" else one
        for one in options.parts
    )
    return Order(
        nodes=nodes,
        exclude="",
        args=fill(form_of(schema), args),
        options=replace(options, parts=parts),
    )


def sent(schema: Mapping[str, Any], form: Mapping[str, str]) -> Order:
    """Return a form as it was sent, with the row more or less that was asked for."""
    edit = form.get("edit", "")
    return Order(
        nodes=form.get("nodes", ""),
        exclude=form.get("exclude", ""),
        args=submitted(form_of(schema), form, edit),
        options=submitted(option_fields(), form, edit, (OPTIONS,)),
        dry_run="dry_run" in form,
    )


def judged(order: Order) -> tuple[Order, dict[str, Any]]:
    """Return the form with what cannot be read in it, and what to ask the API for."""
    args, args_faults = read(order.args)
    options, option_faults = read(order.options)
    told = replace(
        order,
        args=explained(order.args, args_faults),
        options=explained(order.options, option_faults),
        faults={} if order.nodes.strip() else {"nodes": "say on which nodes"},
    )
    request = {
        **(options if isinstance(options, dict) else {}),
        "nodes": order.nodes.strip(),
        "args": None if args == {} else args,
        "dry_run": order.dry_run,
    }
    if order.exclude.strip():
        request["exclude"] = order.exclude.strip()
    return told, request


def with_faults(order: Order, problem: ProblemError) -> Order:
    """Return the form with what the API holds against it, each fault at its field."""
    of_args: dict[Path, str] = {}
    of_options: dict[Path, str] = {}
    others: dict[str, str] = {}
    for fault in problem.errors:
        steps = path_of(fault.field)
        why = f"expected {fault.expected}, got {fault.got}"
        if steps[:1] == ("args",):
            of_args[steps[1:]] = why
        elif steps and steps[0] in option_names():
            of_options[steps] = why
        elif steps and steps[0] in OWN:
            others[str(steps[0])] = why
        else:
            others[""] = f"{fault.field}: {why}"
    if not (of_args or of_options or others):
        others["nodes" if problem.kind == "no-node-matched" else ""] = problem.detail
    return replace(
        order,
        args=explained(order.args, of_args),
        options=explained(order.options, of_options),
        faults=others,
    )


def path_of(field: str) -> Path:
    """Return the path in a value that a field's name in a problem means."""
    steps = field.removeprefix("body.").split(".")
    return tuple(int(step) if step.isdecimal() else step for step in steps if step)
