"""``emf run`` and ``emf job``: start an action on many nodes, and see what became of it."""

from __future__ import annotations

import json
import re
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio
import click

from emf_agent.errors import ManagerUnreachableError, UsageError
from emf_manager.client.choices import MOST, by_facts, going, in_steps, rolling
from emf_manager.client.durations import Seconds
from emf_manager.client.job_view import JobView
from emf_manager.client.output import hint, one_line, say_json, table
from emf_manager.client.program import INTERRUPTED, Group, as_json, excluded, talks, to_run
from emf_manager.client.report import ForPeople, JsonDocument, JsonLines, Reporter, tell_job

if TYPE_CHECKING:
    from emf_manager.client.door import Door

__all__ = ["job", "run"]

GRACE_S = 5.0
"""For the last reports to come in, beyond the deadline that the nodes keep."""
BARE_WORD = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@:+-]*")
"""An argument that is plainly one text, such as ``lnet.service``, needs no quotes."""

seconds = Seconds(min=0, min_open=True, max=366 * 86400)
following = click.option(
    "--follow", is_flag=True, help="Show what the actions log as it comes, by node."
)


@click.command()
@to_run
@click.argument("action")
@click.argument("args_json", required=False)
@excluded
@by_facts
@rolling
@click.option("--expect", type=click.IntRange(1, MOST), help="Refuse unless so many nodes match.")
@click.option("--timeout", "timeout_s", type=seconds, help="How long it may take: 30s, 5m.")
@click.option("--expires", "expires_s", type=seconds, help="How long a node may wait: 30s, 1h.")
@click.option("--deadline", "deadline_s", type=seconds, help="Start nothing later than this: 2h.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--detach", is_flag=True, help="Print the job's id and do not wait.")
@following
@as_json
@click.option("--jsonl", is_flag=True, help="One JSON line for each outcome as it comes.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    nodes: str,
    action: str,
    args_json: str | None,
    exclude: str | None,
    facts: tuple[str, ...],
    expect: int | None,
    timeout_s: float | None,
    expires_s: float | None,
    deadline_s: float | None,
    *,
    dry_run: bool,
    detach: bool,
    follow: bool,
    json_out: bool,
    jsonl: bool,
    **flags: Any,
) -> None:
    """Run ACTION on the nodes of NODESET and wait for the outcomes.

    ARGS_JSON is one JSON value: an object by name, an array by place; a single word needs no
    quotes. @FILE reads it from a file, - from standard input.
    """
    if detach and follow:
        raise UsageError("--detach does not wait and --follow does; choose one")
    reporter = reporter_for(json_out=json_out, jsonl=jsonl, follow=follow)
    request = {
        "nodes": nodes,
        "exclude": exclude,
        "facts": list(facts),
        "expect": expect,
        "deadline_s": deadline_s,
        **going(flags),
        "action": action,
        "args": read_args(args_json),
        "timeout_s": timeout_s,
        "expires_s": expires_s if expires_s is not None else timeout_s,
        "dry_run": dry_run,
    }
    started = start(request)
    if detach:
        if json_out or jsonl:
            say_json(started)
        else:
            click.echo(started["id"])
            hint(f"follow it with: emf job tail {started['id']}")
        return
    wait_s = None if timeout_s is None else timeout_s + GRACE_S
    if wait_s is not None and in_steps(flags):
        wait_s = None if deadline_s is None else deadline_s + wait_s
    watch(ctx, started["id"], reporter, wait_s)


@click.group(cls=Group)
def job() -> None:
    """Look at jobs, follow them, cancel them."""


