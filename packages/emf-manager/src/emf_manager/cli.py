"""The program ``emf-manager``: serve, and administer the data directory.

A command of the administrators is found in its room when it is called, so that help is quick.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click

from emf_agent.errors import EmfError, UsageError
from emf_manager.admin.workbench import AdminGroup, on_data_dir
from emf_manager.server.notify import notify
from emf_manager.settings import DEFAULT_LISTEN, Listen, Settings, parse_seconds

if TYPE_CHECKING:
    from emf_manager.server.serve import Ready

__all__ = ["main", "program"]

END_S = 4.5
"""After a signal, whatever is still going on is cut off here."""

ROOMS = {
    "audit": "nodes",
    "backup": "backups",
    "ca": "authority",
    "mailbox": "mailboxes",
    "node": "nodes",
    "restore": "backups",
    "token": "tokens",
    "user": "users",
}
"""Commands of the administrators, and the room each is in."""
HELPS = {
    "audit": "Check the audit trail.",
    "backup": "Write a backup of the database to FILE, also while the server runs.",
    "ca": "Show the manager's certificate authority, and replace it.",
    "mailbox": "Make, read and remove mailboxes and reports that nodes push lines into.",
    "node": "List, approve, revoke and remove nodes.",
    "restore": "Put a backup in the place of the database.",
    "serve": "Serve agents and operators until a signal ends it.",
    "token": "Make and revoke enrolment tokens.",
    "user": "Create and disable users of the API.",
}


class Program(AdminGroup):
    """Knows its commands by name, and imports a room when its command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names, without importing anything."""
        return sorted(HELPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the room of one command."""
        if cmd_name not in ROOMS:
            return super().get_command(ctx, cmd_name)
        room = importlib.import_module(f"emf_manager.admin.{ROOMS[cmd_name]}")
        command: click.Command = getattr(room, cmd_name)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        formatter: click.HelpFormatter,
    ) -> None:
        """Show the one-line helps, which are known without importing."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(HELPS.items()))


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="emf-manager", prog_name="emf-manager")
def program() -> None:
    """The EMF manager: serves agents and operators, and administers its own data.

    \b
    Exit codes: 0 done, 1 failed, 2 usage, 5 refused, 78 configuration invalid.
    """


@program.command("serve")
@on_data_dir
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default=DEFAULT_LISTEN,
    envvar="EMF_MANAGER_LISTEN",
    show_default=True,
    show_envvar=True,
    help="Where to listen; port 0 is any free one.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A further host name or address that clients use; may be repeated.",
)
@click.option(
    "--trusted-proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A proxy that passes nodes' certificates on in a header; may be repeated.",
)
@click.option(
    "--lease",
    "lease",
    metavar="DURATION",
    default="60s",
    show_default=True,
    help="How long a node may say nothing before it counts as silent.",
)
@click.option(
    "--keep-history",
    "history",
    metavar="DURATION",
    default="30d",
    show_default=True,
    help="How long the history of what daemons said is kept.",
)
@click.option(
    "--requests-per-second",
    "per_s",
    metavar="N",
    type=click.FloatRange(0.1, 10_000),
    default=50,
    show_default=True,
    help="What one API token may ask in the long run; ten seconds' worth may come at once.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
@click.option("--json", "json_out", is_flag=True, help="Say that it is ready as JSON.")
def serve_command(
    data_dir: Path,
    store: str | None,
    listen: str,
    names: tuple[str, ...],
    proxies: tuple[str, ...],
    lease: str,
    history: str,
    per_s: float,
    log_level: str,
    *,
    json_out: bool,
) -> None:
    """Serve agents and operators until a signal ends it.

    Prints one line when it is ready: ``ready URL``.
    """
    logging.basicConfig(
        level=log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    settings = Settings(
        data_dir,
        Listen.parse(listen),
        names,
        store,
        requests_per_s=per_s,
        trusted_proxies=proxies,
        lease_s=lease_seconds(lease),
        history_s=history_seconds(history),
    )
    anyio.run(until_signalled, settings, functools.partial(say_ready, json_out=json_out))


def lease_seconds(text: str) -> float:
    """Read a lease.

    Raises:
        UsageError: it is no duration, or one that no node could keep.

    """
    seconds = parse_seconds(text)
    if not 5 <= seconds <= 3600:
        raise UsageError(f"a lease of {text} is none; choose between 5s and 1h")
    return seconds


def history_seconds(text: str) -> float:
    """Read how long the history is kept.

    Raises:
        UsageError: it is no duration, or a senseless one.

    """
    seconds = parse_seconds(text)
    if not 86400 <= seconds <= 3660 * 86400:
        raise UsageError(f"a history of {text} is none; choose between 1d and 3660d")
    return seconds


async def until_signalled(settings: Settings, on_ready: functools.partial[None]) -> None:
    """Serve; the first signal ends it in order, a second one or four seconds at once."""
    from emf_manager.server.serve import serve  # the whole manager, which other commands spare

    stop = anyio.Event()
    failed: list[EmfError] = []

    async def watch(scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                if stop.is_set():
                    scope.cancel()
                notify("STOPPING=1", os.environ)
                stop.set()
                scope.deadline = anyio.current_time() + END_S

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, tasks.cancel_scope)
        try:
            await serve(settings, stop=stop, on_ready=on_ready)
        except EmfError as error:
            # Raised below: a task group would wrap it.
            failed.append(error)
        tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]


def say_ready(ready: Ready, *, json_out: bool) -> None:
    """Tell whoever started us, and systemd."""
    if json_out:
        told = {"url": ready.url, "port": ready.port, "authority_sha256": ready.authority_sha256}
        click.echo(json.dumps({"ready": True, **told, "pid": os.getpid()}))
    else:
        click.echo(f"ready {ready.url}")
    sys.stdout.flush()
    notify(f"READY=1\nSTATUS=serving at {ready.url}", os.environ)


def main() -> None:
    """Run the program."""
    program(prog_name="emf-manager")
