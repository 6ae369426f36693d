"""``emf-agent enroll``: join a manager with a token."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import anyio
import click

from emf_agent.cli.options import node_options
from emf_agent.enrolment import identity_files, join
from emf_agent.errors import UsageError
from emf_agent.settings import load_settings
from emf_agent.wire import EnrolmentToken

__all__ = ["command"]


@click.command("enroll")
@node_options
@click.option("--manager", required=True, metavar="URL", help="Address of the manager.")
@click.option("--token", metavar="TOKEN", help="What `emf-manager token create` printed.")
@click.option(
    "--token-file",
    type=click.File(errors="replace"),
    help="A file with the token (`-` for standard input): nothing shows in `ps`.",
)
@click.option("--fqdn", help="Name of this node, where it is not the host's.")
@click.option("--force", is_flag=True, help="Replace the identity this node has.")
def command(
    config: Path | None,
    state_dir: Path | None,
    manager: str,
    token: str | None,
    token_file: TextIO | None,
    fqdn: str | None,
    *,
    force: bool,
) -> None:
    """Join a manager: a token for a certificate."""
    if token_file is not None and token is None:
        token = token_file.read()
    elif token is None or token_file is not None:
        raise UsageError("give the token by --token or --token-file, one of them")
    parsed = EnrolmentToken.parse(token)
    settings = load_settings(config, state_dir, {"node.fqdn": fqdn})
    key = identity_files(settings).key
    if key.exists() and not force:
        raise UsageError(f"this node has an identity ({key}); --force replaces it")
    name = anyio.run(join, settings, manager, parsed)
    click.echo(f"enrolled as {name}; start the agent with `emf-agent run`")
