"""From the text of a plan to its values: every fault at once, each with its line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, TypeVar

from pydantic import JsonValue

from emf_agent.errors import UsageError
from emf_manager.plans import expressions as x
from emf_manager.plans.links import link_faults
from emf_manager.plans.values import MAX_JOBS, MAX_STEPS, Plan, PlanJob, PlanStep, When
from emf_manager.plans.yaml_tree import (
    MAX_TEXT,
    Fault,
    FaultsError,
    Items,
    Mark,
    Members,
    Scalar,
    Tree,
    marks_below,
    plain,
    read_yaml,
)
from emf_manager.settings import parse_seconds

__all__ = ["PlanFaultsError", "read_plan"]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
MOST_TEXT = 255
MOST_FAULTS = 200
MOST_VARS = 200
MOST_PUT_IN = 4 * x.MOST_PUT_IN
"""What the variables in all steps together may come to."""
LONGEST_S = 366 * 86400.0
TOP = ("version", "name", "vars", "timeout", "jobs")
OF_JOBS = ("needs", "timeout", "steps", "nodes", "exclude")
OF_STEPS = (
    *("id", "name", "action", "args", "nodes", "exclude"),
    *("when", "continue_on_error", "outputs"),
)
MEANT = {
    "with": "args",
    "inputs": "args",
    "arguments": "args",
    "uses": "action",
    "run": "action",
    "if": "when",
    "depends_on": "needs",
    "targets": "nodes",
    "hosts": "nodes",
    "env": "vars",
    "variables": "vars",
}
"""What the same thing is called elsewhere."""
WHENS: tuple[Literal["success", "failure", "always"], ...] = ("success", "failure", "always")

K = TypeVar("K", str, int, bool)
KINDS: dict[type, str] = {str: "a text", int: "a whole number", bool: "true or false"}


class PlanFaultsError(FaultsError):
    """What is wrong with a plan; ``readable`` is the rest of it, which may have more faults."""

    def __init__(self, faults: list[Fault], readable: Plan | None) -> None:
        super().__init__(faults)
        self.readable = readable


def read_plan(text: str, *, options: Collection[str], given: Mapping[str, JsonValue]) -> Plan:
    """Return the plan in a text.

    ``options`` are the names of what a job can be asked for beside nodes, action and arguments;
    one that ends in ``_s`` is written without that, as a duration. ``given`` replaces variables.

    Raises:
        FaultsError: it is not the YAML we take.
        PlanFaultsError: with everything that can be told without knowing nodes and actions.

    """
    reader = Reader(options)
    plan = reader.plan(read_yaml(text), given)
    faults = list(reader.faults)
    if plan is not None:
        faults += link_faults(plan)
    if faults or plan is None:
        raise PlanFaultsError(faults, plan)
    return plan


class Reader:
    """Walks the tree, gathers faults, and leaves out what is wrong."""

    def __init__(self, options: Collection[str]) -> None:
        self.faults: list[Fault] = []
        self._options = {
            name.removesuffix("_s"): name for name in options if name not in {"nodes", "exclude"}
        }
        self._vars: Mapping[str, JsonValue] = {}
        self._variable = x.Bounded(self._look_up, MOST_PUT_IN)
        self._steps = 0
        self._shared = 0

    def fault(self, mark: Mark, where: str, message: str, *suggestions: str) -> None:
        told = f"{where}: {message}" if where else message
        self.faults.append(Fault(mark, where, told, suggestions))
        if len(self.faults) == MOST_FAULTS:
            raise FaultsError(self.faults)

    def plan(self, tree: Tree, given: Mapping[str, JsonValue]) -> Plan | None:
        top = self._members(tree, "", TOP, needed=("version", "jobs"))
        if top is None:
            return None
        version = top.members.get("version")
        if version is not None and repr(plain(version)) != "1":  # true equals 1, and is no version
            self.fault(version.mark, "version", "this manager reads version 1")
        name = self._text(top, "name", "") or "plan"
        timeout_s = self._duration(top, "timeout", "")
        self._vars = self._variables(top.members.get("vars"), given, top.mark)
        jobs = self._jobs(top.members.get("jobs"))
        return Plan(name, timeout_s, self._vars, jobs)

    # Variables

    def _variables(
        self, tree: Tree | None, given: Mapping[str, JsonValue], top: Mark
    ) -> Mapping[str, JsonValue]:
        found = None if tree is None else self._members(tree, "vars", None)
        if found is not None and len(found.members) > MOST_VARS:
            self.fault(found.mark, "vars", f"a plan may have {MOST_VARS} variables")
            found = None
        marks = {} if found is None else dict(found.keys)
        values = {} if found is None else {k: plain(v) for k, v in found.members.items()}
        for name in given:
            if name not in values:
                near = close(name, values)
                hint = did_you_mean(near) if near else "; the document has no such variable"
                self.fault(top, "vars", f"{name[:64]!r} was given{hint}", *near)
        values |= {name: value for name, value in given.items() if name in values}
        for name, value in values.items():
            self._name_fits(name, marks[name], f"vars.{name}", "a variable")
            if value is None:
                why = f"it has no value; give one with -e {name}=…"
                self.fault(marks[name], f"vars.{name}", why)
        return values

    def _settled(self, tree: Tree, where: str) -> x.Template:
        """Return a value with its paths compiled and its variables put in."""
        marks = dict(marks_below(tree, where))

        def complain(path: str, why: str) -> None:
            self.fault(marks.get(path, tree.mark), path, why)

        template = x.compile_template(plain(tree), complain, where)
        try:
            return x.settle(template, self._variable, "vars")
        except x.MissingError as error:
            self.fault(tree.mark, where, str(error))
            return x.Known(plain(tree))

    def _look_up(self, path: x.Path) -> JsonValue:
        if len(path) < 2:
            raise x.MissingError("write vars.NAME")
        name = str(path[1])
        if name not in self._vars:
            near = close(name, self._vars)
            raise x.MissingError(f"there is no variable {name[:64]!r}{did_you_mean(near)}")
        return x.dig(self._vars[name], path[2:], f"vars.{name}")

    def _value(self, tree: Tree, where: str) -> JsonValue:
        """Return a value that has to be known before anything runs."""
        template = self._settled(tree, where)
        if not x.is_known(template):
            self.fault(tree.mark, where, "only ${{ vars.… }} can stand here")
        return x.known_part(template, None)

    # Jobs

    def _jobs(self, tree: Tree | None) -> dict[str, PlanJob]:
        found = None if tree is None else self._members(tree, "jobs", None)
        if found is None:
            return {}
        if not found.members:
            self.fault(found.mark, "jobs", "there is no job")
        if len(found.members) > MAX_JOBS:
            self.fault(found.mark, "jobs", f"a plan may have {MAX_JOBS} jobs")
            return {}
        jobs = {}
        for name, body in found.members.items():
            self._name_fits(name, found.keys[name], f"jobs.{name}", "a job")
            jobs[name] = self._job(name, body, found.keys[name])
        if self._steps > MAX_STEPS:
            self.fault(found.mark, "jobs", f"a plan may have {MAX_STEPS} steps in all")
        return jobs

    def _job(self, name: str, tree: Tree, mark: Mark) -> PlanJob:
        where = f"jobs.{name}"
        known = (*OF_JOBS, *self._options)
        found = self._members(tree, where, known, needed=("steps",))
        if found is None:
            return PlanJob(name, {}, None, (), mark)
        steps = found.members.get("steps")
        bodies: tuple[Tree, ...] = ()
        if isinstance(steps, Items) and steps.items:
            bodies = steps.items
        elif steps is not None:
            self.fault(steps.mark, f"{where}.steps", "expected a list of at least one step")
        self._steps += len(bodies)
        defaults = {
            key: value
            for key, value in found.members.items()
            if key in known and key not in {"needs", "timeout", "steps"}
        }
        size = sum(x.weight(plain(tree), MAX_TEXT) for tree in defaults.values())
        self._shared += size * len(bodies)
        if self._shared > MAX_TEXT:
            why = "what its steps share comes to too much for so many of them"
            self.fault(found.mark, where, why)
            return PlanJob(name, {}, None, (), mark)
        read = [
            self._step(body, f"{where}.steps[{place}]", place, defaults)
            for place, body in enumerate(bodies[: MAX_STEPS + 1])
        ]
        return PlanJob(
            name=name,
            needs=self._needs(found, where),
            timeout_s=self._duration(found, "timeout", where),
            steps=tuple(self._unique([step for step in read if step is not None])),
            mark=mark,
        )

    def _needs(self, found: Members, where: str) -> dict[str, Mark]:
        tree = found.members.get("needs")
        if tree is None:
            return {}
        items = tree.items if isinstance(tree, Items) else (tree,)
        needs: dict[str, Mark] = {}
        for item in items:
            if isinstance(item, Scalar) and isinstance(item.value, str):
                needs[item.value] = item.mark
            else:
                self.fault(item.mark, f"{where}.needs", "expected the name of a job, or a list")
        return needs

    def _unique(self, steps: list[PlanStep]) -> Iterable[PlanStep]:
        seen: dict[str, PlanStep] = {}
        for step in steps:
            if step.id in seen:
                line = seen[step.id].mark("id").line
                why = f"the step of line {line} is called {step.id!r} too"
                self.fault(step.mark("id"), f"{step.where}.id", why)
            else:
                seen[step.id] = step
        return seen.values()

    # Steps

    def _step(
        self, tree: Tree, where: str, place: int, defaults: Mapping[str, Tree]
    ) -> PlanStep | None:
        found = self._members(tree, where, (*OF_STEPS, *self._options), needed=("action",))
        if found is None:
            return None
        merged = {**defaults, **found.members}
        nodes, exclude = merged.get("nodes"), merged.get("exclude")
        if nodes is None:
            self.fault(found.mark, where, "no nodes are named, here or at the job")
            nodes = Scalar("", found.mark)
        args = merged.get("args", Scalar(None, found.mark))
        marks = {"": found.mark, **found.keys}
        for key, value in merged.items():
            marks.update(marks_below(value, key))
        step_id = self._text(found, "id", where) or f"step{place + 1}"
        self._name_fits(step_id, marks.get("id", found.mark), f"{where}.id", "a step")
        return PlanStep(
            id=step_id,
            name=self._text(found, "name", where),
            action=self._text(found, "action", where) or "",
            args=self._settled(args, f"{where}.args"),
            nodes=self._settled(nodes, f"{where}.nodes"),
            exclude=None if exclude is None else self._settled(exclude, f"{where}.exclude"),
            when=self._when(found.members.get("when"), f"{where}.when"),
            continue_on_error=self._one(found, "continue_on_error", where, bool) or False,
            outputs=self._outputs(found.members.get("outputs"), f"{where}.outputs"),
            options=self._job_options(merged, where),
            written={"args": plain(args), "nodes": plain(nodes)},
            where=where,
            marks=marks,
        )

    def _job_options(self, merged: Mapping[str, Tree], where: str) -> dict[str, JsonValue]:
        options: dict[str, JsonValue] = {}
        for key, field in self._options.items():
            tree = merged.get(key)
            if tree is None:
                continue
            value = self._value(tree, f"{where}.{key}")
            if field.endswith("_s"):
                value = self._seconds(value, tree.mark, f"{where}.{key}")
            if value is not None:
                options[field] = value
        return options

    def _when(self, tree: Tree | None, where: str) -> When:
        if tree is None:
            return "success"
        value = plain(tree)
        for word in WHENS:
            if value == word:
                return word
        template = self._settled(tree, where)
        if isinstance(template, x.Ref):
            return template
        if isinstance(template, x.Known) and isinstance(template.value, bool):
            return "success" if template.value else "never"
        self.fault(tree.mark, where, f"expected {', '.join(WHENS)}, or one ${{{{ path }}}}")
        return "success"

    def _outputs(self, tree: Tree | None, where: str) -> dict[str, x.Path]:
        found = None if tree is None else self._members(tree, where, None)
        outputs: dict[str, x.Path] = {}
        for name, value in ({} if found is None else found.members).items():
            self._name_fits(name, value.mark, f"{where}.{name}", "an output")
            text = plain(value)
            if not isinstance(text, str):
                why = "expected a path below this step, such as result.version"
                self.fault(value.mark, f"{where}.{name}", why)
                continue
            inner = text.strip().removeprefix(x.MARK).removesuffix("}}")
            try:
                outputs[name] = x.read_path(inner)
            except x.BadPathError as error:
                self.fault(value.mark, f"{where}.{name}", str(error))
        return outputs

    # Single values

    def _members(
        self, tree: Tree, where: str, known: Collection[str] | None, needed: Collection[str] = ()
    ) -> Members | None:
        """Return a mapping whose keys are known; any keys where ``known`` is None."""
        if not isinstance(tree, Members):
            self.fault(tree.mark, where, "expected a mapping")
            return None
        for key, mark in tree.keys.items():
            if known is not None and key not in known:
                near = (MEANT[key],) if MEANT.get(key) in known else close(key, known)
                hint = did_you_mean(near) or f"; it may have {', '.join(sorted(known))}"
                self.fault(mark, join(where, key[:64]), f"there is no such key{hint}", *near)
        for key in needed:
            if key not in tree.members:
                self.fault(tree.mark, where, f"{key!r} is missing")
        return tree

    def _one(self, found: Members, key: str, where: str, kind: type[K]) -> K | None:
        tree = found.members.get(key)
        if tree is None:
            return None
        value = self._value(tree, join(where, key))
        if type(value) is kind:
            return value
        self.fault(tree.mark, join(where, key), f"expected {KINDS[kind]}")
        return None

    def _text(self, found: Members, key: str, where: str) -> str | None:
        text = self._one(found, key, where, str)
        if text is not None and not (0 < len(text) <= MOST_TEXT and text.isprintable()):
            why = f"expected 1 to {MOST_TEXT} printable characters"
            self.fault(found.members[key].mark, join(where, key), why)
            return None
        return text

    def _duration(self, found: Members, key: str, where: str) -> float | None:
        tree = found.members.get(key)
        if tree is None:
            return None
        return self._seconds(self._value(tree, join(where, key)), tree.mark, join(where, key))

    def _seconds(self, value: JsonValue, mark: Mark, where: str) -> float | None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        try:
            seconds = parse_seconds(value if isinstance(value, str) else "")
        except UsageError:
            seconds = 0.0
        if 0 < seconds <= LONGEST_S:
            return seconds
        self.fault(mark, where, "expected a duration above 0 and up to 366d: 30s, 15m, 1h")
        return None

    def _name_fits(self, name: str, mark: Mark, where: str, what: str) -> None:
        if NAME.fullmatch(name) is None:
            why = f"{what} is named with up to 64 letters, digits, _ and -, a letter or _ first"
            self.fault(mark, where, why)


def join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def close(name: str, known: Iterable[str]) -> tuple[str, ...]:
    return tuple(difflib.get_close_matches(name[:64], list(known), n=3, cutoff=0.6))


def did_you_mean(near: Collection[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""
