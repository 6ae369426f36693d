"""The program ``emf-agent``: finds the command and imports only its room."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from emf_agent.errors import EmfError

__all__ = ["COMMANDS", "main", "program"]

COMMANDS = {
    "action": "Run and list actions on this node.",
    "config": "Check and show the configuration.",
    "daemon": "List and sample daemons on this node.",
    "enroll": "Join a manager with a token.",
    "init": "Write configuration and allowlist from what is installed.",
    "plugin": "List plugins and say why each runs or does not.",
    "run": "Run the agent.",
}


class LazyGroup(click.Group):
    """Imports a command's room when it is called: start-up and recovery stay light."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, without importing anything."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the room of one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"emf_agent.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the one-line helps, which are known without importing."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if near and "Did you mean" not in error.message:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None
            raise


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="emf-agent-core")
def program() -> None:
    """The node agent: runs tasks for a manager and supplies it with data."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the program; every error of ours is one line and the exit code of its kind."""
    try:
        return program.main(args=arguments, prog_name="emf-agent", standalone_mode=True)
    except EmfError as error:
        click.echo(f"emf-agent: {error}", err=True)
        sys.exit(error.exit_code)
