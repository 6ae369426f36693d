"""A plan as people read it: its graph as text, a line a step, and the exit code it amounts to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emf_manager.client.output import coloured, one_line, tidy

__all__ = ["counts_text", "exit_code", "fault_exit_code", "fault_lines", "graph_lines", "step_line"]

EXIT_CODES = {"running": 124, "succeeded": 0, "failed": 1, "cancelled": 1, "timed_out": 124}
FAULT_CODES = {"forbidden": 5, "no-node-matched": 4}
USAGE = 2


def exit_code(plan: Mapping[str, Any]) -> int:
    """Return the code of the conventions for how a plan ended, or for where it was left."""
    return EXIT_CODES.get(str(plan["state"]), 1)


def fault_exit_code(faults: list[dict[str, Any]]) -> int:
    """Return the code for a document that cannot run: 4 and 5 only where nothing else is wrong."""
    kinds = {str(each["kind"]) for each in faults}
    return FAULT_CODES.get(kinds.pop(), USAGE) if len(kinds) == 1 else USAGE


def fault_lines(faults: list[dict[str, Any]], source: str) -> Iterator[str]:
    """Yield ``file:line: what is wrong``, as compilers do."""
    for each in faults:
        yield tidy(f"{source}:{each['line']}: {each['message']}")


def graph_lines(jobs: list[dict[str, Any]], graph: Mapping[str, Any]) -> Iterator[str]:
    """Yield the graph: a heading for each layer, its jobs with what they need, their steps."""
    by_name = {job["name"]: job for job in jobs}
    layer = -1
    for node in graph["nodes"]:
        job = by_name[node["job"]]
        if node["layer"] != layer:
            layer = node["layer"]
            if layer:
                yield "   │"
                yield "   ▼"
        needs = f"  ◄─ {', '.join(job['needs'])}" if job["needs"] else ""
        yield f"┌─ {job['name']}: {coloured(job['state'])}{needs}"
        for place, step in enumerate(job["steps"]):
            corner = "└─" if place == len(job["steps"]) - 1 else "├─"
            yield f"{corner} {step_text(step)}"


def step_line(job: str, step: Mapping[str, Any]) -> str:
    """Return what is known of one step, with the job it is in."""
    return f"{job}.{step_text(step)}"


def step_text(step: Mapping[str, Any]) -> str:
    parts = [f"{step['id']}: {coloured(step['state'])}", one_line(step["action"])]
    if counts := step["counts"]:
        parts.append(f"{counts['succeeded']}/{counts['targeted']} nodes")
    if step["job_id"]:
        parts.append(f"job {step['job_id']}")
    if step["reason"]:
        parts.append(one_line(step["reason"], width=200))
    return "  ".join(parts)


def counts_text(counts: Mapping[str, int]) -> str:
    """Return the counts as a sum: ``4 steps = 3 succeeded + 1 failed``."""
    parts = [f"{number} {name}" for name, number in counts.items() if name != "steps" and number]
    return f"{counts['steps']} steps = {' + '.join(parts) or '0'}"