@job.command("list")
@click.option("--user", help="Only jobs of this user.")
@click.option("--state", type=click.Choice(["running", "done"]), help="Only jobs in this state.")
@click.option("--action", help="Only jobs of this action.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@as_json
@talks
async def list_jobs(
    door: Door,
    user: str | None,
    state: str | None,
    action: str | None,
    limit: int,
    *,
    json_out: bool,
) -> None:
    """List jobs, the newest first."""
    params = {"user": user, "state": state, "action": action}
    found = [each async for each in door.pages("jobs", params, limit=limit)]
    if json_out:
        say_json(found)
        return
    table(
        ["job", "created", "user", "action", "state", "nodes", "ok", "not ok"],
        (job_row(each) for each in found),
    )


@job.command("show")
@click.argument("job_id", metavar="JOB")
@as_json
@talks
async def show_job(door: Door, job_id: str, *, json_out: bool) -> None:
    """Show one job with the outcome on every node."""
    found = await door.get(path_of(job_id))
    if json_out:
        say_json(found)
        return
    for key in ("id", "action", "user", "created", "state", "dry_run"):
        click.echo(f"{key + ':':9}{one_line(found[key])}")
    click.echo(f"args:    {one_line(found['args'], width=200)}\n")
    tell_job(JobView.from_json(found))


@job.command("cancel")
@click.argument("job_id", metavar="JOB")
@as_json
@talks
async def cancel_job(door: Door, job_id: str, *, json_out: bool) -> None:
    """Ask the nodes to stop a job; each then says whether it could."""
    found = await door.post(f"{path_of(job_id)}/cancel", None)
    if json_out:
        say_json(found)
        return
    view = JobView.from_json(found)
    if view.done:
        hint("it was over already; nothing is left to cancel")
    else:
        first = {target.cancelled_by for target in view.open_targets} - {None}
        asked = f" (first by {', '.join(sorted(map(str, first)))})" if first else ""
        hint(f"{len(view.open_targets)} nodes are asked to stop{asked}; see: emf job tail {job_id}")


@job.command("tail")
@click.argument("job_id", metavar="JOB")
@as_json
@following
@click.option("--jsonl", is_flag=True, help="One JSON line for each outcome as it comes.")
@click.pass_context
def tail_job(ctx: click.Context, job_id: str, *, follow: bool, json_out: bool, jsonl: bool) -> None:
    """Follow a job to its end, as 'emf run' does."""
    watch(ctx, job_id, reporter_for(json_out=json_out, jsonl=jsonl, follow=follow), None)


@talks
async def start(door: Door, request: dict[str, Any]) -> Any:
    return await door.post("jobs", request)


def watch(ctx: click.Context, job_id: str, reporter: Reporter, wait_s: float | None) -> None:
    """Follow a job to its end or the deadline, and leave with the exit code it amounts to."""
    try:
        view = follow_to_end(job_id, reporter, wait_s)
    except KeyboardInterrupt:
        interrupted(job_id)
        ctx.exit(INTERRUPTED)
    except ManagerUnreachableError:
        hint(f"the job goes on; follow it with: emf job tail {job_id}")
        raise
    if not view.done:
        hint(f"not everything is done; follow it with: emf job tail {job_id}")
    ctx.exit(view.exit_code())


@talks
async def follow_to_end(
    door: Door, job_id: str, reporter: Reporter, wait_s: float | None
) -> JobView:
    from emf_manager.client.follow import follow_job

    view: JobView | None = None
    with reporter:
        with anyio.move_on_after(wait_s):
            async with aclosing(follow_job(door, job_id, reporter.hear)) as views:
                async for view in views:
                    reporter.show(view)
        if view is None:
            raise ManagerUnreachableError(door.url, "it did not say how the job stands in time")
        reporter.end(view)
    return view


def interrupted(job_id: str) -> None:
    """Ask whether to cancel; without an answer the job goes on."""
    hint("")
    if sys.stdin.isatty():
        try:
            wanted = click.confirm("Cancel the job on all nodes?", default=False, err=True)
        except click.Abort:
            wanted = False
        if wanted:
            request_cancel(job_id)
            hint(f"the nodes are asked to stop; see: emf job show {job_id}")
            return
    hint(
        f"the job goes on; follow it with: emf job tail {job_id}; "
        f"stop it with: emf job cancel {job_id}"
    )


@talks
async def request_cancel(door: Door, job_id: str) -> None:
    await door.post(f"{path_of(job_id)}/cancel", None)


def reporter_for(*, json_out: bool, jsonl: bool, follow: bool) -> Reporter:
    if json_out and jsonl:
        raise UsageError("--json and --jsonl are two forms of one answer; choose one")
    if json_out and follow:
        raise UsageError("--json is one document at the end; follow with --jsonl")
    if json_out:
        return JsonDocument()
    return JsonLines(follow=follow) if jsonl else ForPeople(follow=follow)


def read_args(text: str | None) -> Any:
    """Return the action's arguments from the command line.

    Raises:
        UsageError: the file cannot be read, or the text is not JSON.

    """
    if text is None:
        return None
    source = "ARGS_JSON"
    if text == "-":
        source, text = "standard input", sys.stdin.read()
    elif text.startswith("@"):
        source = text[1:]
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the arguments' file cannot be read: {error}") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if source == "ARGS_JSON" and BARE_WORD.fullmatch(text):
            return text
        raise UsageError(
            f"{source} is not JSON ({error}); texts need quotes of their own: '\"a b\"'"
        ) from error


def job_row(job: dict[str, Any]) -> list[Any]:
    counts = job["counts"]
    ended_well = counts["succeeded"]
    not_well = sum(
        counts[name]
        for name in ("failed", "cancelled", "timed_out", "refused", "expired", "unknown")
    )
    return [
        job["id"],
        job["created"],
        job["user"],
        job["action"],
        job["state"],
        counts["targeted"],
        ended_well,
        not_well,
    ]


def path_of(job_id: str) -> str:
    return f"jobs/{quote(job_id, safe='')}"
