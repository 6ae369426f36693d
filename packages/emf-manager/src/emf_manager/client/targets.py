"""``emf targets``: what a job would go to, in which batch, and why each other node is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from emf_manager.client.choices import by_facts, going, rolling
from emf_manager.client.output import hint, one_line, say_json, table
from emf_manager.client.program import as_json, excluded, talks, to_run
from emf_manager.nodesets import fold_nodes

if TYPE_CHECKING:
    from emf_manager.client.door import Door

__all__ = ["targets"]

NO_NODE_MATCHED = 4


@click.command()
@to_run
@excluded
@by_facts
@click.option("--action", help="Leave out who does not have this action.")
@rolling
@click.option("--facts", "show_facts", is_flag=True, help="Show every fact of the nodes.")
@as_json
@click.pass_context
def targets(
    ctx: click.Context,
    /,
    nodes: str,
    exclude: str | None,
    facts: tuple[str, ...],
    action: str | None,
    *,
    show_facts: bool,
    json_out: bool,
    **flags: Any,
) -> None:
    """Show what a job on NODESET would go to; nothing is run."""
    request = {
        "nodes": nodes,
        "exclude": exclude,
        "facts": list(facts),
        "action": action,
        "show_facts": show_facts,
        **going(flags),
    }
    answer = ask_targets(request)
    if json_out:
        say_json(answer)
    elif show_facts:
        table(["node", "fact", "value"], fact_rows(answer["matched"]))
    else:
        tell(answer)
    if not answer["matched"]:
        ctx.exit(NO_NODE_MATCHED)


@talks
async def ask_targets(door: Door, request: dict[str, Any]) -> Any:
    return await door.inquire("targets", request)


def tell(answer: dict[str, Any]) -> None:
    """Print nodes folded: by batch and state, then by the reason for which they are left out."""
    by_batch: dict[tuple[int, str], list[str]] = {}
    for one in answer["matched"]:
        by_batch.setdefault((one["batch"], one["state"]), []).append(one["node"])
    by_reason: dict[str, list[str]] = {}
    for one in answer["left_out"]:
        by_reason.setdefault(one["reason"], []).append(one["node"])
    for (batch, state), names in sorted(by_batch.items()):
        place = f"batch {batch}: " if answer["batches"] > 1 else ""
        click.echo(f"{place}{fold_nodes(names)}: {state}")
    for reason, names in sorted(by_reason.items(), key=lambda each: (-len(each[1]), each[0])):
        click.echo(f"left out: {fold_nodes(names)}: {one_line(reason)}")
    matched, out = len(answer["matched"]), len(answer["left_out"])
    hint(f"{matched + out} nodes = {matched} match + {out} left out")


def fact_rows(matched: list[dict[str, Any]]) -> list[list[Any]]:
    return [
        [one["node"], name, ", ".join(map(str, fact)) if isinstance(fact, list) else fact]
        for one in matched
        for name, fact in one["facts"].items()
    ]
