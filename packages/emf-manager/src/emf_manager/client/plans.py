"""``emf apply`` and ``emf plan``: run a document of jobs that need each other, and see to it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from emf_agent.errors import EmfError, ManagerUnreachableError, UsageError
from emf_manager.client.output import hint, one_line, say_json, say_jsonl, table
from emf_manager.client.plan_view import (
    counts_text,
    exit_code,
    fault_exit_code,
    fault_lines,
    graph_lines,
    step_line,
)
from emf_manager.client.program import INTERRUPTED, Group, as_json, explains, talks

if TYPE_CHECKING:
    from emf_manager.client.door import Door

__all__ = ["apply", "plan"]

MOST_BYTES = 256 * 1024


class DocumentFaultsError(EmfError):
    """A document cannot run; the message has a line for each reason."""

    def __init__(self, faults: list[dict[str, Any]], source: str) -> None:
        super().__init__("\n".join(fault_lines(faults, source)))
        self.exit_code = fault_exit_code(faults)


as_jsonl = click.option("--jsonl", is_flag=True, help="One JSON line for each change of a step.")


@click.command()
@click.argument("path", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("-e", "--var", "given", metavar="NAME=VALUE", multiple=True, help="Set a variable.")
@click.option("--check", is_flag=True, help="Only tell what is wrong with it, or what it would do.")
@click.option("--detach", is_flag=True, help="Print the plan's id and do not wait.")
@as_json
@as_jsonl
@click.pass_context
def apply(
    ctx: click.Context,
    path: Path,
    given: tuple[str, ...],
    *,
    check: bool,
    detach: bool,
    json_out: bool,
    jsonl: bool,
) -> None:
    """Run the plan in the file PLAN and follow it to its end.

    Everything that is wrong with it is told before anything runs. VALUE is JSON, or else a text.
    """
    reporter = reporter_for(json_out=json_out, jsonl=jsonl)
    request = {"document": read_document(path), "vars": dict(map(read_variable, given))}
    if check or not explains():
        checked = check_document(request)
        if check and json_out:
            say_json(checked)
            ctx.exit(fault_exit_code(checked["faults"]) if checked["faults"] else 0)
        if checked["faults"]:
            raise DocumentFaultsError(checked["faults"], str(path))
        if check:
            for line in graph_lines(checked["jobs"], checked["graph"]):
                click.echo(line)
            hint("nothing is wrong with it")
            return
    started = start(request)
    if detach:
        if json_out or jsonl:
            say_json(started)
        else:
            click.echo(started["id"])
            hint(f"follow it with: emf plan tail {started['id']}")
        return
    watch(ctx, started["id"], reporter)


@click.group(cls=Group)
def plan() -> None:
    """Look at plans, follow them, cancel and resume them."""


@plan.command("list")
@click.option("--user", help="Only plans of this user.")
@click.option("--state", help="Only plans in this state, such as running or failed.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@as_json
@talks
async def list_plans(
    door: Door, user: str | None, state: str | None, limit: int, *, json_out: bool
) -> None:
    """List plans, the newest first."""
    wanted = {"user": user, "state": state}
    found = [each async for each in door.pages("plans", wanted, limit=limit)]
    if json_out:
        say_json(found)
        return
    table(
        ["plan", "created", "user", "name", "state", "steps", "ok", "not ok"],
        (plan_row(each) for each in found),
    )


@plan.command("show")
@click.argument("plan_id", metavar="PLAN")
@as_json
@talks
async def show_plan(door: Door, plan_id: str, *, json_out: bool) -> None:
    """Show one plan as a graph: its jobs, what they need, and how each step stands."""
    found = await door.get(path_of(plan_id))
    if json_out:
        say_json(found)
        return
    tell(found)


@plan.command("cancel")
@click.argument("plan_id", metavar="PLAN")
@as_json
@talks
async def cancel_plan(door: Door, plan_id: str, *, json_out: bool) -> None:
    """Start nothing more of a plan, and ask what runs to stop."""
    found = await door.post(f"{path_of(plan_id)}/cancel", None)
    if json_out:
        say_json(found)
    elif found["state"] == "running":
        hint(f"what runs is asked to stop; see: emf plan tail {plan_id}")
    else:
        hint(f"it is {found['state']}")


@plan.command("resume")
@click.argument("plan_id", metavar="PLAN")
@click.option("--detach", is_flag=True, help="Do not wait.")
@as_json
@as_jsonl
@click.pass_context
def resume_plan(
    ctx: click.Context, plan_id: str, *, detach: bool, json_out: bool, jsonl: bool
) -> None:
    """Run again what did not succeed, with the outputs of what did, and follow it to its end."""
    reporter = reporter_for(json_out=json_out, jsonl=jsonl)
    request_resume(plan_id)
    if not detach:
        watch(ctx, plan_id, reporter)


@plan.command("tail")
@click.argument("plan_id", metavar="PLAN")
@as_json
@as_jsonl
@click.pass_context
def tail_plan(ctx: click.Context, plan_id: str, *, json_out: bool, jsonl: bool) -> None:
    """Follow a plan to its end, as 'emf apply' does."""
    watch(ctx, plan_id, reporter_for(json_out=json_out, jsonl=jsonl))


class Reporter:
    """Is shown the plan after each change, and once more when the watching ends."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], tuple[Any, ...]] = {}

    def show(self, found: dict[str, Any]) -> None:
        """Tell the steps that are not as they were."""
        for job in found["jobs"]:
            for step in job["steps"]:
                key = (job["name"], step["id"])
                now = (step["state"], step["attempt"], step["job_id"])
                if step["state"] != "pending" and self._told.get(key) != now:
                    self._told[key] = now
                    self.step({"plan": found["id"], "plan_job": job["name"], **step})

    def step(self, step: dict[str, Any]) -> None:
        """Tell one step."""
        hint(step_line(step["plan_job"], step))

    def end(self, found: dict[str, Any]) -> None:
        """Tell how it ended, or where it was left."""
        tell(found)


