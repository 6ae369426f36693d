"""What in a plan points to what: needs without a circle, paths to steps that come before. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from emf_manager.plans import expressions as x
from emf_manager.plans.values import Plan, PlanJob, PlanStep
from emf_manager.plans.yaml_tree import Fault

__all__ = ["Output", "all_needs", "link_faults", "output_at", "paths_of"]


@dataclass(frozen=True)
class Output:
    """What a path leads to: something of one step of one job."""

    job: str
    step: str
    rest: x.Path
    """Below the step: ``result…``, ``ok``, ``nodes["name"].result…`` or ``outputs.name…``."""


def output_at(path: x.Path, job: str) -> Output:
    """Return what a path in a step of a job leads to.

    Raises:
        BadPathError: nothing that a path can lead to.

    """
    match path:
        case ("steps", str(step), *rest) if rest:
            return Output(job, step, tuple(rest))
        case ("jobs", str(other), "steps", str(step), *rest) if rest:
            return Output(other, step, tuple(rest))
    raise x.BadPathError(
        f"{x.path_text(path)} leads nowhere; write vars.NAME, steps.STEP.result or "
        "jobs.JOB.steps.STEP.result"
    )


def paths_of(step: PlanStep) -> Iterator[tuple[str, x.Path]]:
    """Yield every path in a step, with the member it stands in."""
    for member, template in (("args", step.args), ("nodes", step.nodes), ("exclude", step.exclude)):
        if template is not None:
            for path in x.references(template):
                yield member, path
    if isinstance(step.when, x.Ref):
        yield "when", step.when.path


def all_needs(jobs: Mapping[str, PlanJob], name: str) -> frozenset[str]:
    """Return every job that is over before this one starts."""
    found: set[str] = set()
    ahead = [name]
    while ahead:
        for need in jobs[ahead.pop()].needs:
            if need in jobs and need not in found:
                found.add(need)
                ahead.append(need)
    return frozenset(found)


def link_faults(plan: Plan) -> list[Fault]:
    """Return what is wrong between the parts of a plan."""
    faults = [fault for job in plan.jobs.values() for fault in need_faults(plan, job)]
    faults += circle_faults(plan.jobs)
    for job in plan.jobs.values():
        before = all_needs(plan.jobs, job.name)
        for place, step in enumerate(job.steps):
            for member, path in paths_of(step):
                why, near = path_fault(plan, job, place, path, before)
                if why:
                    where = f"{step.where}.{member}"
                    told = f"{where}: {x.path_text(path)}: {why}"
                    faults.append(Fault(step.mark(member), where, told, near))
            for name, rest in step.outputs.items():
                if why := rest_fault(step, rest, inside=True):
                    where = f"{step.where}.outputs.{name}"
                    faults.append(Fault(step.mark(f"outputs.{name}"), where, f"{where}: {why}"))
    return faults


def need_faults(plan: Plan, job: PlanJob) -> Iterator[Fault]:
    for need, mark in job.needs.items():
        if need not in plan.jobs:
            where = f"jobs.{job.name}.needs"
            near = tuple(difflib.get_close_matches(need[:64], list(plan.jobs), n=3, cutoff=0.6))
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            yield Fault(mark, where, f"{where}: there is no job {need[:64]!r}{hint}", near)


def circle_faults(jobs: Mapping[str, PlanJob]) -> Iterator[Fault]:
    """Yield each circle of needs once, named along its way."""
    told: set[str] = set()
    for name in jobs:
        if name in told or name not in all_needs(jobs, name):
            continue
        circle = shortest_circle(jobs, name)
        told |= {
            each for each in jobs if each in all_needs(jobs, name) and name in all_needs(jobs, each)
        }
        where = f"jobs.{name}.needs"
        way = " → ".join([*circle, circle[0]])
        mark = jobs[name].needs[circle[1] if len(circle) > 1 else name]
        yield Fault(mark, where, f"{where}: jobs need each other in a circle: {way}")


def shortest_circle(jobs: Mapping[str, PlanJob], name: str) -> Sequence[str]:
    ways: list[tuple[str, ...]] = [(name,)]
    seen: set[str] = set()
    for way in ways:
        for need in jobs[way[-1]].needs:
            if need == name:
                return way
            if need in jobs and need not in seen:
                seen.add(need)
                ways.append((*way, need))
    raise AssertionError("a job that is before itself is on a circle")


def path_fault(
    plan: Plan, job: PlanJob, place: int, path: x.Path, before: frozenset[str]
) -> tuple[str | None, tuple[str, ...]]:
    """Return why a path cannot have a value when its step starts, and what may have been meant."""
    try:
        output = output_at(path, job.name)
    except x.BadPathError as error:
        return str(error), ()
    if output.job not in plan.jobs:
        return unknown("job", output.job, list(plan.jobs))
    if output.job != job.name and output.job not in before:
        return f"job {job.name} does not need {output.job}; add it to needs", ()
    steps = plan.jobs[output.job].steps
    earlier = steps[:place] if output.job == job.name else steps
    step = next((each for each in earlier if each.id == output.step), None)
    if step is None:
        if any(each.id == output.step for each in steps):
            return f"step {output.step} does not come before this one", ()
        return unknown("step", output.step, [each.id for each in earlier])
    return rest_fault(step, output.rest, inside=False), ()


def unknown(what: str, name: str, known: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    near = tuple(difflib.get_close_matches(name[:64], known, n=3, cutoff=0.6))
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no {what} {name[:64]!r} before this one{hint}", near


def rest_fault(step: PlanStep, rest: x.Path, *, inside: bool) -> str | None:
    """Return what is wrong below a step; ``inside`` it, an output cannot name another."""
    match rest:
        case ("result", *_) | ("ok",):
            return None
        case ("nodes", str(), "result", *_) | ("nodes", str(), "ok"):
            return None
        case ("outputs", str(name), *_) if not inside:
            if name in step.outputs:
                return None
            known = ", ".join(step.outputs) or "none"
            return f"step {step.id} has no output {name[:64]!r} (outputs: {known})"
    ways = 'result, ok, nodes["NAME"].result' + ("" if inside else ", outputs.NAME")
    return f"a step has {ways}; not {x.path_text(rest)}"
