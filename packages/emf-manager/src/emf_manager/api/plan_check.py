"""A plan against the fleet before anything runs: its nodes, actions, arguments and mandates."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import anyio.to_thread
from pydantic import JsonValue, ValidationError

from emf_agent.wire import ActionDescription
from emf_manager.api import models as m
from emf_manager.api.mandates import allow
from emf_manager.api.problems import ProblemError, field_fault
from emf_manager.api.service import Service
from emf_manager.api.targets import targeted
from emf_manager.arguments import argument_faults
from emf_manager.authorization import Mandate, Principal
from emf_manager.nodesets import fold_nodes
from emf_manager.plans import expressions as x
from emf_manager.plans.document import PlanFaultsError
from emf_manager.plans.values import Plan, PlanStep
from emf_manager.plans.yaml_tree import Fault, FaultsError
from emf_manager.views import CatalogueEntry, UnknownActionError

__all__ = ["STEP_OPTIONS", "check_plan"]

STEP_OPTIONS = frozenset(m.JobRequest.model_fields) - {"nodes", "exclude", "action", "args"}
"""What a step can ask for beside what every plan knows: whatever a job can."""
ANY_NODE = "*"
MOST_NODES_TOLD = 200
LONG_DOCUMENT = 8192


async def check_plan(
    manager: Service, caller: Principal, document: str, given: Mapping[str, JsonValue]
) -> tuple[Plan | None, tuple[Fault, ...]]:
    """Return the plan, as far as it can be read, and everything that is wrong with it."""
    faults: list[Fault] = []
    plan: Plan | None
    try:
        plan = await read(manager, document, given)
    except PlanFaultsError as error:
        plan, faults = error.readable, list(error.faults)
    except FaultsError as error:
        return None, error.faults
    if plan is None:
        return None, tuple(faults)
    wrong = {fault.where for fault in faults}
    checker = Checker(manager, caller, await manager.engine.catalogue())
    for job in plan.jobs.values():
        for step in job.steps:
            if not any(where.startswith(step.where) for where in wrong):
                faults += await checker.faults(step)
    return plan, tuple(sorted(set(faults)))


async def read(manager: Service, document: str, given: Mapping[str, JsonValue]) -> Plan:
    """Read a document; a long one in a thread, so that it holds up nobody."""
    if len(document) < LONG_DOCUMENT:
        return manager.plans.read_document(document, given)
    return await anyio.to_thread.run_sync(manager.plans.read_document, document, given)


class Checker:
    """Checks steps against the fleet as it is now."""

    def __init__(
        self, manager: Service, caller: Principal, catalogue: tuple[CatalogueEntry, ...]
    ) -> None:
        self._manager = manager
        self._caller = caller
        self._actions = {entry.name: entry for entry in catalogue}
        self._described = frozenset(node for entry in catalogue for node in entry.nodes)
        self._targets: dict[str, tuple[str, ...] | ProblemError] = {}

    async def faults(self, step: PlanStep) -> list[Fault]:
        """Return what is wrong with a step; what only its run will tell is left to that."""
        request, faults = self._request(step)
        if request is None:
            return faults
        nodes: tuple[str, ...] | None = None
        if x.is_known(step.nodes) and (step.exclude is None or x.is_known(step.exclude)):
            found = await self._targeted(request)
            if isinstance(found, ProblemError):
                fault = fault_at(step, "nodes", found.detail, found.suggestions)
                none = found.kind == "no-node-matched"
                return [replace(fault, kind="no-node-matched" if none else "invalid")]
            nodes = found
        faults += self._action_faults(step, nodes)
        if nodes is not None and not faults:
            faults += await self._mandate_faults(step, nodes)
        return faults

    def _request(self, step: PlanStep) -> tuple[m.JobRequest | None, list[Fault]]:
        """Return a step as the API's own request, whose checks are ours."""
        members: dict[str, JsonValue] = {"action": step.action, "nodes": ANY_NODE, **step.options}
        for name, template in (("nodes", step.nodes), ("exclude", step.exclude)):
            if template is not None and x.is_known(template):
                members[name] = joined(x.known_part(template, None))
        try:
            return m.JobRequest.model_validate_json(json.dumps(members)), []
        except ValidationError as error:
            return None, [option_fault(step, each) for each in error.errors()]

    async def _targeted(self, request: m.JobRequest) -> tuple[str, ...] | ProblemError:
        key = request.model_dump_json(include={"nodes", "exclude", "facts"})
        if key not in self._targets:
            try:
                self._targets[key] = await targeted(
                    self._manager, request.nodes, request.exclude, request.facts
                )
            except ProblemError as problem:
                self._targets[key] = problem
        return self._targets[key]

    def _action_faults(self, step: PlanStep, nodes: tuple[str, ...] | None) -> list[Fault]:
        entry = self._actions.get(step.action)
        known = self._described if nodes is None else self._described.intersection(nodes)
        having = frozenset() if entry is None else frozenset(entry.nodes)
        without = known - having
        if known and (without if nodes is not None else entry is None):
            names = [n for n, e in self._actions.items() if known.intersection(e.nodes)]
            close = tuple(difflib.get_close_matches(step.action, sorted(names), n=3, cutoff=0.6))
            shown = fold_nodes(without)[:MOST_NODES_TOLD]
            why = str(UnknownActionError(step.action, shown if nodes else "the fleet", close))
            return [fault_at(step, "action", why, close)]
        if entry is None:
            return []
        return [
            fault_at(step, error.field, f"expected {error.expected}, got {error.got}")
            for variant in entry.variants
            if nodes is None or not known.isdisjoint(variant.nodes)
            for error in step_argument_faults(variant.description, step.args)
        ]

    async def _mandate_faults(self, step: PlanStep, nodes: tuple[str, ...]) -> list[Fault]:
        unknown = set(unknown_names(step.args, []))
        blank = any(name is None for name in unknown)
        mandates = tuple(
            Mandate(
                one.nodes,
                one.actions,
                {} if blank else {k: v for k, v in one.args.items() if k not in unknown},
            )
            for one in self._caller.mandates
        )
        caller = Principal(self._caller.user, self._caller.role, self._caller.token_id, mandates)
        try:
            args = x.known_part(step.args, None)
            await allow(self._manager, caller, step.action, args, nodes)
        except ProblemError as refusal:
            return [replace(fault_at(step, "action", refusal.detail), kind="forbidden")]
        return []


