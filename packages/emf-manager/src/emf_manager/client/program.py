"""What every ``emf`` command shares: the way to the manager, errors as one line, 'did you mean'."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import anyio
import click

from emf_agent.errors import EmfError
from emf_manager.client.connection import Flags, default_file, resolve
from emf_manager.client.explain import Explained
from emf_manager.client.output import tidy

if TYPE_CHECKING:
    import httpx

    from emf_manager.client.door import Door

__all__ = ["INTERRUPTED", "Group", "Setup", "as_json", "excluded", "explains", "talks", "to_run"]

INTERRUPTED = 130

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


def converse(body: Callable[[], Awaitable[R]]) -> R:
    """Run one conversation with the manager to its end.

    Raises:
        KeyboardInterrupt: Ctrl-C; with Python 3.10 it comes out as the cancellation it caused.

    """
    import asyncio

    try:
        return anyio.run(body)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@dataclass
class Setup:
    """What one run of the program works with; a test gives its own."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    transport: Callable[[], httpx.AsyncBaseTransport] | None = None
    run: Callable[[Callable[[], Awaitable[Any]]], Any] = converse
    """Runs one conversation with the manager to its end."""
    flags: Flags = field(default_factory=Flags)
    explain: bool = False
    """Whether requests are only to be shown."""

    @property
    def file(self) -> Path:
        """The user's configuration file."""
        return default_file(self.environ)

    def door(self) -> Door:
        """Return the door to the manager, not open yet.

        Raises:
            ConfigurationError: the settings do not lead to a manager.

        """
        from emf_manager.client.door import Door, Explaining

        connection = resolve(self.flags, self.environ, self.file)
        if self.explain:
            return Door(connection, Explaining(click.echo, connection.ca))
        return Door(connection, self.transport() if self.transport else None)


class Group(click.Group):
    """A group that knows what a mistyped command may have meant, and says errors in one line."""

    program = "emf"

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an ``EmfError`` ends the program with its own exit code."""
        try:
            return super().invoke(ctx)
        except EmfError as error:
            for line in str(error).splitlines():
                click.echo(f"{self.program}: {tidy(line)}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one is near."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=3, cutoff=0.5)
            offer = f"did you mean {' or '.join(near)}?" if near else "see --help"
            ctx.fail(f"there is no command {name!r}; {offer}")
        return super().resolve_command(ctx, args)


def talks(body: Callable[Concatenate[Door, P], Awaitable[R]]) -> Callable[P, R]:
    """Make a command's function of an async one that is given the open door first."""

    @functools.wraps(body)
    def command(*args: P.args, **kwargs: P.kwargs) -> R:
        setup = click.get_current_context().find_object(Setup)
        assert setup is not None

        async def with_door() -> R:
            async with setup.door() as door:
                return await body(door, *args, **kwargs)

        try:
            answer: R = setup.run(with_door)
        except Explained:
            click.get_current_context().exit()
        return answer

    return command


def explains() -> bool:
    """Tell whether requests are only shown: then nobody is asked whether they mean it."""
    setup = click.get_current_context().find_object(Setup)
    return setup is not None and setup.explain


def as_json(command: F) -> F:
    """Add ``--json``: one document on stdout instead of text for people."""
    return click.option("--json", "json_out", is_flag=True, help="One JSON document on stdout.")(
        command
    )


def excluded(command: F) -> F:
    """Add ``-x NODESET``: nodes to leave out."""
    return click.option("-x", "--exclude", metavar="NODESET", help="Leave these nodes out.")(
        command
    )


def to_run(command: F) -> F:
    """Add the argument NODESET."""
    return click.argument("nodes", metavar="NODESET")(command)
