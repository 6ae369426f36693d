"""``emf group``: which groups of nodes there are, and what operators put in them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from emf_manager.client.output import hint, say_json, table
from emf_manager.client.program import Group, as_json, talks

if TYPE_CHECKING:
    from emf_manager.client.door import Door

__all__ = ["group"]


@click.group(cls=Group)
def group() -> None:
    """Look at groups of nodes, define them."""


@group.command("list")
@as_json
@talks
async def list_groups(door: Door, *, json_out: bool) -> None:
    """List groups: those of roles, labels and states, and those that were defined."""
    found = [each async for each in door.pages("groups", {})]
    if json_out:
        say_json(found)
        return
    table(
        ["group", "nodes", "members", "defined as", "by"],
        (
            [
                f"@{each['name']}",
                each["node_count"],
                each["fault"] or each["nodes"],
                each["defined"],
                each["changed_by"],
            ]
            for each in found
        ),
    )


@group.command("set")
@click.argument("name")
@click.argument("nodes", metavar="NODESET")
@as_json
@talks
async def set_group(door: Door, name: str, nodes: str, *, json_out: bool) -> None:
    """Have the group NAME mean NODESET, which may name other groups."""
    made = await door.put(f"groups/{quote(name, safe='')}", {"nodes": nodes})
    if json_out:
        say_json(made)
    else:
        hint(f"@{made['name']} is {made['nodes'] or 'empty'} ({made['node_count']} nodes)")


@group.command("delete")
@click.argument("name")
@talks
async def delete_group(door: Door, name: str) -> None:
    """Forget the group NAME; its nodes stay."""
    await door.delete(f"groups/{quote(name, safe='')}")
    hint(f"@{name} is forgotten")
