"""``emf action``: which actions the fleet has, and what they take and give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from emf_manager.client.output import one_line, say_json, table, tidy
from emf_manager.client.program import Group, as_json, talks

if TYPE_CHECKING:
    from emf_manager.client.door import Door

__all__ = ["action"]


@click.group(cls=Group)
def action() -> None:
    """Look at the actions that nodes offer."""


@action.command("list")
@click.argument("nodes", metavar="[NODESET]", required=False)
@as_json
@talks
async def list_actions(door: Door, nodes: str | None, *, json_out: bool) -> None:
    """List the actions of the catalogue, and on how many nodes they are."""
    found = [each async for each in door.pages("actions", {"nodes": nodes})]
    if json_out:
        say_json(found)
        return
    table(
        ["action", "nodes", "plugin", "summary"],
        ([each["name"], each["node_count"], each["plugin"], each["summary"]] for each in found),
    )


@action.command("show")
@click.argument("name", metavar="ACTION")
@as_json
@talks
async def show_action(door: Door, name: str, *, json_out: bool) -> None:
    """Show one action: arguments, result, and which nodes have it."""
    found = await door.get(f"actions/{quote(name, safe='')}")
    if json_out:
        say_json(found)
        return
    click.echo(tidy(f"{found['name']}: {found['summary']}"))
    if found["description"]:
        click.echo(tidy(f"\n{found['description']}"))
    click.echo(tidy(f"\nnodes:     {found['nodes']} ({found['node_count']})"))
    click.echo(f"timeout:   {'none' if found['timeout_s'] is None else found['timeout_s']}")
    traits = [name for name in ("read_only", "dry_run", "idempotent", "detached") if found[name]]
    click.echo(f"traits:    {', '.join(traits) or '-'}")
    click.echo("arguments:")
    for line in argument_lines(found["args_schema"]):
        click.echo(f"  {line}")
    click.echo(f"result:    {one_line(found['result_schema'], width=100)}")


def argument_lines(schema: dict[str, Any]) -> list[str]:
    """Return a line for each argument: name, type, whether it is needed, what it is."""
    needed = set(schema.get("required", ()))
    members = schema.get("properties") or {}
    names = [name for name in schema.get("x-positional", ()) if name in members]
    names += [name for name in members if name not in names]
    lines = []
    for name in names:
        about = members[name]
        kind = about.get("type") or ("enum" if "enum" in about else "any")
        need = "" if name in needed else f" = {one_line(about.get('default'))}"
        text = about.get("description", "")
        lines.append(one_line(f"{name}: {kind}{need}{'  ' + text if text else ''}"))
    return lines or ["none"]
