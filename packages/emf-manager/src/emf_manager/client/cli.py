"""The program ``emf``: its commands, and the flags that say which manager they talk to."""

from __future__ import annotations

from pathlib import Path

import click

from emf_manager.client.alerts import alert
from emf_manager.client.audit import audit
from emf_manager.client.catalogue import action
from emf_manager.client.config import config
from emf_manager.client.connection import Flags
from emf_manager.client.data import data
from emf_manager.client.events import event
from emf_manager.client.groups import group
from emf_manager.client.jobs import job, run
from emf_manager.client.nodes import node, ping, session, whoami
from emf_manager.client.plans import apply, plan
from emf_manager.client.program import Group, Setup
from emf_manager.client.targets import targets
from emf_manager.client.watch import watch

__all__ = ["emf", "main"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--manager", metavar="URL", help="The manager's address [env EMF_MANAGER_URL].")
@click.option("--token", metavar="TOKEN", help="API token; visible in ps, so prefer the others.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with the API token [or env EMF_TOKEN].",
)
@click.option(
    "--ca", type=click.Path(path_type=Path), help="CA certificate of the manager [env EMF_CA]."
)
@click.option("--explain", is_flag=True, help="Only show the HTTP request of the command, as curl.")
@click.version_option(package_name="emf-manager", prog_name="emf")
@click.pass_context
def emf(
    ctx: click.Context,
    manager: str | None,
    token: str | None,
    token_file: Path | None,
    ca: Path | None,
    *,
    explain: bool,
) -> None:
    """Operate a fleet of storage nodes through its EMF manager.

    NODESET is a ClusterShell node set: oss[01-16,20], @group, oss*, or * for every node.

    \b
    Exit codes: 0 done everywhere, 1 an action failed somewhere, 2 usage,
    3 some nodes silent, 4 no node matched, 5 refused, 69 manager not
    reachable, 78 configuration invalid, 124 deadline passed, 130 interrupted.
    """
    setup = ctx.ensure_object(Setup)
    setup.flags = Flags(manager, token, token_file, ca)
    setup.explain = explain
    if setup.environ.get("NO_COLOR"):
        ctx.color = False


for command in (
    *(action, apply, alert, audit, config, data, event, group, job),
    *(node, ping, plan, run, session, targets, whoami, watch),
):
    emf.add_command(command)


def main() -> None:
    """Run the program."""
    emf(prog_name="emf")
