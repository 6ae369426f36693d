"""What became of a step's job: how the step ended, and what later steps can have of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from emf_manager.nodesets import fold_nodes
from emf_manager.plan_records import PlanStepState
from emf_manager.plans import expressions as x
from emf_manager.views import JobView, TargetView

__all__ = ["StepResult", "find_output", "how_it_ended", "result_of"]

MOST_SHOWN = 300
GOOD = "ok"


@dataclass(frozen=True)
class StepResult:
    """What later steps can have of a step."""

    step: str
    state: PlanStepState
    values: Mapping[str, JsonValue]
    """By node, where it succeeded."""
    missing: Mapping[str, str]
    """By node, why there is no value."""


def how_it_ended(job: JobView) -> tuple[Literal["succeeded", "failed", "cancelled"], str | None]:
    """Return the state of a step whose job is done, and why where it did not succeed."""
    bad = [target for target in job.targets if target.outcome != GOOD]
    if not bad:
        return "succeeded", None
    groups: dict[str, list[TargetView]] = {}
    for target in bad:
        groups.setdefault(target.outcome or "unknown", []).append(target)
    telling = [target for target in bad if target.outcome != "cancelled"] or bad
    kind = telling[0].outcome or "unknown"
    nodes = fold_nodes([target.node for target in groups[kind]])
    why = said(telling[0])
    text = f"{kind.replace('_', ' ')} on {shortened(nodes)}{': ' + shortened(why) if why else ''}"
    others = len(bad) - len(groups[kind])
    if others:
        text += f", and {others} more did not succeed"
    return ("cancelled" if set(groups) == {"cancelled"} else "failed"), text


def result_of(step: str, state: PlanStepState, job: JobView | None) -> StepResult:
    """Return what a step has to give; of one that never started, nothing."""
    values: dict[str, JsonValue] = {}
    missing: dict[str, str] = {}
    for target in () if job is None else job.targets:
        if target.outcome != GOOD or not isinstance(target.result, dict):
            missing[target.node] = target.outcome or "not done"
        elif target.truncated:
            missing[target.node] = "too large, and was cut"
        else:
            values[target.node] = target.result.get("Ok")
    return StepResult(step, state, values, missing)


def find_output(result: StepResult, rest: x.Path, outputs: Mapping[str, x.Path]) -> JsonValue:
    """Return what a path below a step leads to.

    Raises:
        MissingError: nothing is there.

    """
    named = f"steps.{result.step}"
    match rest:
        case ("outputs", str(name), *further) if name in outputs:
            return x.dig(find_output(result, outputs[name], {}), further, f"{named}.outputs.{name}")
        case ("ok",):
            return result.state == "succeeded"
        case ("result", *further):
            return x.dig(common(result), further, f"{named}.result")
        case ("nodes", str(name), "ok"):
            return full_name(result, name) in result.values
        case ("nodes", str(name), "result", *further):
            node = full_name(result, name)
            if node not in result.values:
                raise x.MissingError(f"{named} has no result on {node}: {result.missing[node]}")
            return x.dig(result.values[node], further, f'{named}.nodes["{node}"].result')
    raise x.MissingError(f"{named}.{x.path_text(rest)} leads nowhere")


def common(result: StepResult) -> JsonValue:
    """Return the value that all nodes gave which gave one."""
    if not result.values:
        told = sorted(set(result.missing.values()))
        why = f": {', '.join(told)}" if told else f": it was {result.state}"
        raise x.MissingError(f"steps.{result.step} has no result{why}")
    texts = {json.dumps(value, sort_keys=True) for value in result.values.values()}
    if len(texts) > 1:
        first = min(result.values)
        raise x.MissingError(
            f"steps.{result.step}.result differs between nodes; name one, such as "
            f'steps.{result.step}.nodes["{first}"].result'
        )
    return next(iter(result.values.values()))


def full_name(result: StepResult, name: str) -> str:
    nodes = [*result.values, *result.missing]
    if name in nodes:
        return name
    short = [node for node in nodes if node.partition(".")[0] == name]
    if len(short) != 1:
        raise x.MissingError(f"steps.{result.step} did not run on a node {name[:80]!r}")
    return short[0]


def said(target: TargetView) -> str:
    if isinstance(target.result, dict) and isinstance(target.result.get("Err"), str):
        return str(target.result["Err"])
    return target.reason or ""


def shortened(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"