class JsonDocument(Reporter):
    """One document at the end."""

    def step(self, step: dict[str, Any]) -> None:
        """Say nothing."""

    def end(self, found: dict[str, Any]) -> None:
        """Print the plan."""
        say_json(found)


class JsonLines(Reporter):
    """One line for each change of a step, and one with the counts at the end."""

    def step(self, step: dict[str, Any]) -> None:
        """Print the step."""
        say_jsonl(step)

    def end(self, found: dict[str, Any]) -> None:
        """Print how the plan stands."""
        members = ("state", "reason", "counts")
        say_jsonl({"plan": found["id"], **{name: found[name] for name in members}})


def reporter_for(*, json_out: bool, jsonl: bool) -> Reporter:
    if json_out and jsonl:
        raise UsageError("--json and --jsonl are two forms of one answer; choose one")
    if json_out:
        return JsonDocument()
    return JsonLines() if jsonl else Reporter()


def tell(found: dict[str, Any]) -> None:
    """Print a plan for people: the graph, and the sum of its steps."""
    for line in graph_lines(found["jobs"], found["graph"]):
        click.echo(line)
    why = f" ({one_line(found['reason'])})" if found["reason"] else ""
    click.echo(f"{one_line(found['name'])}: {found['state']}{why}: {counts_text(found['counts'])}")


def watch(ctx: click.Context, plan_id: str, reporter: Reporter) -> None:
    """Follow a plan to its end, and leave with the exit code it amounts to."""
    try:
        found = follow_to_end(plan_id, reporter)
    except KeyboardInterrupt:
        hint(f"\nthe plan goes on; follow it with: emf plan tail {plan_id}")
        hint(f"stop it with: emf plan cancel {plan_id}")
        ctx.exit(INTERRUPTED)
    except ManagerUnreachableError:
        hint(f"the plan goes on; follow it with: emf plan tail {plan_id}")
        raise
    ctx.exit(exit_code(found))


@talks
async def follow_to_end(door: Door, plan_id: str, reporter: Reporter) -> Any:
    found: Any = None
    async with aclosing(follow_plan(door, plan_id)) as looks:
        async for found in looks:
            reporter.show(found)
    reporter.end(found)
    return found


async def follow_plan(door: Door, plan_id: str) -> AsyncGenerator[Any, None]:
    """Yield a plan now and after each event of it, until it has ended."""
    from emf_manager.client.follow import follow_events

    found = await door.get(path_of(plan_id))
    yield found
    if found["state"] != "running":
        return
    async with aclosing(follow_events(door, {"plan": plan_id}, after=found["event"])) as events:
        async for _ in events:
            found = await door.get(path_of(plan_id))
            yield found
            if found["state"] != "running":
                return


@talks
async def check_document(door: Door, request: dict[str, Any]) -> Any:
    return await door.inquire("plans/check", request)


@talks
async def start(door: Door, request: dict[str, Any]) -> Any:
    return await door.post("plans", request)


@talks
async def request_resume(door: Door, plan_id: str) -> None:
    await door.post(f"{path_of(plan_id)}/resume", None)


def read_document(path: Path) -> str:
    """Return the text of a file.

    Raises:
        UsageError: it cannot be read, is too large, or no UTF-8; then with the line.

    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{path}: larger than {MOST_BYTES // 1024} KiB, which no plan may be")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not UTF-8: byte 0x{raw[error.start]:02x}") from error


def read_variable(text: str) -> tuple[str, Any]:
    """Return a variable's name and value; what is no JSON is a text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"-e takes NAME=VALUE, not {text[:80]!r}")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def plan_row(found: dict[str, Any]) -> list[Any]:
    counts = found["counts"]
    not_well = counts["failed"] + counts["cancelled"] + counts["skipped"]
    return [
        found["id"],
        found["created"],
        found["user"],
        found["name"],
        found["state"],
        counts["steps"],
        counts["succeeded"],
        not_well,
    ]


def path_of(plan_id: str) -> str:
    return f"plans/{quote(plan_id, safe='')}"
