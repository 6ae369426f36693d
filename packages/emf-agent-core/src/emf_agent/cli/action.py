"""``emf-agent action``: list the actions of this node, and run one without a manager."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click
from pydantic import JsonValue

from emf_agent.action_call import ActionCall, Verdict
from emf_agent.cli.loading import load_registry, not_here
from emf_agent.cli.options import node_options
from emf_agent.command import Surroundings, choose_containment
from emf_agent.detached import ActionFolder, perform
from emf_agent.errors import RefusedError, UsageError
from emf_agent.logs import configure_logging
from emf_agent.plugin import ActionContext, ArgumentsError, Progress
from emf_agent.policy import permit
from emf_agent.registry import RegisteredAction
from emf_agent.settings import load_settings
from emf_agent.wire import Err, Ok

__all__ = ["command"]


@click.group("action")
def command() -> None:
    """Run and list actions on this node."""


@command.command("list")
@node_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_actions(config: Path | None, state_dir: Path | None, *, as_json: bool) -> None:
    """List every action, with its one-line help."""
    actions, _ = load_registry(load_settings(config, state_dir)).catalogue()
    if as_json:
        shown = [
            {
                "name": one.name,
                "plugin": one.plugin,
                "summary": one.summary,
                "args_schema": one.args_schema,
                "result_schema": one.result_schema,
            }
            for one in actions
        ]
        click.echo(json.dumps(shown, indent=2))
        return
    width = max((len(one.name) for one in actions), default=0)
    for one in actions:
        click.echo(f"{one.name:<{width}}  {one.summary}")


@command.command("run")
@node_options
@click.argument("name")
@click.argument("args_json", required=False)
@click.option("--dry-run", is_flag=True, help="Say what would be done, change nothing.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), metavar="S")
def run_action(
    config: Path | None,
    state_dir: Path | None,
    name: str,
    args_json: str | None,
    timeout_s: float | None,
    *,
    dry_run: bool,
) -> None:
    """Run one action here; prints {"Ok": …} or {"Err": …}.

    ARGS_JSON is one value, an array in the order of the parameters, or an object by name.
    """
    settings = load_settings(config, state_dir)
    registry = load_registry(settings)
    if name not in registry.actions:
        raise not_here("action", name, registry.actions)
    action = registry.actions[name].action
    args = parsed(args_json)
    unknown = action.unknown_names(args)
    if unknown:
        raise UsageError(f"{name} has no parameter {', '.join(unknown)}")
    refusal = permit(settings.policy, registry)(name, args)
    if refusal is not None:
        raise RefusedError(refusal)
    if dry_run and not action.dry_run:
        raise RefusedError(f"{name} cannot be tried without doing it (no dry run)")
    wait_s = timeout_s or action.timeout_s or settings.actions.default_timeout_s
    result: Ok | Err
    try:
        bound = action.bind(args)
        verdict = anyio.run(partial(call, registry.actions[name], bound, wait_s, dry_run=dry_run))
        result = verdict.result
    except ArgumentsError as error:
        result = Err(text=str(error))
    except TimeoutError:
        result = Err(text=f"timed out after {wait_s:g} s")
    click.echo(result.model_dump_json())
    if isinstance(result, Err):
        sys.exit(1)


@command.command("perform", hidden=True)
@node_options
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def perform_order(config: Path | None, state_dir: Path | None, folder: Path) -> None:
    """Carry out the order that the agent left in FOLDER: what a long action's unit runs."""
    place = ActionFolder(folder)
    order = place.order()
    os.environ.update(order.environment)
    settings = load_settings(config, state_dir)
    configure_logging(settings.log.level, settings.log.format)
    registry = load_registry(settings)
    with Surroundings(containment=choose_containment()).entered():
        verdict = anyio.run(perform, place, order, registry)
    if isinstance(verdict.result, Err):
        sys.exit(1)


def parsed(args_json: str | None) -> JsonValue:
    """Return the arguments; absent means none."""
    if args_json is None:
        return None
    try:
        value: JsonValue = json.loads(args_json)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"ARGS_JSON is not JSON at column {error.colno}: {error.msg}; "
            f"a text needs its quotes: '\"{args_json[:40]}\"'"
        ) from error
    return value


async def call(
    registered: RegisteredAction, bound: dict[str, Any], timeout_s: float, *, dry_run: bool
) -> Verdict:
    """Call it as the agent does, with progress on standard error."""
    with anyio.fail_after(timeout_s) as scope:
        context = ActionContext(dry_run=dry_run, deadline=scope.deadline, report=show)
        return await ActionCall(registered).verdict(bound, context)


def show(progress: Progress) -> None:
    """Print a report of the running action."""
    for line in progress.log:
        click.echo(line, err=True)
    if progress.fraction is not None or progress.message:
        percent = "" if progress.fraction is None else f"{progress.fraction:4.0%} "
        click.echo(f"{percent}{progress.message or ''}".rstrip(), err=True)