def step_argument_faults(described: ActionDescription, args: x.Template) -> list[Any]:
    """Return what is wrong with arguments as far as they are known."""
    schema = described.args_schema
    places = schema.get("x-positional")
    unknown = set(unknown_names(args, places if isinstance(places, list) else []))
    if None in unknown:
        return []
    properties = {**schema.get("properties", {}), **{name: {} for name in unknown}}
    loose = {**schema, "properties": properties} if unknown else schema
    open_ = described.model_copy(update={"args_schema": loose})
    return list(argument_faults(open_, x.known_part(args, None)))


def unknown_names(args: x.Template, places: list[str]) -> Iterator[str | None]:
    """Yield the arguments whose value only the run will tell; None where that is all of them."""
    match args:
        case x.ToNamed(members):
            yield from (name for name, value in members.items() if not x.is_known(value))
        case x.Several(items):
            for place, value in enumerate(items):
                if not x.is_known(value):
                    yield places[place] if place < len(places) else None
        case x.Ref() | x.Joined():
            yield None
        case x.Known():
            pass


def fault_at(step: PlanStep, member: str, why: str, suggestions: tuple[str, ...] = ()) -> Fault:
    where = f"{step.where}.{member}"
    return Fault(step.mark(member), where, f"{where}: {why}", suggestions)


def option_fault(step: PlanStep, error: Mapping[str, Any]) -> Fault:
    told = field_fault(error)
    member = str(error["loc"][0]).removesuffix("_s") if error["loc"] else ""
    return fault_at(step, member, f"expected {told.expected}, got {told.got}")


def joined(value: JsonValue) -> JsonValue:
    """Return a list of names as the node set that it is."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(map(str, value))
    return value
