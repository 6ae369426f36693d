"""``python -m emf_agent.testing.fleet``: light nodes as a program, faults by its input."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import anyio
import click

from emf_agent.errors import EmfError
from emf_agent.testing.fleet.fleet import NODES_PER_S, Fleet
from emf_agent.testing.fleet.light import light_registry
from emf_agent.testing.fleet.node import NodePlan
from emf_agent.testing.fleet.orders import ORDERS, BadOrderError, obey
from emf_agent.wire import EnrolmentToken

ORDER_BYTES = 64 * 1024


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    manager_url: str
    token: EnrolmentToken
    names: tuple[str, ...]
    folder: Path
    interval_s: float
    nodes_per_s: float


@click.command(
    "fleet", epilog="\b\nOrders, one a line on standard input:\n" + ORDERS.replace("\n", "\n  ")
)
@click.option("--manager", required=True, metavar="URL", help="Address of the manager.")
@click.option(
    "--token-file",
    required=True,
    type=click.File(),
    help="A file with an enrolment token good for all of them.",
)
@click.option("--nodes", default=8, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--role", default="oss", show_default=True, help="Begins the names: oss01, oss02, …")
@click.option("--domain", default="example.com", show_default=True, help="Ends the names.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the nodes live; without it, in a temporary folder that goes when they do.",
)
@click.option(
    "--interval",
    "interval_s",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    help="Seconds between two values of a node.",
)
@click.option(
    "--nodes-per-second",
    "nodes_per_s",
    default=NODES_PER_S,
    show_default=True,
    type=click.FloatRange(0.1, 10_000),
    help="How fast they are started.",
)
def program(
    manager: str,
    token_file: TextIO,
    nodes: int,
    role: str,
    domain: str,
    folder: Path | None,
    interval_s: float,
    nodes_per_s: float,
) -> None:
    """Run many simulated nodes against a manager until SIGTERM or Ctrl-C.

    Prints a JSON line for each thing that happened: enrolled, started, an order obeyed.
    """
    logging.basicConfig(level="WARNING", stream=sys.stderr)
    width = max(2, len(str(nodes)))
    names = tuple(f"{role}{number:0{width}}.{domain}" for number in range(1, nodes + 1))
    allow_many_files()
    with tempfile.TemporaryDirectory(prefix="emf-fleet-") as temporary:
        wanted = Wanted(
            manager,
            EnrolmentToken.parse(token_file.read()),
            names,
            folder or Path(temporary),
            interval_s,
            nodes_per_s,
        )
        try:
            anyio.run(serve, wanted)
        except EmfError as error:
            raise click.ClickException(str(error)) from error


async def serve(wanted: Wanted) -> None:
    """Enrol and run the fleet until a signal."""
    registry = light_registry(wanted.interval_s)
    plans = [NodePlan(name, wanted.folder / name, registry) for name in wanted.names]
    fleet = Fleet(plans, wanted.manager_url)
    began = time.monotonic()
    await fleet.enrol(wanted.token)
    tell("enrolled", nodes=len(plans), seconds=round(time.monotonic() - began, 3))
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with (
            fleet.running(nodes_per_s=wanted.nodes_per_s),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(take_orders, fleet)
            tell("running", nodes=len(plans))
            async for _ in signals:
                break
            tasks.cancel_scope.cancel()
    tell("ended", lives=sum(node.lives for node in fleet.nodes.values()))


async def take_orders(fleet: Fleet) -> None:
    """Obey each line of standard input; its end is none of the fleet's."""
    async with aclosing(lines_of(sys.stdin.fileno())) as lines:
        async for line in lines:
            try:
                tell("obeyed", order=line, nodes=obey(fleet, line))
            except BadOrderError as error:
                tell("refused", order=line, why=str(error))


async def lines_of(descriptor: int) -> AsyncGenerator[str]:
    """Yield the lines of a pipe or terminal; nothing of what cannot be waited for."""
    waiting = b""
    while True:
        try:
            await anyio.wait_readable(descriptor)
        except PermissionError:
            return
        came = os.read(descriptor, ORDER_BYTES)
        if not came:
            return
        *whole, waiting = (waiting + came).split(b"\n")
        for line in whole:
            if line.strip():
                yield line.decode("utf-8", "replace")
        waiting = waiting[-ORDER_BYTES:]


def tell(event: str, **facts: object) -> None:
    """Print what happened, one line."""
    click.echo(json.dumps({"event": event, **facts}))
    sys.stdout.flush()


def allow_many_files() -> None:
    """Take the whole of what this process may open: a node holds about seven files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    program()
