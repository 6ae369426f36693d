"""``emf event``: what happened, and what happens now."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from emf_manager.client.output import hint, one_line, say_json, say_jsonl, tidy
from emf_manager.client.program import Group, as_json, talks

if TYPE_CHECKING:
    from emf_manager.client.door import Door

__all__ = ["event"]


@click.group(cls=Group)
def event() -> None:
    """Look at events."""


@event.command("list")
@click.option("--after", type=int, default=0, help="Only events after this sequence number.")
@click.option("--kind", help="Only this kind, such as node.silent.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@as_json
@talks
async def list_events(
    door: Door, after: int, kind: str | None, limit: int, *, json_out: bool
) -> None:
    """List events since a sequence number, oldest first."""
    params = {"after": after, "kind": kind}
    found = [each async for each in door.pages("events", params, limit=limit)]
    if json_out:
        say_json(found)
        return
    for each in found:
        click.echo(event_line(each))


@event.command("tail")
@click.option("--after", type=int, help="Start after this sequence number, not from now.")
@click.option("--kind", help="Only this kind.")
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
@click.option("--jsonl", is_flag=True, help="One JSON document a line.")
@talks
async def tail(
    door: Door, after: int | None, kind: str | None, count: int | None, *, jsonl: bool
) -> None:
    """Follow events as they happen, until interrupted."""
    from emf_manager.client.follow import follow_events

    told = 0
    async with aclosing(follow_events(door, {"kind": kind}, after=after)) as events:
        async for pushed in events:
            if pushed is None:
                continue
            if pushed.kind == "gap":
                hint(f"events are missing here: {one_line(pushed.data)}")
                continue
            if jsonl:
                say_jsonl(pushed.data)
            else:
                click.echo(event_line(pushed.data))
            told += 1
            if told == count:
                return


def event_line(event: Any) -> str:
    node = event["node"] or "-"
    body = one_line(event["body"], width=160)
    return tidy(f"{event['sequence']:>8}  {event['at']}  {event['kind']:<16}  {node}  {body}")
