"""``emf-manager mailbox``: where nodes push lines, and what they pushed."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from emf_manager.admin.workbench import AdminGroup, Workbench, works
from emf_manager.client.output import say_json, table
from emf_manager.client.program import as_json
from emf_manager.mailboxes.shelf import Kind, Shelf

__all__ = ["mailbox"]


@click.group(cls=AdminGroup)
def mailbox() -> None:
    """Make, read and remove mailboxes and reports that nodes push lines into."""


def kind_option() -> click.Option:
    return click.Option(
        ["--kind"], type=click.Choice(["mailbox", "report"]), default="mailbox", show_default=True
    )


@mailbox.command(params=[kind_option()])
@click.argument("name")
@works
async def create(bench: Workbench, name: str, kind: Kind) -> None:
    """Make a mailbox; one that is there stays as it is."""
    shelf_of(bench).create(kind, name)
    await bench.store.audit(bench.line(f"create {kind}", name))


@mailbox.command("list")
@as_json
@works
async def list_mailboxes(bench: Workbench, *, json_out: bool) -> None:
    """List mailboxes and reports, and how much is in them."""
    found = shelf_of(bench).summaries()
    if json_out:
        say_json([asdict(one) for one in found])
        return
    rows = [[one.kind, one.name, one.streams, one.lines, one.bytes] for one in found]
    table(["kind", "name", "streams", "lines", "bytes"], rows)


@mailbox.command(params=[kind_option()])
@click.argument("name")
@works
async def read(bench: Workbench, name: str, kind: Kind) -> None:
    """Print the lines of a mailbox, stream by stream, as they came."""
    for line in shelf_of(bench).read(kind, name):
        sys.stdout.buffer.write(line + b"\n")


@mailbox.command(params=[kind_option()])
@click.argument("name")
@works
async def remove(bench: Workbench, name: str, kind: Kind) -> None:
    """Remove a mailbox with everything in it."""
    shelf_of(bench).remove(kind, name)
    await bench.store.audit(bench.line(f"remove {kind}", name))


def shelf_of(bench: Workbench) -> Shelf:
    """Return the mailboxes of the data directory at work."""
    return Shelf(bench.settings.mailbox_dir)
