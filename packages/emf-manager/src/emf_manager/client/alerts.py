"""``emf alert``: what somebody has to look at, and saying that you do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from emf_manager.client.output import hint, one_line, say_json, table, tidy
from emf_manager.client.program import Group, as_json, excluded, talks

if TYPE_CHECKING:
    from emf_manager.client.door import Door

__all__ = ["alert"]

STATES = ["current", "open", "acknowledged", "cleared", "all"]
number = click.argument("number", metavar="ALERT", type=click.IntRange(1))


@click.group(cls=Group)
def alert() -> None:
    """Look at alerts, and acknowledge them."""


@alert.command("list")
@click.argument("nodes", metavar="[NODESET]", required=False)
@excluded
@click.option(
    "--state",
    type=click.Choice(STATES),
    default="current",
    show_default=True,
    help="current: whatever is not cleared.",
)
@click.option("--kind", help="Only this kind, such as node.silent.")
@click.option("--severity", type=click.Choice(["critical", "warning"]))
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@as_json
@talks
async def list_alerts(
    door: Door,
    nodes: str | None,
    exclude: str | None,
    state: str,
    kind: str | None,
    severity: str | None,
    limit: int,
    *,
    json_out: bool,
) -> None:
    """List the alerts that are not cleared, the newest first."""
    params = {
        "nodes": nodes,
        "exclude": exclude,
        "state": None if state == "all" else state,
        "kind": kind,
        "severity": severity,
    }
    found = [each async for each in door.pages("alerts", params, limit=limit)]
    if json_out:
        say_json(found)
        return
    table(
        ["alert", "raised", "severity", "state", "node", "kind", "text"],
        (
            [
                each["id"],
                each["raised"],
                each["severity"],
                each["state"],
                each["node"],
                each["kind"],
                one_line(each["text"], width=100),
            ]
            for each in found
        ),
    )


@alert.command("show")
@number
@as_json
@talks
async def show_alert(door: Door, number: int, *, json_out: bool) -> None:
    """Show one alert: what is wrong, what to do, who looks after it."""
    found = await door.get(f"alerts/{number}")
    if json_out:
        say_json(found)
        return
    for line in lines(found):
        click.echo(tidy(line))


@alert.command("acknowledge")
@number
@click.option("--note", default="", help="What you do about it, for the others.")
@as_json
@talks
async def acknowledge(door: Door, number: int, note: str, *, json_out: bool) -> None:
    """Say that you look after an alert; the first to say so is kept."""
    found = await door.post(f"alerts/{number}/acknowledge", {"note": note})
    if json_out:
        say_json(found)
        return
    done = found["acknowledged"]
    if done is None:
        hint(f"alert {number} is cleared already; nobody has to look after it")
    else:
        hint(f"alert {number}: {tidy(done['by'])} looks after it since {done['at']}")


def lines(found: dict[str, Any]) -> list[str]:
    about = " ".join(filter(None, [found["kind"], found["subject"]]))
    told = [
        f"alert {found['id']}: {about} ({found['severity']}, {found['state']})",
        f"node:     {found['node'] or 'the manager itself'}",
        f"raised:   {found['raised']}",
    ]
    if found["cleared"]:
        told.append(f"cleared:  {found['cleared']}")
    done = found["acknowledged"]
    if done:
        note = f": {done['note']}" if done["note"] else ""
        told.append(f"by:       {done['by']} at {done['at']}{note}")
    return [*told, "", found["text"]]
